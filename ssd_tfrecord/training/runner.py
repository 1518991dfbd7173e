"""Several steps in one call of the graph, and the time that they waited for data."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from ssd_tfrecord.data.passes import shared_out
from ssd_tfrecord.tracing import optimized_once

# Scalars that the step returns and that are summed over the steps of a call. One that is not finite
# counts as 0.
METRICS = (
    "loss",
    "class_loss",
    "box_loss",
    "positives_per_image",
    "unmatched_objects",
    "bad_records",
    "gradient_norm",
    "skipped_steps",
)
# Scalars of which the last step's is kept.
LAST = ("loss_scale",)

# With loss scaling, a scale that is halved this often in a row is 1e-30 of what it was: the loss
# itself is wrong.
MAX_SKIPS = 100

# Until then, nobody is interested in what a call waits for.
_SHORT_SECONDS = 5.0


@dataclass(frozen=True)
class RunResult:
    """What the steps of one call did.

    ``num_steps`` have been run; ``sums`` holds the sum of each of ``METRICS`` over them, ``last``
    each of ``LAST`` after the last of them; ``waited`` is how long they waited for data, in
    seconds. ``not_finite`` are the numbers in the call, from 1, of those whose loss or gradient is
    not finite: of the last two at most. They add to no sum but that of ``skipped_steps``.
    ``skips_in_a_row`` is the number of steps up to the last that changed no weight; ``stopped``:
    a worker has been asked to stop, and all have stopped at this step.
    """

    num_steps: int
    waited: float
    sums: dict[str, float]
    last: dict[str, float] = field(default_factory=dict)
    not_finite: tuple[int, ...] = ()
    skips_in_a_row: int = 0
    stopped: bool = False

    @property
    def finite(self) -> bool:
        """Whether all steps are finite."""
        return not self.not_finite


@dataclass(frozen=True)
class Progress:
    """Where the steps are, for another thread.

    ``num_steps`` are finished, of all calls; ``in_step``: one more has its batch and may be
    changing weights; ``waiting``: seconds since a call has waited for a batch, 0 outside of calls.
    """

    num_steps: int
    in_step: bool
    waiting: float


class StepRunner:
    """Runs a step function on the batches of a dataset, on every replica.

    The function is traced once, whatever the number of steps. The host does not wait for what a
    step has found before it starts the next one: it learns a step later that one is not finite, or
    that a worker is to stop. A step that is not finite has changed nothing, so the next is right.

    Args:
        step_fn: (a replica's batch, 1.0 where this worker is to stop or 0.0) -> the scalars
            ``METRICS``, ``LAST``, ``finite`` and ``stop``, equal on all replicas.
        dataset: global batches; of several workers, this one's share of each.
        strategy: where the replicas are.
        before_fn: called with the number of steps before each call.
    """

    def __init__(
        self,
        step_fn: Callable[[Any, tf.Tensor], Mapping[str, tf.Tensor]],
        dataset: tf.data.Dataset,
        strategy: tf.distribute.Strategy,
        before_fn: Callable[[int], object] = lambda num_steps: None,
    ) -> None:
        self._before_fn = before_fn
        self._step_fn = step_fn
        self._strategy = strategy
        self._batches = iter(shared_out(dataset, strategy))
        self._agrees = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        # On the host, where another thread reads and sets them while the steps run.
        with tf.device("/cpu:0"):
            self._stop = tf.Variable(False, trainable=False)
            self._halt = tf.Variable(False, trainable=False)
            self._begun = tf.Variable(0, trainable=False, dtype=tf.int64)
            self._done = tf.Variable(0, trainable=False, dtype=tf.int64)
        # The numbers of steps are tensors: as Python numbers, each would be a trace of its own.
        self._function = tf.function(
            self._run_steps,
            input_signature=[tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.float32)],
            autograph=False,
        )
        self._concrete: Any = None
        self._skips = 0
        self._in_call = False
        self._call_began = 0.0
        # (begun, done) at the last look, and since when.
        self._seen = (0, 0)
        self._seen_since = 0.0
        self._looking = threading.Lock()

    def trace(self) -> None:
        """Traces the steps, which may take a minute of Python, and runs none."""
        if self._concrete is None:
            self._concrete = self._function.get_concrete_function()

    def run(self, num_steps: int) -> RunResult:
        """Runs ``num_steps`` steps; fewer after ``stop``, or soon after one that is not finite.

        The call also ends soon after ``MAX_SKIPS`` steps in a row changed no weight. Of several
        workers, all have to call it, with the same number.
        """
        self.trace()
        before = int(self._done.numpy())
        self._call_began = time.monotonic()
        with self._looking:
            self._seen, self._seen_since = (before, before), self._call_began
        self._in_call = True
        self._before_fn(num_steps)
        try:
            with optimized_once():
                values, waited = self._concrete(
                    tf.constant(num_steps, tf.int32), tf.constant(self._skips, tf.float32)
                )
            # One tensor, so that a device is asked once.
            *checked, finite, stop, skips = values.numpy().tolist()
        finally:
            self._in_call = False
        done = int(self._done.numpy()) - before
        self._skips = int(skips)
        numbers = dict(zip((*METRICS, *LAST), checked[3:]))
        return RunResult(
            num_steps=done,
            waited=float(waited),
            sums={name: numbers[name] for name in METRICS},
            last={name: numbers[name] for name in LAST},
            not_finite=tuple(
                number
                for number, is_finite in ((done - 1, checked[0]), (done, finite))
                if not is_finite
            ),
            skips_in_a_row=self._skips,
            stopped=bool(checked[1] or stop),
        )

    def stop(self) -> None:
        """Has the call in hand, and all later ones, end soon; for any thread.

        Of a worker alone, after the step in hand. Of several, all end after the same step.
        """
        self._stop.assign(True)

    def halt(self) -> None:
        """Has no step begin that has not begun; other workers then wait in vain. For any thread."""
        self._halt.assign(True)

    def waiting(self) -> float:
        """For how many seconds a call has waited for a batch; for any thread, at any rate.

        0 until a call has lasted ``_SHORT_SECONDS``: before that, no variable is read. TensorFlow
        2.15 on Python 3.11 leaves 48 bytes behind for each result outside of a graph, and four
        looks a second would make 60 MB a day of that.
        """
        if not self._in_call or time.monotonic() - self._call_began < _SHORT_SECONDS:
            return 0.0
        return self.progress().waiting

    def progress(self) -> Progress:
        """Where the steps are; for any thread.

        After ``halt``, a step that is not ``in_step`` now will not begin.
        """
        with self._looking:
            # In this order: what has begun is read last, so that no step is taken for finished.
            done = int(self._done.numpy())
            begun = int(self._begun.numpy())
            now = time.monotonic()
            if not self._in_call or (begun, done) != self._seen:
                self._seen, self._seen_since = (begun, done), now
            waiting = now - self._seen_since if self._in_call and begun == done else 0.0
            return Progress(done, in_step=begun > done, waiting=waiting)

    def _run_steps(self, num_steps: tf.Tensor, skips: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        before = self._done.read_value()

        def finished(count: tf.Tensor, verdict: tf.Tensor) -> tf.Tensor:
            """Counts ``count`` steps of this call, of whose last there is a ``verdict``."""
            with tf.control_dependencies([verdict]), tf.device("/cpu:0"):
                return self._done.assign(before + tf.cast(count, tf.int64), read_value=True)

        def body(
            number: tf.Tensor,
            count: tf.Tensor,
            checked: tf.Tensor,
            verdict: tf.Tensor,
            waited: tf.Tensor,
            sums: dict[str, tf.Tensor],
            last: dict[str, tf.Tensor],
        ) -> tuple[Any, ...]:
            # The verdict reaches the host when the whole previous step is done: the clock starts
            # when the device becomes idle, and stops when the batch is there.
            with tf.control_dependencies([finished(count, verdict)]):
                idle = tf.timestamp()
            batch = next(self._batches)
            with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
                arrived = tf.timestamp()
                begun = self._begun.assign(before + tf.cast(count, tf.int64) + 1, read_value=True)
            # Said to have begun before it looks: a thread that asks for a halt, and then sees no
            # step, can rely on that.
            with tf.control_dependencies([begun]):
                stop, halted = self._stop.read_value(), self._halt.read_value()
            stop_value = tf.cast(stop, tf.float32)
            values = tf.cond(
                halted if self._agrees else halted | stop,
                lambda: self._no_step(last),
                lambda: self._step(batch, stop_value),
            )
            skipped = values["skipped_steps"] > 0.0
            row = [values["finite"], values["stop"], tf.where(skipped, verdict[2] + 1.0, 0.0)]
            return (
                number + 1,
                count + values["ran"],
                tf.where(values["ran"] > 0, verdict, checked),
                tf.where(values["ran"] > 0, tf.stack(row), verdict),
                waited + tf.maximum(arrived - idle, 0.0),
                {name: sums[name] + values[name] for name in METRICS},
                {name: values[name] for name in LAST},
            )

        def goes_on(number: tf.Tensor, count: tf.Tensor, checked: tf.Tensor, *_: Any) -> tf.Tensor:
            finite, stop, skips = tf.unstack(checked)
            # One step late, so that the device has the next one by then.
            alone = self._halt.read_value()
            if not self._agrees:
                alone |= self._stop.read_value()
            fine = (finite > 0.0) & (stop == 0.0) & (skips < MAX_SKIPS)
            return fine & (number < num_steps) & (count == number) & ~alone

        first = tf.stack([tf.constant(1.0), tf.constant(0.0), skips])
        _, count, checked, verdict, waited, sums, last = tf.while_loop(
            goes_on,
            body,
            (
                tf.constant(0),
                tf.constant(0),
                first,
                first,
                tf.constant(0.0, tf.float64),
                {name: tf.constant(0.0) for name in METRICS},
                {name: tf.constant(0.0) for name in LAST},
            ),
            parallel_iterations=1,
        )
        with tf.control_dependencies([finished(count, verdict)]):
            numbers = [*(sums[name] for name in METRICS), *(last[name] for name in LAST)]
            return tf.concat([checked, tf.stack(numbers), verdict], axis=0), waited

    def _step(self, batch: Any, stop: tf.Tensor) -> dict[str, tf.Tensor]:
        metrics = self._strategy.run(self._step_fn, args=(batch, stop))
        # The step has already reduced them: every replica has the same values.
        first = {
            name: self._strategy.experimental_local_results(value)[0]
            for name, value in metrics.items()
        }
        # Loss scaling skips a step whose gradient overflows: nothing was applied, hence 0. Of a
        # batch that is left out, nothing counts.
        counts = first["finite"] > 0.0
        always = ("skipped_steps", *LAST, "finite", "stop")
        values = {
            name: tf.where(
                tf.math.is_finite(first[name]) & (counts | (name in always)), first[name], 0.0
            )
            for name in (*METRICS, *LAST, "finite", "stop")
        }
        return values | {"ran": tf.constant(1)}

    def _no_step(self, last: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([self._begun.assign(self._done, read_value=True)]):
            values = {name: tf.constant(0.0) for name in METRICS}
            values |= {name: tf.identity(last[name]) for name in LAST}
            values |= {"finite": tf.constant(1.0), "stop": tf.constant(0.0), "ran": tf.constant(0)}
            return {name: tf.identity(value) for name, value in values.items()}
