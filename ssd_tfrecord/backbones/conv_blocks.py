"""Convolution, batch normalisation and ReLU6, as MobileNets are made of."""

from ssd_tfrecord.backbones.layers import batch_norm_layer, xavier
from ssd_tfrecord.keras import keras


class ConvBlocks:
    """Makes blocks for ``--batch_norm``, whose weights depend on ``seed`` and their name alone."""

    def __init__(self, *, batch_norm: str, seed: int):
        self._batch_norm = batch_norm
        self._seed = seed

    def pointwise(self, x, name: str, filters: int):
        """A 1x1 convolution to ``filters`` channels."""
        conv = keras.layers.Conv2D(
            filters, 1, use_bias=False, kernel_initializer=xavier(self._seed, name), name=name
        )
        return self._finish(conv(x), name)

    def depthwise(self, x, name: str, *, strides: int = 1, padding: str = "same"):
        """A 3x3 convolution of each channel by itself."""
        conv = keras.layers.DepthwiseConv2D(
            3,
            strides=strides,
            padding=padding,
            use_bias=False,
            depthwise_initializer=xavier(self._seed, name),
            name=name,
        )
        return self._finish(conv(x), name)

    def _finish(self, x, name):
        x = batch_norm_layer(f"{name}_BN", self._batch_norm)(x)
        return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)
