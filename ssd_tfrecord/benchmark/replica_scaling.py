"""How training scales over the replicas of one machine: images/s, and what keeps it from ideal."""

import ctypes
import dataclasses
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.errors import InputError, OutOfMemoryError

if TYPE_CHECKING:
    from ssd_tfrecord.benchmark.replica_cost import ReplicaCost

# As many as DeviceOptions.num_virtual_devices allows.
MOST_VIRTUAL = 8

# What a step's time consists of.
PARTS = ("launch", "compute", "reduction", "input")

# From this efficiency on, nothing is said to keep the replicas from ideal.
_NEAR_IDEAL = 0.95

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_PR_SET_PDEATHSIG = 1  # Linux

# (config, number of replicas) -> what a step costs.
MeasureFn = Callable[[BenchmarkConfig, int], "ReplicaCost"]


def measure_scaling(
    config: BenchmarkConfig,
    num_classes: int,
    num_gpus: int,
    *,
    measure_fn: MeasureFn | None = None,
) -> dict[str, Any]:
    """Measures training steps of 1 replica and of each of ``config.replicas``.

    Every replica has ``config.replica_batch_size`` images a step, so ideally a step takes as long
    on all of them as on one (weak scaling). Each number is measured in a process of its own, which
    sees no other GPUs than it uses, one after the other.

    A step's time is taken apart into ``PARTS``. What it costs whatever its images is ``launch``:
    the host starts the work of each replica, and weights are updated; what it costs for each image
    is ``compute``. Both follow from a step of fewest images beside the whole one, as a line
    through two points does, and both without sums over the replicas, which are ``reduction``.
    ``input`` is what a step takes longer on the real input.

    Args:
        config: of the benchmark.
        num_classes: number of classes without the background.
        num_gpus: of this machine; 0: virtual devices on the CPU.
        measure_fn: measures one number; by default, a new process does.

    Returns:
        A dict: ``images_per_replica``; ``num_gpus``; ``cores``, which virtual devices share;
        ``left_out``, the numbers that exceed the GPUs; and for each number ``replicas_N``: the
        figures of ``rounds.rate_figures``; ``ms_per_step``; ``efficiency``, relative to as many
        times one replica; ``single_step_ratio``, how many times as long a step takes if each is a
        call of its own; ``part_ms_per_step``; ``part_ms_lost``, by how much each part exceeds that
        of one replica, at least 0; and ``limit``, the part that loses most, empty if the efficiency
        is at least 95 %.

    Raises:
        InputError: the options are ones that training refuses too, or a process was killed.
    """
    most = num_gpus or MOST_VIRTUAL
    # One replica is what the others are compared with.
    counts = sorted({1, *(count for count in config.replicas if count <= most)})
    measure = measure_fn or _Processes(num_classes, num_gpus)
    costs = {count: measure(config, count) for count in counts}
    return {
        "images_per_replica": config.replica_batch_size,
        "num_gpus": num_gpus,
        "cores": len(os.sched_getaffinity(0)),
        "left_out": sorted(set(config.replicas) - set(counts)),
        **rows(costs, config.replica_batch_size, config.optimizer.accumulate_steps),
    }


def rows(
    costs: Mapping[int, "ReplicaCost"], num_images: int, least: int = 1
) -> dict[str, dict[str, Any]]:
    """The figures of each number of replicas, as ``measure_scaling`` returns them.

    Args:
        costs: {number of replicas: its cost}, of 1 too.
        num_images: per replica and step.
        least: of ``ReplicaCost.small``; smaller than ``num_images``.
    """
    parts = {count: _parts(cost, num_images, least) for count, cost in costs.items()}
    return {
        f"replicas_{count}": _row(cost, parts[count], costs[1].fed / cost.fed, parts[1])
        for count, cost in costs.items()
    }


def _row(
    cost: "ReplicaCost", parts: Mapping[str, float], efficiency: float, ideal: Mapping[str, float]
) -> dict[str, Any]:
    lost = _lost(parts, ideal)
    return {
        **cost.rates,
        "ms_per_step": cost.fed,
        "efficiency": efficiency,
        "single_step_ratio": cost.single / cost.whole,
        "part_ms_per_step": parts,
        "part_ms_lost": lost,
        "limit": "" if efficiency >= _NEAR_IDEAL else max(PARTS, key=lambda part: lost[part]),
    }


