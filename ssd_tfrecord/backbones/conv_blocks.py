"""Convolution, batch normalisation and ReLU6: the blocks of MobileNets."""

import tensorflow as tf

from ssd_tfrecord.backbones.layers import batch_norm_layer, xavier
from ssd_tfrecord.keras import keras


class ConvBlocks:
    """Makes blocks whose initial weights depend on ``seed`` and the block's name only.

    Args:
        batch_norm: ``--batch_norm``.
        seed: of the initial weights.
    """

    def __init__(self, *, batch_norm: str, seed: int) -> None:
        self._batch_norm = batch_norm
        self._seed = seed

    def pointwise(self, x: tf.Tensor, name: str, filters: int) -> tf.Tensor:
        """A 1x1 convolution to ``filters`` channels."""
        # No bias: batch normalisation subtracts the mean and adds its own.
        conv = keras.layers.Conv2D(
            filters, 1, use_bias=False, kernel_initializer=xavier(self._seed, name), name=name
        )
        return self._finish(conv(x), name)

    def depthwise(
        self, x: tf.Tensor, name: str, *, strides: int = 1, padding: str = "same"
    ) -> tf.Tensor:
        """A 3x3 convolution of each channel on its own."""
        conv = keras.layers.DepthwiseConv2D(
            3,
            strides=strides,
            padding=padding,
            use_bias=False,
            depthwise_initializer=xavier(self._seed, name),
            name=name,
        )
        return self._finish(conv(x), name)

    def _finish(self, x: tf.Tensor, name: str) -> tf.Tensor:
        # The suffixes are those of keras.applications.
        x = batch_norm_layer(f"{name}_BN", self._batch_norm)(x)
        return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)
