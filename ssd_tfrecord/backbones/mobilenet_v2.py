"""MobileNetV2 with SSDLite's heads (Sandler et al., arXiv 1801.04381, section 6.2).

Layers are named as in keras.applications, by which weights are found in a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssd_tfrecord.backbones.backbone import (
    SSD300,
    SSD320,
    SSD512,
    Backbone,
    Cost,
    FeatureMaps,
    PublishedWeights,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from ssd_tfrecord.backbones.conv_blocks import ConvBlocks, Padding
    from ssd_tfrecord.keras import keras


# Channels of the added layers at width 1.
_EXTRAS = (512, 256, 256, 128)

# (expansion, channels, blocks, stride of the first) of the body's stages; table 2.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# The blocks whose expanded features are maps.
_TAPS = (6, 13)


def build(
    maps: FeatureMaps, *, width: float, batch_norm: str, seed: int
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """MobileNetV2 and added layers: (input, six or seven maps with the same sides as SSD's).

    The first three maps come from its body: SSDLite's two (Sandler et al., arXiv 1801.04381,
    section 6.2) and a finer one before them. The others come from added layers.

    Args:
        maps: SSD300's, SSD320 or SSD512's.
        width: channel multiplier, of the body and the added layers.
        batch_norm: ``--batch_norm``.
        seed: of the initial weights.
    """
    from ssd_tfrecord.backbones.conv_blocks import ConvBlocks, added_layers, rescaled_image

    blocks = ConvBlocks(batch_norm=batch_norm, seed=seed)
    image, rescaled = rescaled_image(maps.input_size)
    features = _body(blocks, rescaled, width)
    added_sides = maps.sides[len(features) :]
    for number, (side, filters) in enumerate(zip(added_sides, _EXTRAS), start=1):
        # 10 -> 5 -> 3 or 16 -> 8 -> 4 -> 2 -> 1 cells; from 3 to 1 without padding, so that the
        # last one sees all of its 3 x 3.
        halves = features[-1].shape[1] <= 2 * side
        padding: Padding = "same" if halves else "valid"
        features.append(
            added_layers(
                blocks,
                features[-1],
                number,
                filters * width,
                strides=2 if halves else 1,
                padding=padding,
            )
        )
    return image, features


def _body(blocks: ConvBlocks, x: tf.Tensor, width: float) -> list[tf.Tensor]:
    """Its three maps, of an image in [-1, 1]. The layers are those of keras.applications.

    Not built by it: it leaves no choice of initialisers and normalisation, and to clone its layers
    with others took as long again, 0.8 CPU s.
    """
    channels = divisible(32 * width)
    x = blocks.named(x, "Conv1", channels, 3, norm="bn_Conv1", relu="Conv1_relu", strides=2)
    taps, number = [], 0
    for factor, filters, count, strides in _STAGES:
        for index in range(count):
            stem = f"block_{number}" if number else "expanded_conv"
            channels = divisible(filters * width)
            x, expanded = _bottleneck(
                blocks, x, stem, factor, channels, strides=1 if index else strides
            )
            taps += [expanded] if number in _TAPS else []
            number += 1
    channels = max(1280, divisible(1280 * width))
    return [*taps, blocks.named(x, "Conv_1", channels, 1, norm="Conv_1_bn", relu="out_relu")]


def _bottleneck(
    blocks: ConvBlocks, x: tf.Tensor, stem: str, factor: int, channels: int, *, strides: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """An inverted residual (figure 4): its output, and its input times ``factor`` in channels."""
    from ssd_tfrecord.keras import keras

    expanded = inputs = x
    if factor > 1:
        expanded = blocks.conv(x, f"{stem}_expand", factor * x.shape[-1], 1)
    x = expanded
    if strides == 2:
        # As in Keras: an even map is padded below and right only.
        before = x.shape[1] % 2
        x = keras.layers.ZeroPadding2D(((before, 1), (before, 1)), name=f"{stem}_pad")(x)
    padding: Padding = "valid" if strides == 2 else "same"
    x = blocks.depthwise(x, f"{stem}_depthwise", strides=strides, padding=padding)
    x = blocks.pointwise(x, f"{stem}_project", channels, activation="none")
    if strides == 1 and channels == inputs.shape[-1]:
        x = keras.layers.Add(name=f"{stem}_add")([inputs, x])
    return x, expanded


def divisible(channels: float) -> int:
    """The multiple of 8 nearest to it, at least 8; the next one if that is below 9 tenths of it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _url(width: float) -> str:
    return (
        "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
        f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}_224_no_top.h5"
    )


def _download(width: float) -> keras.Model:
    from ssd_tfrecord.keras import keras

    return keras.applications.MobileNetV2(
        weights="imagenet", input_shape=(224, 224, 3), alpha=width, include_top=False
    )


MOBILENET_V2 = Backbone(
    name="mobilenet_v2",
    build_fn=build,
    inputs={300: SSD300, 320: SSD320, 512: SSD512},
    layers=("block_", "expanded_conv", "Conv", "bn_Conv1"),
    blocks=r"block_\d+|expanded_conv|extra_\d+",
    head="separable",
    has_batch_norm=True,
    widths=(0.1, 2.0),
    weights=PublishedWeights(
        url_fn=_url, keras_fn=_download, widths=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
    ),
    purpose="light, for CPUs and phones, with a fine map for small objects",
    costs={
        300: Cost(3.35, 0.693, 110, 29),
        320: Cost(3.35, 0.749, 120, 32),
        512: Cost(3.40, 1.92, 320, 90),
    },
)
