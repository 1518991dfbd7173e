"""The learning rate of each step: linear warm-up, then steps or a cosine."""

import math

import tensorflow as tf

from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import OptimizerOptions


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """Rate of the step that follows ``step`` finished ones; float32 scalar.

    Steps: stretch i holds ``lr_values[i]`` from ``lr_boundaries[i - 1]`` finished steps on, up to
    ``lr_boundaries[i]``. Cosine: from ``learning_rate`` at the end of the warm-up to 0 at
    ``num_steps``. In the warm-up the rate is (step + 1) / warmup_steps of that, so that no step
    is lost on a rate of 0.
    """

    def __init__(self, options: OptimizerOptions, num_steps: int):
        super().__init__()
        self.options = options
        self.num_steps = num_steps

    def __call__(self, step):
        with tf.name_scope("learning_rate"):
            done = tf.cast(step, tf.float32)
            warmup = self.options.warmup_steps
            rate = self._cosine(done) if self.options.lr_schedule == "cosine" else self._steps(done)
            return rate * tf.minimum(1.0, (done + 1.0) / max(1, warmup))

    def get_config(self):
        return {"options": self.options, "num_steps": self.num_steps}

    def _steps(self, done):
        boundaries = tf.constant(self.options.lr_boundaries, tf.float32)
        stretch = tf.reduce_sum(tf.cast(done >= boundaries, tf.int32))
        return tf.gather(tf.constant(stretch_rates(self.options), tf.float32), stretch)

    def _cosine(self, done):
        warmup = self.options.warmup_steps
        share = (done - warmup) / max(1, self.num_steps - warmup)
        falling = 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value(share, 0.0, 1.0)))
        return self.options.learning_rate * falling


def stretch_rates(options: OptimizerOptions) -> tuple[float, ...]:
    """Rate of each stretch between boundaries, one more than ``lr_boundaries``."""
    if options.lr_values:
        return options.lr_values
    return tuple(options.learning_rate / 10**i for i in range(len(options.lr_boundaries) + 1))
