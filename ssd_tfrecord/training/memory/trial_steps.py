"""Training steps of several batch sizes on a throwaway network, and the memory that they take.

A GPU says when it is full, so that any size may be tried. A host does not: its kernel kills the
process. There a size is tried only if what smaller ones took leaves room for it.
"""

import ctypes
import functools
import gc
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data.footprint import FREE_SHARE, cache_bytes
from ssd_tfrecord.data.free_memory import free_memory
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training import learner
from ssd_tfrecord.training.memory.peak_memory import (
    address_space_left,
    in_use,
    memory_text,
    peak_of,
)
from ssd_tfrecord.training.memory.synthetic_batch import synthetic_batch
from ssd_tfrecord.training.runner import StepRunner
from ssd_tfrecord.training.stopping.failures import is_out_of_memory

# Larger batches are not tried: nobody would wait for them.
MAX_SECONDS = 60.0

# Of a GPU's memory, what a trial leaves for what it does not do: evaluations, fragments.
_SPARE = 0.08

# Batches of the input that may be in memory beside those in the making: prefetched for training
# and evaluation (data/pipeline.py), and on their way to the step.
_BATCHES_AHEAD = 10


class Outcome(NamedTuple):
    """What a step took in which each replica computed ``part`` images at once.

    ``memory``: bytes of the device; of a host, beyond those before all trials. ``working``: those
    that came and went with the step; the rest stays, such as weights, and programs that were
    compiled. ``seconds`` without tracing and compiling.
    """

    part: int
    memory: float
    working: float
    seconds: float


