"""Convolution, batch normalisation and activation: the blocks of MobileNets and ResNets."""

from __future__ import annotations

from typing import Any, Literal

import tensorflow as tf

from ssd_tfrecord.backbones.backbone import MEAN_RGB
from ssd_tfrecord.backbones.layers import HardSwish, batch_norm_layer, xavier
from ssd_tfrecord.keras import keras

# As in Keras, which with stride 2 pads an even map only below and right; without; or as PyTorch,
# which pads all sides alike.
Padding = Literal["same", "valid", "symmetric"]
Activation = Literal["relu6", "relu", "hard_swish", "none"]


class ConvBlocks:
    """Makes blocks whose initial weights depend on ``seed`` and the block's name only.

    Layers are named after their block, as in keras.applications: block_1_expand, and to it
    block_1_expand_BN and block_1_expand_relu; to conv1_conv, conv1_BN and conv1_relu.

    Args:
        batch_norm: ``--batch_norm``.
        seed: of the initial weights.
        momentum: of the moving averages; None: that of ``layers``.
        epsilon: added to the variance; None: that of ``layers``.
    """

    def __init__(
        self,
        *,
        batch_norm: str,
        seed: int,
        momentum: float | None = None,
        epsilon: float | None = None,
    ) -> None:
        self._batch_norm = batch_norm
        self._seed = seed
        self._moving = {"momentum": momentum, "epsilon": epsilon}

    def conv(
        self,
        x: tf.Tensor,
        name: str,
        filters: int,
        kernel: int,
        *,
        strides: int = 1,
        padding: Padding = "same",
        activation: Activation = "relu6",
    ) -> tf.Tensor:
        """A convolution to ``filters`` channels."""
        x, keras_padding = _pad(x, name, kernel, strides=strides, padding=padding)
        # No bias: batch normalisation subtracts the mean and adds its own.
        conv = keras.layers.Conv2D(
            filters,
            kernel,
            strides=strides,
            padding=keras_padding,
            use_bias=False,
            kernel_initializer=xavier(self._seed, name),
            name=name,
        )
        return self._finish(conv(x), name, activation)

    def pointwise(self, x: tf.Tensor, name: str, filters: int, **settings: Any) -> tf.Tensor:
        """A 1x1 convolution to ``filters`` channels, with the ``settings`` of ``conv``."""
        return self.conv(x, name, filters, 1, **settings)

    def depthwise(
        self,
        x: tf.Tensor,
        name: str,
        kernel: int = 3,
        *,
        strides: int = 1,
        padding: Padding = "same",
        activation: Activation = "relu6",
    ) -> tf.Tensor:
        """A convolution of each channel on its own."""
        x, keras_padding = _pad(x, name, kernel, strides=strides, padding=padding)
        conv = keras.layers.DepthwiseConv2D(
            kernel,
            strides=strides,
            padding=keras_padding,
            use_bias=False,
            depthwise_initializer=xavier(self._seed, name),
            name=name,
        )
        return self._finish(conv(x), name, activation)

    def named(
        self,
        x: tf.Tensor,
        name: str,
        filters: int,
        kernel: int,
        *,
        norm: str,
        relu: str,
        strides: int = 1,
    ) -> tf.Tensor:
        """``conv`` with ReLU6, where the other two layers have names of their own."""
        conv = keras.layers.Conv2D(
            filters,
            kernel,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer=xavier(self._seed, name),
            name=name,
        )
        x = batch_norm_layer(norm, self._batch_norm, **self._moving)(conv(x))
        return keras.layers.ReLU(6.0, name=relu)(x)

    def _finish(self, x: tf.Tensor, name: str, activation: Activation) -> tf.Tensor:
        stem = name.removesuffix("_conv")
        x = batch_norm_layer(f"{stem}_BN", self._batch_norm, **self._moving)(x)
        return activate(x, stem, activation)


def rescaled_image(input_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The network's input, and it in [-1, 1], on which the weights of MobileNets were trained."""
    image = keras.Input((input_size, input_size, 3), name="image")
    # What was RGB minus mean.
    offset = [mean / 127.5 - 1 for mean in MEAN_RGB]
    rescaling = keras.layers.Rescaling(1 / 127.5, offset, dtype="float32", name="rescaling")
    return image, rescaling(image)


def added_layers(
    blocks: ConvBlocks,
    x: tf.Tensor,
    number: int,
    filters: float,
    *,
    strides: int,
    padding: Padding,
) -> tf.Tensor:
    """SSDLite's block behind the body, for one more map: 1x1, 3x3 depthwise, 1x1."""
    # A multiple of 16, so that half of it is a multiple of 8, as the channels of the body are.
    channels = max(32, round(filters / 16) * 16)
    name = f"extra_{number}"
    x = blocks.pointwise(x, f"{name}_squeeze", channels // 2)
    x = blocks.depthwise(x, f"{name}_depthwise", strides=strides, padding=padding)
    return blocks.pointwise(x, f"{name}_expand", channels)


def activate(x: tf.Tensor, stem: str, activation: Activation) -> tf.Tensor:
    """The activation of a block called ``stem``."""
    if activation == "hard_swish":
        return HardSwish(name=f"{stem}_hard_swish")(x)
    if activation == "none":
        return x
    limit = 6.0 if activation == "relu6" else None
    return keras.layers.ReLU(limit, name=f"{stem}_relu")(x)


def _pad(
    x: tf.Tensor, name: str, kernel: int, *, strides: int, padding: Padding
) -> tuple[tf.Tensor, str]:
    """The input, padded if Keras's own padding would not do, and the padding left to Keras."""
    if padding != "symmetric":
        return x, padding
    # Then Keras pads all sides alike, too, without an operation of its own.
    if strides == 1 or x.shape[1] % 2:
        return x, "same"
    return keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"
