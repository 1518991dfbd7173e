"""MobileNetV3-Large with SSDLite's heads (Howard et al., arXiv 1905.02244, section 6.3).

The graph is that of torchvision's ssdlite320_mobilenet_v3_large, so weights can be exchanged with
it. Layers are named as in keras.applications, with "_" for its "/" and "BN" for its "BatchNorm":
by that, weights are found in a file.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from ssd_tfrecord.backbones.backbone import (
    SSDLITE320,
    SSDLITE512,
    Backbone,
    Cost,
    FeatureMaps,
    PublishedWeights,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from ssd_tfrecord.backbones.conv_blocks import Activation, ConvBlocks
    from ssd_tfrecord.keras import keras


class _Block(NamedTuple):
    """A row of table 1; its depthwise convolution has ``expansion`` times the input's channels."""

    expansion: float
    channels: int
    kernel: int
    strides: int
    squeezes: bool
    activation: Activation


# Howard et al., table 1; the expansions are Keras's, which give the channels of the table.
_BLOCKS = (
    _Block(1, 16, 3, 1, False, "relu"),
    _Block(4, 24, 3, 2, False, "relu"),
    _Block(3, 24, 3, 1, False, "relu"),
    _Block(3, 40, 5, 2, True, "relu"),
    _Block(3, 40, 5, 1, True, "relu"),
    _Block(3, 40, 5, 1, True, "relu"),
    _Block(6, 80, 3, 2, False, "hard_swish"),
    _Block(2.5, 80, 3, 1, False, "hard_swish"),
    _Block(2.3, 80, 3, 1, False, "hard_swish"),
    _Block(2.3, 80, 3, 1, False, "hard_swish"),
    _Block(6, 112, 3, 1, True, "hard_swish"),
    _Block(6, 112, 3, 1, True, "hard_swish"),
    _Block(6, 160, 5, 2, True, "hard_swish"),
    _Block(6, 160, 5, 1, True, "hard_swish"),
    _Block(6, 160, 5, 1, True, "hard_swish"),
)
# The expansion of this block is the first map: C4, the last of stride 16.
_C4 = 12

# Channels of the added layers, from torchvision's ssdlite.py.
_EXTRAS = (512, 256, 256, 128)