class Trials:
    """Training steps of several sizes, with a network that is made for them.

    A size is the number of images that a replica computes at once; ``unit`` of such parts are a
    global batch. ``why`` says of the smallest size that did not fit why it did not.
    """

    def __init__(
        self,
        config: TrainConfig,
        train: Sequence[Manifest],
        strategy: tf.distribute.Strategy,
        say: Callable[[str], None],
    ) -> None:
        devices = _devices(strategy)
        self._device = devices[0].rpartition("device:")[2]
        self._on_gpu = "GPU" in self._device
        self._config = config
        self._train = train
        self._say = say
        parts = config.optimizer.accumulate_steps
        self.unit = strategy.num_replicas_in_sync * parts
        # A full GPU says so; a full host ends the process, and is approached from below.
        self.first = 8 if self._on_gpu else 1
        self.why = ""
        # Images of this host for each image of a part.
        self._share = len(devices) * parts
        self._num_replicas = strategy.num_replicas_in_sync
        free, space = free_memory(), address_space_left()
        self._limit = f"{FREE_SHARE:.0%} of what is free on {free.of}"
        # Without address space TensorFlow ends in a crash as often as in an error.
        if space < free.bytes:
            self._limit = f"{FREE_SHARE:.0%} of the address space that is left"
        kept = _kept_bytes(config, train)
        if kept:
            self._limit += ", less what the cache or the shuffle buffer needs,"
        self._room = max(0.0, FREE_SHARE * min(free.bytes, space) - kept)
        self._before = in_use(self._device)
        # Of each that fitted.
        self._done: list[Outcome] = []
        # A replica that is out of memory ends the exchange between GPUs for the whole process
        # (collective operations stay aborted), so only one of them is tried.
        alone = self._on_gpu or isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self._strategy = tf.distribute.OneDeviceStrategy(devices[0]) if alone else strategy
        # Replicas that share this host's memory, for each that is tried; a GPU is not shared.
        shared = 1 if self._on_gpu else len(devices)
        self._times = shared // self._strategy.num_replicas_in_sync
        self._learner: learner.Learner | None = None

    def fits(self, part: int) -> bool:
        """Whether a step fits in which each replica computes ``part`` images at once."""
        why = self._refused(part)
        if not why:
            try:
                made = self._step(part)
            except (tf.errors.OpError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                why = f"{part * self.unit:,} are out of memory"
        _free()
        if why:
            self.why = why
            self._say(f"Batch: {why}")
            return False
        self._done = sorted([*self._done, made])
        memory = memory_text(made.memory)
        self._say(f"Batch: {part * self.unit:,} tried: {memory} on {self._place()}")
        return True

    def end(self) -> None:
        """Gives back the memory of all trials."""
        self._learner = None
        _free()

    def _place(self) -> str:
        several = self._on_gpu and self._num_replicas > 1
        return f"{self._device}, one of {self._num_replicas}" if several else self._device

    def _refused(self, part: int) -> str:
        """Why a size must not even be tried; empty if it may."""
        needed = _input_bytes(self._config, self._train) * part * self._share
        if not self._on_gpu:
            needed += self._memory_of(part)
        if needed > self._room:
            return (
                f"{part * self.unit:,} would need {memory_text(needed)}, but {self._limit} is "
                f"{memory_text(self._room)}"
            )
        seconds = self._done[-1].seconds * part / self._done[-1].part if self._done else 0.0
        if seconds > MAX_SECONDS:
            return (
                f"a step of {part * self.unit:,} would take about {seconds:.0f} s; more than "
                f"{MAX_SECONDS:.0f} s are not tried"
            )
        return ""

    def _memory_of(self, part: int) -> float:
        """The memory of a size that was not tried, by the two largest that were."""
        if not self._done:
            return 0.0
        last = self._done[-1]
        slope = last.working / last.part
        if len(self._done) > 1:
            before = self._done[-2]
            slope = max(0.0, last.working - before.working) / (last.part - before.part)
        return last.memory + slope * (part - last.part)

    def _step(self, part: int) -> Outcome:
        """Makes steps of a size; errors of TensorFlow are passed on."""
        made = self._learner or learner.build(
            self._config,
            len(self._train[0].classes),
            self._strategy,
            num_steps=self._config.num_steps,
            seed=self._config.seed,
        )
        self._learner = made
        batch = synthetic_batch(
            self._config.model.input_size,
            part * self._config.optimizer.accumulate_steps * self._strategy.num_replicas_in_sync,
            len(self._train[0].classes),
            num_objects=max(1, *(manifest.max_objects for manifest in self._train)),
        )
        batches = tf.data.Dataset.from_tensors(batch).repeat()
        runner = StepRunner(made.step_fn, batches, self._strategy)
        runner.trace()
        # The first step also compiles.
        first = peak_of(functools.partial(runner.run, 1), self._device)
        _free()
        held, begun = in_use(self._device), time.perf_counter()
        second = peak_of(functools.partial(runner.run, 1), self._device)
        seconds = time.perf_counter() - begun
        if self._on_gpu:
            self._spare(second, made, runner)
        memory = self._times * max(0, max(first, second) - self._before)
        working = self._times * max(0, second - held)
        return Outcome(part, memory, working if _TRIM else memory, seconds)

    def _spare(self, memory: int, made: learner.Learner, runner: StepRunner) -> None:
        """Makes a step with less memory: it must not take the last of what there is."""
        spare = _SPARE * memory
        if self._num_replicas > 1:
            # They exchange copies of the gradients, which one alone does not.
            spare += 2 * sum(4 * math.prod(value.shape) for value in made.model.trainable_variables)
        with tf.device(self._device):
            room = tf.zeros([int(spare) // 4])
        runner.run(1)
        del room


def _devices(strategy: tf.distribute.Strategy) -> tuple[str, ...]:
    """The devices of this host's replicas, in full."""
    # The default strategy, of a host without a GPU, has no name for its one.
    if strategy.num_replicas_in_sync == 1 and not tf.config.list_logical_devices("GPU"):
        return ("/device:CPU:0",)
    return tuple(strategy.extended.worker_devices)


def _kept_bytes(config: TrainConfig, train: Sequence[Manifest]) -> float:
    """Bytes of host memory that the input takes whatever the batch."""
    reading = config.input.reading
    cached = 0 if reading.cache_dir else cache_bytes(train, reading.cache)
    return cached + 1e6 * reading.shuffle_buffer_mb


def _input_bytes(config: TrainConfig, train: Sequence[Manifest]) -> float:
    """Bytes of host memory that the input needs for each image of a batch."""
    stored = sum(shard.bytes for manifest in train for shard in manifest.shards)
    record = stored / max(1, sum(manifest.num_records for manifest in train))
    pixels = 3 * config.model.input_size**2
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (pixels + record) * (_BATCHES_AHEAD + (config.input.reading.num_workers or cores or 1))


def _glibc_trim() -> Callable[[int], object] | None:
    try:
        return ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return None


# glibc keeps what is freed; the kernel, and the next measurement, are to have it.
_TRIM = _glibc_trim()


def _free() -> None:
    """Frees what nobody uses: graphs have cycles, and errors hold what failed."""
    gc.collect()
    if _TRIM:
        _TRIM(0)
