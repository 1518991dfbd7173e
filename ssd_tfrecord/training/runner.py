"""Several steps in one call of the graph, and the time that they waited for data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

# Scalars that the step returns and that are summed over the steps of a call. A ``gradient_norm``
# that is not finite counts as 0.
METRICS = (
    "loss",
    "class_loss",
    "box_loss",
    "positives_per_image",
    "unmatched_objects",
    "bad_records",
    "gradient_norm",
)


# Finished steps, whether all were finite, seconds waited, sum of each metric.
_LoopState = tuple[tf.Tensor, tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]


@dataclass(frozen=True)
class RunResult:
    """What the steps of one call did.

    ``num_steps`` have been run; ``sums`` holds the sum of each metric over them; ``waited`` is how
    long they waited for data, in seconds. If ``finite`` is False, the loss or gradient of the last
    one is not finite.
    """

    num_steps: int
    finite: bool
    waited: float
    sums: dict[str, float]


class StepRunner:
    """Runs a step function on the batches of a dataset, on every replica.

    The function is traced once, whatever the number of steps.

    Args:
        step_fn: a replica's batch -> the scalars ``METRICS`` and ``finite``, equal on all replicas.
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
        # The number of steps is a tensor: as a Python number, each would be a trace of its own.
        self._function = tf.function(
            self._run_steps, input_signature=[tf.TensorSpec([], tf.int32)], autograph=False
        )

    def run(self, num_steps: int) -> RunResult:
        """Runs ``num_steps`` steps, or fewer if one of them is not finite."""
        done, finite, waited, sums = self._function(tf.constant(num_steps, tf.int32))
        return RunResult(
            num_steps=int(done),
            finite=bool(finite),
            waited=float(waited),
            sums={name: float(value) for name, value in sums.items()},
        )

    def _run_steps(self, num_steps: tf.Tensor) -> _LoopState:
        def body(
            done: tf.Tensor, finite: tf.Tensor, waited: tf.Tensor, sums: dict[str, tf.Tensor]
        ) -> _LoopState:
            # ``finite`` reaches the host when the whole previous step is done: the clock starts
            # when the device becomes idle, and stops when the batch is there.
            with tf.control_dependencies([finite]):
                idle = tf.timestamp()
            with tf.control_dependencies([idle]):
                batch = next(self._batches)
            with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
                arrived = tf.timestamp()
            metrics = self._strategy.run(self._step_fn, args=(batch,))
            # The step has already reduced them: every replica has the same values.
            first = {
                name: self._strategy.experimental_local_results(value)[0]
                for name, value in metrics.items()
            }
            # Loss scaling skips a step whose gradient overflows: nothing was applied, hence 0.
            norm = first["gradient_norm"]
            first["gradient_norm"] = tf.where(tf.math.is_finite(norm), norm, 0.0)
            added = {name: sums[name] + first[name] for name in METRICS}
            return done + 1, first["finite"] > 0.0, waited + arrived - idle, added

        return tf.while_loop(
            lambda done, finite, *_: finite & (done < num_steps),
            body,
            (
                tf.constant(0),
                tf.constant(True),
                tf.constant(0.0, tf.float64),
                {name: tf.constant(0.0) for name in METRICS},
            ),
            parallel_iterations=1,
        )
