"""Several steps in one call of the graph, with the time that they waited for data."""

from dataclasses import dataclass

import tensorflow as tf

# Scalars that the step gives, averaged over the steps of a call. A ``gradient_norm`` that is not
# finite counts as 0.
METRICS = (
    "loss",
    "class_loss",
    "box_loss",
    "positives_per_image",
    "unmatched_objects",
    "bad_records",
    "gradient_norm",
)


@dataclass(frozen=True)
class RunResult:
    """What the steps of one call did; ``sums`` holds the sum of each metric over them.

    ``waited`` is in seconds. Where ``finite`` is False, the last of the ``num_steps`` steps met a
    loss or gradient that is not finite.
    """

    num_steps: int
    finite: bool
    waited: float
    sums: dict[str, float]


class StepRunner:
    """Runs ``step_fn`` on the batches of ``dataset``, on every replica of ``strategy``.

    ``step_fn`` takes a replica's batch and gives the scalars ``METRICS`` and ``finite``, equal on
    all replicas. It is traced once, whatever the number of steps.
    """

    def __init__(self, step_fn, dataset, strategy):
        self._step_fn = step_fn
        self._strategy = strategy
        self._batches = iter(strategy.experimental_distribute_dataset(dataset))
        self._function = tf.function(
            self._run_steps, input_signature=[tf.TensorSpec([], tf.int32)], autograph=False
        )

    def run(self, num_steps: int) -> RunResult:
        """Runs ``num_steps`` steps, fewer where one of them is not finite."""
        done, finite, waited, sums = self._function(tf.constant(num_steps, tf.int32))
        return RunResult(
            num_steps=int(done),
            finite=bool(finite),
            waited=float(waited),
            sums={name: float(value) for name, value in sums.items()},
        )

    def _run_steps(self, num_steps):
        def body(done, finite, waited, sums):
            # ``finite`` comes to the host when all of the step before is done: the clock starts
            # as the device becomes idle, and stops as the batch is there.
            with tf.control_dependencies([finite]):
                idle = tf.timestamp()
            with tf.control_dependencies([idle]):
                batch = next(self._batches)
            with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
                arrived = tf.timestamp()
            metrics = self._strategy.run(self._step_fn, args=(batch,))
            first = {
                name: self._strategy.experimental_local_results(value)[0]
                for name, value in metrics.items()
            }
            # Loss scaling skips a step whose gradient overflows: nothing was applied, so 0.
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
