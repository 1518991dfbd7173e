"""Several steps in one call of the graph, and the time that they waited for data."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

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
    seconds. If ``finite`` is False, the loss or gradient of the last one is not finite, and it adds
    to no sum but that of ``skipped_steps``.
    ``skips_in_a_row`` is the number of steps up to the last that changed no weight.
    """

    num_steps: int
    finite: bool
    waited: float
    sums: dict[str, float]
    last: dict[str, float] = field(default_factory=dict)
    skips_in_a_row: int = 0


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

    The function is traced once, whatever the number of steps.

    Args:
        step_fn: a replica's batch -> the scalars ``METRICS``, ``LAST`` and ``finite``, equal on all
            replicas.
        dataset: global batches.
        strategy: where the replicas are.
    """

    def __init__(
        self,
        step_fn: Callable[[Any], Mapping[str, tf.Tensor]],
        dataset: tf.data.Dataset,
        strategy: tf.distribute.Strategy,
    ) -> None:
        self._step_fn = step_fn
        self._strategy = strategy
        self._batches = iter(strategy.experimental_distribute_dataset(dataset))
        # On the host, where another thread reads and sets them while the steps run.
        with tf.device("/cpu:0"):
            self._stop = tf.Variable(False, trainable=False)
            self._begun = tf.Variable(0, trainable=False, dtype=tf.int64)
            self._done = tf.Variable(0, trainable=False, dtype=tf.int64)
        # The numbers of steps are tensors: as Python numbers, each would be a trace of its own.
        self._function = tf.function(
            self._run_steps,
            input_signature=[tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int32)],
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
        """Runs ``num_steps`` steps, fewer after ``stop`` or if one of them is not finite.

        The call also ends where ``MAX_SKIPS`` steps in a row changed no weight.
        """
        self.trace()
        before = int(self._done.numpy())
        self._call_began = time.monotonic()
        with self._looking:
            self._seen, self._seen_since = (before, before), self._call_began
        self._in_call = True
        try:
            finite, waited, skips, sums, last = self._concrete(
                tf.constant(num_steps, tf.int32), tf.constant(self._skips, tf.int32)
            )
        finally:
            self._in_call = False
        self._skips = int(skips)
        return RunResult(
            num_steps=int(self._done.numpy()) - before,
            finite=bool(finite),
            waited=float(waited),
            sums={name: float(value) for name, value in sums.items()},
            last={name: float(value) for name, value in last.items()},
            skips_in_a_row=self._skips,
        )

    def stop(self) -> None:
        """Has the call in hand, and all later ones, end after the step in hand; for any thread."""
        self._stop.assign(True)

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

        After ``stop``, a step that is not ``in_step`` now will not begin.
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

    def _run_steps(self, num_steps: tf.Tensor, skips: tf.Tensor) -> tuple[Any, ...]:
        def body(
            number: tf.Tensor,
            finite: tf.Tensor,
            waited: tf.Tensor,
            skips: tf.Tensor,
            sums: dict[str, tf.Tensor],
            last: dict[str, tf.Tensor],
        ) -> tuple[Any, ...]:
            # ``finite`` reaches the host when the whole previous step is done: the clock starts
            # when the device becomes idle, and stops when the batch is there.
            with tf.control_dependencies([finite]):
                idle = tf.timestamp()
            with tf.control_dependencies([idle]):
                batch = next(self._batches)
            with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
                arrived = tf.timestamp()
                begun = self._begun.assign_add(1, read_value=True)
            # Said to have begun before it looks: a thread that asks for a stop, and then sees no
            # step, can rely on that.
            with tf.control_dependencies([begun]):
                stopped = self._stop.read_value()
            values = tf.cond(stopped, lambda: self._no_step(last), lambda: self._step(batch))
            added = {name: sums[name] + values[name] for name in METRICS}
            skipped = values["skipped_steps"] > 0.0
            return (
                number + 1,
                values["finite"] > 0.0,
                waited + arrived - idle,
                tf.where(skipped, skips + 1, 0),
                added,
                {name: values[name] for name in LAST},
            )

        def goes_on(
            number: tf.Tensor, finite: tf.Tensor, _: tf.Tensor, skips: tf.Tensor, *__: Any
        ) -> tf.Tensor:
            with tf.control_dependencies([finite]):
                stopped = self._stop.read_value()
            return finite & (number < num_steps) & (skips < MAX_SKIPS) & ~stopped

        _, *results = tf.while_loop(
            goes_on,
            body,
            (
                tf.constant(0),
                tf.constant(True),
                tf.constant(0.0, tf.float64),
                skips,
                {name: tf.constant(0.0) for name in METRICS},
                {name: tf.constant(0.0) for name in LAST},
            ),
            parallel_iterations=1,
        )
        return tuple(results)

    def _step(self, batch: Any) -> dict[str, tf.Tensor]:
        metrics = self._strategy.run(self._step_fn, args=(batch,))
        # The step has already reduced them: every replica has the same values.
        first = {
            name: self._strategy.experimental_local_results(value)[0]
            for name, value in metrics.items()
        }
        # Loss scaling skips a step whose gradient overflows: nothing was applied, hence 0. Of a
        # batch that is left out, nothing counts.
        counts = first["finite"] > 0.0
        always = ("skipped_steps", *LAST, "finite")
        values = {
            name: tf.where(
                tf.math.is_finite(first[name]) & (counts | (name in always)), first[name], 0.0
            )
            for name in (*METRICS, *LAST, "finite")
        }
        with tf.control_dependencies(list(values.values())):
            done = self._done.assign_add(1, read_value=True)
        with tf.control_dependencies([done]):
            return {name: tf.identity(value) for name, value in values.items()}

    def _no_step(self, last: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([self._begun.assign(self._done, read_value=True)]):
            values = {name: tf.constant(0.0) for name in METRICS}
            values |= {name: tf.identity(last[name]) for name in LAST} | {
                "finite": tf.constant(1.0)
            }
            return {name: tf.identity(value) for name, value in values.items()}
