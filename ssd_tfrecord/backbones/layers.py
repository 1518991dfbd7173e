"""The layers of the backbones and the heads."""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from ssd_tfrecord.keras import keras

# Keras's MobileNetV2 has 0.999, which needs thousands of steps to forget the initial values; a run
# on one's own data may have only hundreds.
BATCH_NORM_MOMENTUM = 0.97
# That of Keras's MobileNets and torchvision's SSDLite.
BATCH_NORM_EPSILON = 1e-3


# In place of a seed: kernels begin with zeros, since all weights will be replaced. To draw the 26
# million of VGG-16 takes a third of the 0.6 CPU s of building it.
BLANK = -1


def xavier(seed: int, name: str) -> keras.initializers.Initializer:
    """Caffe's Xavier, uniform within ±sqrt(3 / fan_in), for the layer ``name``.

    Its seed is derived from the model's seed and the layer's name, so the weights depend neither on
    the order in which layers are built nor on the number of replicas. With the seed ``BLANK``,
    zeros.
    """
    if seed == BLANK:
        return keras.initializers.Zeros()
    # Not hash(), which differs from process to process.
    return keras.initializers.LecunUniform(seed=zlib.crc32(f"{seed}/{name}".encode()))


def batch_norm_layer(
    name: str,
    mode: str,
    *,
    momentum: float | None = None,
    epsilon: float | None = None,
) -> keras.layers.Layer:
    """Batch normalisation for ``--batch_norm``: sync (over all replicas) or frozen.

    A frozen layer is not trained and uses its moving averages during training as well. ``momentum``
    and ``epsilon`` are those above if None.
    """
    return BatchNorm(
        momentum=BATCH_NORM_MOMENTUM if momentum is None else momentum,
        epsilon=BATCH_NORM_EPSILON if epsilon is None else epsilon,
        synchronized=True,
        trainable=mode == "sync",
        name=name,
    )