def build(
    maps: FeatureMaps, *, width: float, batch_norm: str, seed: int, reduced_tail: bool = False
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """MobileNetV3-Large and four added layers: (input, six maps).

    Convolutions are padded alike on all sides, as in torchvision. Keras, for whose network the
    weights of ``--backbone_weights=imagenet`` were trained, pads even maps only below and right.
    That moves what a cell sees, by one pixel of each map that is halved, and changes the values of
    cells at the border only, but for the means that squeeze-and-excitation takes.

    Args:
        maps: those of stride 16 and 32, and four more, each half as wide.
        width: channel multiplier, of the body and the added layers.
        batch_norm: ``--batch_norm``.
        seed: of the initial weights.
        reduced_tail: half the channels behind the first map (Howard et al., section 6.3).
    """
    from ssd_tfrecord.backbones.conv_blocks import ConvBlocks, added_layers, rescaled_image

    image, x = rescaled_image(maps.input_size)
    blocks = ConvBlocks(batch_norm=batch_norm, seed=seed)
    swish = functools.partial(blocks.conv, padding="symmetric", activation="hard_swish")
    # Keras does not scale these channels.
    x = swish(x, "Conv", 16, 3, strides=2)
    features = []
    for index, block in enumerate(_BLOCKS):
        part = 0.5 * width if reduced_tail and index >= _C4 else width
        expanded, x = _inverted_residual(blocks, x, index, block, width=part, seed=seed)
        if index == _C4:
            features.append(expanded)
    features.append(swish(x, "Conv_1", _whole_eights(6 * x.shape[-1]), 1))
    for number, filters in enumerate(_EXTRAS, start=1):
        features.append(
            added_layers(
                blocks, features[-1], number, filters * width, strides=2, padding="symmetric"
            )
        )
    return image, features


def _inverted_residual(
    blocks: ConvBlocks, x: tf.Tensor, index: int, block: _Block, *, width: float, seed: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """(the expansion, the output) of a block."""
    from ssd_tfrecord.keras import keras

    name = f"expanded_conv_{index}" if index else "expanded_conv"
    shortcut = expanded = x
    if block.expansion > 1:
        channels = _whole_eights(x.shape[-1] * block.expansion)
        expanded = blocks.pointwise(x, f"{name}_expand", channels, activation=block.activation)
    y = blocks.depthwise(
        expanded,
        f"{name}_depthwise",
        block.kernel,
        strides=block.strides,
        padding="symmetric",
        activation=block.activation,
    )
    if block.squeezes:
        y = _squeeze_excite(y, f"{name}_squeeze_excite", seed)
    channels = _whole_eights(block.channels * width)
    y = blocks.pointwise(y, f"{name}_project", channels, activation="none")
    if block.strides == 1 and shortcut.shape[-1] == channels:
        y = keras.layers.Add(name=f"{name}_Add")([shortcut, y])
    return expanded, y


def _squeeze_excite(x: tf.Tensor, name: str, seed: int) -> tf.Tensor:
    """Weighs each channel by what two layers make of the means of all (Hu et al., 1709.01507)."""
    from ssd_tfrecord.backbones.layers import ExcitedChannels, xavier
    from ssd_tfrecord.keras import keras

    def dense(gates: tf.Tensor, name: str, filters: int, activation: str | None) -> tf.Tensor:
        initial = xavier(seed, name)
        conv = keras.layers.Conv2D(
            filters, 1, activation=activation, kernel_initializer=initial, name=name
        )
        return conv(gates)

    gates = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_AvgPool")(x)
    gates = dense(gates, f"{name}_Conv", _whole_eights(x.shape[-1] / 4), "relu")
    gates = dense(gates, f"{name}_Conv_1", x.shape[-1], None)
    return ExcitedChannels(name=f"{name}_Mul")([x, gates])


def _whole_eights(channels: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth below ``channels``."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def _url(width: float) -> str:
    return (
        "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v3/"
        f"weights_mobilenet_v3_large_224_{width}_float_no_top_v2.h5"
    )


def _download(width: float) -> keras.Model:
    from ssd_tfrecord.keras import keras

    return keras.applications.MobileNetV3Large(
        weights="imagenet", input_shape=(224, 224, 3), alpha=width, include_top=False
    )


MOBILENET_V3_LARGE = Backbone(
    name="mobilenet_v3_large",
    build_fn=build,
    inputs={320: SSDLITE320, 512: SSDLITE512},
    layers=("expanded_conv", "Conv"),
    blocks=r"expanded_conv_\d+|expanded_conv|extra_\d+",
    head="separable",
    has_batch_norm=True,
    widths=(0.1, 2.0),
    weights=PublishedWeights(url_fn=_url, keras_fn=_download, widths=(0.75, 1.0)),
    purpose="still lighter; its first map is of stride 16, for objects that are not small",
    costs={320: Cost(4.03, 0.530, 120, 30), 512: Cost(4.03, 1.35, 300, 77)},
)
# The one of torchvision's published detector, for which there is no classifier.
MOBILENET_V3_LARGE_REDUCED = Backbone(
    name="mobilenet_v3_large_reduced",
    build_fn=functools.partial(build, reduced_tail=True),
    inputs=MOBILENET_V3_LARGE.inputs,
    layers=MOBILENET_V3_LARGE.layers,
    blocks=MOBILENET_V3_LARGE.blocks,
    head="separable",
    has_batch_norm=True,
    widths=MOBILENET_V3_LARGE.widths,
    purpose="the network of torchvision's ssdlite320, whose COCO weights fit it",
    costs={320: Cost(2.47, 0.443, 120, 29), 512: Cost(2.47, 1.13, 280, 72)},
)
