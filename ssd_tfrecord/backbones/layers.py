"""The layers that the backbones and the heads are made of."""

import zlib

import tensorflow as tf

from ssd_tfrecord.keras import keras

# Keras's MobileNetV2 has 0.999, which takes thousands of steps to forget how it began; a run on
# own data has hundreds.
BATCH_NORM_MOMENTUM = 0.97
BATCH_NORM_EPSILON = 1e-3


def xavier(seed: int, name: str) -> keras.initializers.Initializer:
    """Caffe's Xavier, uniform within ±sqrt(3 / fan_in), for the layer ``name``.

    Its own seed is made from the model's and the layer's name, so that the weights depend neither
    on the order of building nor on the number of replicas.
    """
    return keras.initializers.LecunUniform(seed=zlib.crc32(f"{seed}/{name}".encode()))


def batch_norm_layer(name: str, mode: str) -> keras.layers.Layer:
    """Batch normalisation for ``--batch_norm``: sync (over all replicas) or frozen.

    A frozen layer is not trained, and uses its moving averages in training too.
    """
    return BatchNorm(
        momentum=BATCH_NORM_MOMENTUM,
        epsilon=BATCH_NORM_EPSILON,
        synchronized=True,
        trainable=mode == "sync",
        name=name,
    )


class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalisation over the global batch, through TensorFlow's fused kernel on one replica.

    A training step of MobileNetV2 takes less than half the time so, evaluation a third. Keras's
    own fused layer is no choice: its moving variance is the unbiased one (N / (N - 1)), and a run
    would depend on the number of replicas. Nor is its synchronised one: see _sum_over_replicas.
    """

    def call(self, inputs, training=None):
        training = bool(training) and self.trainable
        if not training:
            return self._fused(inputs, mean=self.moving_mean, variance=self.moving_variance)[0]
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            outputs, mean, variance = self._over_replicas(inputs)
        else:
            outputs, mean, unbiased = self._fused(inputs)
            count = inputs.shape[1] * inputs.shape[2] * tf.cast(tf.shape(inputs)[0], unbiased.dtype)
            variance = unbiased * ((count - 1) / count)
        self._average(self.moving_mean, mean)
        self._average(self.moving_variance, variance)
        return outputs

    def _over_replicas(self, inputs):
        """Normalised by the moments over all replicas, which hold equally many images."""
        pixels = tf.cast(inputs, tf.float32)
        means, variances = tf.unstack(
            _gather_replicas(tf.stack(tf.nn.moments(pixels, axes=[0, 1, 2]))), axis=1
        )
        # Not E[x²] - E[x]²: its cancellation would show in the fifth digit of a gradient.
        mean, between = tf.nn.moments(means, axes=[0])
        variance = tf.reduce_mean(variances, axis=0) + between
        outputs = tf.nn.batch_normalization(
            pixels, mean, variance, self.beta, self.gamma, self.epsilon
        )
        return tf.cast(outputs, inputs.dtype), mean, variance

    def _fused(self, inputs, **moments):
        return tf.compat.v1.nn.fused_batch_norm(
            inputs,
            self.gamma,
            self.beta,
            epsilon=self.epsilon,
            is_training=not moments,
            **moments,
        )

    def _average(self, moving, value):
        moving.assign_sub((moving - value) * (1 - self.momentum))


def _gather_replicas(value):
    """``value`` of every replica, [R, ...], each row in its replica's place."""
    context = tf.distribute.get_replica_context()
    place = tf.one_hot(context.replica_id_in_sync_group, context.num_replicas_in_sync)
    return _sum_over_replicas(tf.tensordot(place, value, axes=0))


@tf.custom_gradient
def _sum_over_replicas(value):
    """The sum of ``value`` over all replicas; its gradient is the sum of theirs.

    A bare all_reduce is a custom gradient too, for which TensorFlow walks back through the graph
    of every other replica, in each layer anew: two replicas of MobileNetV2 took 8 minutes to
    trace. The walk ends at stop_gradient, and the trace takes half a minute.
    """

    def total(local):
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stop_gradient(local))

    return total(value), total


class ChannelL2Norm(keras.layers.Layer):
    """x / |x| over the channels, times a learned scale of each channel that starts at 20.

    Source: Liu et al., ParseNet, arXiv 1506.04579, section 3.3. Computed in float32 under every
    precision, and gives float32: the squares of conv4_3 overflow float16.
    """

    # The Caffe layer's, added to the sum of squares.
    EPSILON = 1e-10

    def __init__(self, name):
        super().__init__(name=name, dtype="float32")

    def build(self, input_shape):
        self.scale = self.add_weight(
            name="scale",
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(20.0),
        )
        super().build(input_shape)

    def call(self, inputs):
        squares = tf.reduce_sum(tf.square(inputs), axis=-1, keepdims=True)
        return inputs * tf.math.rsqrt(squares + self.EPSILON) * self.scale
