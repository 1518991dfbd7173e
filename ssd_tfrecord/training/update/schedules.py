"""The learning rate of each step: a linear warm-up, then steps or a cosine."""

import math
from typing import Any

import tensorflow as tf

from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import OptimizerOptions


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of the step that follows ``step`` finished ones: a float32 scalar.

    With ``steps``, it is ``lr_values[i]`` from ``lr_boundaries[i - 1]`` finished steps until
    ``lr_boundaries[i]``. With ``cosine``, it falls from ``learning_rate`` at the end of the warm-up
    to 0 at ``num_steps``. During the warm-up it is (step + 1) / warmup_steps of that, so that the
    first step is not wasted on a rate of 0.

    Args:
        options: the schedule.
        num_steps: end of the cosine.
    """

    def __init__(self, options: OptimizerOptions, num_steps: int) -> None:
        super().__init__()
        self.options = options
        self.num_steps = num_steps

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """The learning rate after ``step`` finished steps."""
        with tf.name_scope("learning_rate"):
            done = tf.cast(step, tf.float32)
            warmup = self.options.warmup_steps
            rate = self._cosine(done) if self.options.lr_schedule == "cosine" else self._steps(done)
            # Without a warm-up the factor is 1 from the first step on, as (0 + 1) / 1.
            return rate * tf.minimum(1.0, (done + 1.0) / max(1, warmup))

    def get_config(self) -> dict[str, Any]:
        """What the schedule is made from; Keras asks every schedule for it."""
        return {"options": self.options, "num_steps": self.num_steps}

    def _steps(self, done: tf.Tensor) -> tf.Tensor:
        boundaries = tf.constant(self.options.lr_boundaries, tf.float32)
        stretch = tf.reduce_sum(tf.cast(done >= boundaries, tf.int32))
        return tf.gather(tf.constant(stretch_rates(self.options), tf.float32), stretch)

    def _cosine(self, done: tf.Tensor) -> tf.Tensor:
        warmup = self.options.warmup_steps
        share = (done - warmup) / max(1, self.num_steps - warmup)
        falling = 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value(share, 0.0, 1.0)))
        return self.options.learning_rate * falling


def stretch_rates(options: OptimizerOptions) -> tuple[float, ...]:
    """The learning rates before, between and after ``lr_boundaries``, one more than those."""
    if options.lr_values:
        return options.lr_values
    return tuple(options.learning_rate / 10**i for i in range(len(options.lr_boundaries) + 1))