class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalisation over the global batch, through TensorFlow's fused kernel on one replica.

    With it, a training step of MobileNetV2 takes less than half the time, evaluation a third.
    Keras's own fused layer cannot be used: its moving variance is the unbiased one (N / (N - 1)),
    so a run would depend on the number of replicas. Nor can its synchronised layer: see
    _sum_over_replicas.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Normalises ``inputs`` [B, H, W, C], and in training updates the moving averages."""
        # As in Keras: a frozen layer computes as in inference.
        training = bool(training) and self.trainable
        if not training:
            return self._fused(inputs, mean=self.moving_mean, variance=self.moving_variance)[0]
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            outputs, mean, variance = self._over_replicas(inputs)
        else:
            outputs, mean, unbiased = self._fused(inputs)
            # From the unbiased variance to the biased one, as over several replicas.
            variance = unbiased * _biased_share(inputs)
        self._average(self.moving_mean, mean)
        self._average(self.moving_variance, variance)
        return outputs

    def _over_replicas(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Output, mean and variance over all replicas, each with the same number of images."""
        # float32 also under mixed precision, as the fused kernel computes them.
        pixels = tf.cast(inputs, tf.float32)
        means, variances = tf.unstack(
            _gather_replicas(tf.stack(tf.nn.moments(pixels, axes=[0, 1, 2]))), axis=1
        )
        # The total variance is the mean variance plus the variance of the means. Not
        # E[x²] - E[x]²: its cancellation would show in the fifth digit of a gradient.
        mean, between = tf.nn.moments(means, axes=[0])
        variance = tf.reduce_mean(variances, axis=0) + between
        outputs = tf.nn.batch_normalization(
            pixels, mean, variance, self.beta, self.gamma, self.epsilon
        )
        return tf.cast(outputs, inputs.dtype), mean, variance

    def _fused(
        self, inputs: tf.Tensor, **moments: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Output, mean and unbiased variance; by ``mean`` and ``variance`` where they are given."""
        return tf.compat.v1.nn.fused_batch_norm(
            inputs,
            self.gamma,
            self.beta,
            epsilon=self.epsilon,
            is_training=not moments,
            **moments,
        )

    def _average(self, moving: tf.Variable, value: tf.Tensor) -> None:
        change = (moving - value) * (1 - self.momentum)
        # Each operation is one of 73 layers', and costs 0.5 ms to trace.
        moving.assign_sub(change, read_value=False)


def _biased_share(inputs: tf.Tensor) -> tf.Tensor | np.float32:
    """(N - 1) / N for the N values of a channel of ``inputs`` [B, H, W, C]."""
    size = inputs.shape[1] * inputs.shape[2]
    if inputs.shape[0] is not None:
        count = np.float32(size * inputs.shape[0])
        return (count - np.float32(1)) / count
    many = size * tf.cast(tf.shape(inputs)[0], tf.float32)
    return (many - 1) / many


def _gather_replicas(value: tf.Tensor) -> tf.Tensor:
    """``value`` of every replica: [R, ...], in the order of the replicas."""
    # By a sum of one-hot rows, because the sum below is what has a cheap gradient.
    context = tf.distribute.get_replica_context()
    place = tf.one_hot(context.replica_id_in_sync_group, context.num_replicas_in_sync)
    return _sum_over_replicas(tf.tensordot(place, value, axes=0))


@tf.custom_gradient
def _sum_over_replicas(
    value: tf.Tensor,
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """The sum of ``value`` over all replicas; its gradient is the sum of their gradients.

    A bare all_reduce has a custom gradient too, but for it TensorFlow walks back through the graph
    of every other replica, again in each layer: two replicas of MobileNetV2 took 8 minutes to
    trace. The walk ends at stop_gradient, so tracing takes half a minute.
    """

    def total(local: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stop_gradient(local))

    # custom_gradient takes (result, gradient function); callers receive the result only.
    return total(value), total


class HardSwish(keras.layers.Layer):
    """x * hard_sigmoid(x), as in MobileNetV3 (Howard et al., arXiv 1905.02244, section 5.2)."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Of each of ``inputs``."""
        return inputs * hard_sigmoid(inputs)


def hard_sigmoid(x: tf.Tensor) -> tf.Tensor:
    """relu6(x + 3) / 6. Not Keras's function of that name, which rises with 0.2 x."""
    # A number for each channel. TensorFlow's constant folding exchanges this sum with the bias of a
    # convolution before it, also if there is a single number, which the convolution then takes for
    # its bias: it reads beyond it (2.15 and 2.21). And tf2onnx's pass over Add stumbles over a
    # scalar.
    each = [x.shape[-1]]
    return tf.nn.relu6(x + tf.constant(3.0, x.dtype, each)) * tf.constant(1 / 6, x.dtype, each)


class ExcitedChannels(keras.layers.Layer):
    """Features times the hard sigmoid of their channels' gates, as in MobileNetV3."""

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Of ``inputs``: (features [B, H, W, C], gates [B, 1, 1, C])."""
        features, gates = inputs
        return features * hard_sigmoid(gates)


class ChannelL2Norm(keras.layers.Layer):
    """x / |x| over the channels, times a learned scale per channel that starts at 20.

    Source: Liu et al., ParseNet, arXiv 1506.04579, section 3.3. Computes and returns float32 under
    every precision policy, because the squares of conv4_3 overflow float16.
    """

    # That of the Caffe layer, added to the sum of squares.
    EPSILON = 1e-10

    def __init__(self, name: str) -> None:
        super().__init__(name=name, dtype="float32")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the scale, float32 [C], for inputs [..., C]."""
        self.scale = self.add_weight(
            name="scale",
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(20.0),
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The normalised and scaled ``inputs`` [..., C]."""
        squares = tf.reduce_sum(tf.square(inputs), axis=-1, keepdims=True)
        return inputs * tf.math.rsqrt(squares + self.EPSILON) * self.scale