def _parts(cost: "ReplicaCost", num_images: int, least: int) -> dict[str, float]:
    """{part: milliseconds}, which sum to ``cost.fed``; noise may make one negative."""
    per_image = (cost.apart - cost.small) / (num_images - least)
    return {
        "launch": cost.small - least * per_image,
        "compute": num_images * per_image,
        "reduction": cost.whole - cost.apart,
        "input": cost.fed - cost.whole,
    }


def _lost(parts: Mapping[str, float], ideal: Mapping[str, float]) -> dict[str, float]:
    more = {part: max(0.0, parts[part] - ideal[part]) for part in PARTS}
    # The host starts work while devices still compute: what that hides is not lost. Then compute
    # seems to have fallen by as much as launch has risen.
    both = sum(parts[part] - ideal[part] for part in ("launch", "compute"))
    launch = min(more["launch"], max(0.0, both))
    return {**more, "launch": launch, "compute": max(0.0, both - launch)}


@dataclasses.dataclass(frozen=True)
class _Processes:
    """Measures each number of replicas in a new process."""

    num_classes: int
    num_gpus: int

    def __call__(self, config: BenchmarkConfig, count: int) -> "ReplicaCost":
        own = config_of(config, count, on_gpus=self.num_gpus > 0)
        visible = visible_gpus(os.environ.get(_VISIBLE), self.num_gpus, count)
        # Not forked: TensorFlow has threads in this process.
        context = get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        words = (sender, own, self.num_classes, visible)
        process = context.Process(target=_send_cost, args=words, name=f"{count} replicas")
        process.start()
        sender.close()
        try:
            found = receiver.recv()
        except EOFError:
            process.join()
            raise InputError(
                f"--replicas={count}: the process that measures {_end(process.exitcode or 0)}"
            ) from None
        finally:
            process.kill()  # after Ctrl-C it may still measure
            process.join()
        if isinstance(found, InputError):
            raise found
        return found


def _end(exit_code: int) -> str:
    if exit_code < 0:
        return f"was killed by signal {-exit_code}, as when memory runs out"
    return f"has failed with exit code {exit_code}, as said above"


def config_of(config: BenchmarkConfig, count: int, *, on_gpus: bool) -> BenchmarkConfig:
    """The config of the process that measures ``count`` replicas: of its global batch and devices.

    Args:
        config: of the benchmark.
        count: number of replicas.
        on_gpus: whether they are GPUs.
    """
    # With --require_gpu the process stops with an error where there is none.
    virtual = 0 if on_gpus or config.devices.require_gpu else count
    devices = dataclasses.replace(config.devices, num_virtual_devices=virtual)
    return dataclasses.replace(
        config,
        only="end_to_end" if config.records else "model",
        batch_size=count * config.replica_batch_size,
        devices=devices,
    )


def visible_gpus(visible: str | None, num_gpus: int, count: int) -> str:
    """``CUDA_VISIBLE_DEVICES`` of a process that uses the first ``count`` GPUs.

    Args:
        visible: the variable's value in this process, None if it is not set.
        num_gpus: that TensorFlow finds here; of 0, the process sees none either.
        count: number of replicas.
    """
    names: Iterable[str] = visible.split(",") if visible else map(str, range(num_gpus))
    return ",".join([*names][: min(count, num_gpus)])


def _send_cost(connection: Connection, *words: Any) -> None:
    """Measures in a new process; sends the cost or the error of ``_measure(*words)``."""
    # It dies with its parent (man 2 prctl).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        connection.send(_measure(*words))
    except InputError as error:
        connection.send(error)


def _measure(config: BenchmarkConfig, num_classes: int, visible: str) -> "ReplicaCost":
    os.environ[_VISIBLE] = visible
    import tensorflow as tf

    from ssd_tfrecord.benchmark import replica_cost
    from ssd_tfrecord.data import caching
    from ssd_tfrecord.devices.strategy import create_strategy
    from ssd_tfrecord.records.manifest import load_manifests

    strategy = create_strategy(config.devices)
    manifests = load_manifests(config.records)
    source = caching.opened(manifests, config.input.reading) if manifests else None
    try:
        return replica_cost.measure_replicas(config, num_classes, strategy, source)
    except tf.errors.ResourceExhaustedError:
        raise OutOfMemoryError(
            f"--replica_batch_size={config.replica_batch_size}: more than the memory of a GPU; use "
            "a smaller one"
        ) from None
