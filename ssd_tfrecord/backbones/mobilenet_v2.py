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

    from ssd_tfrecord.backbones.conv_blocks import Padding
    from ssd_tfrecord.keras import keras


# Channels of the added layers at width 1.
_EXTRAS = (512, 256, 256, 128)


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
    from ssd_tfrecord.backbones.conv_blocks import ConvBlocks, added_layers

    body = _body(maps.input_size, width, batch_norm=batch_norm, seed=seed)
    taps = ("block_6_expand_relu", "block_13_expand_relu", "out_relu")
    features = [body.get_layer(name).output for name in taps]
    blocks = ConvBlocks(batch_norm=batch_norm, seed=seed)
    added_sides = maps.sides[len(taps) :]
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
    return body.input, features


def _body(input_size: int, width: float, *, batch_norm: str, seed: int) -> keras.Model:
    """Keras's MobileNetV2 with our input, initial weights and batch normalisation."""
    from ssd_tfrecord.backbones.conv_blocks import rescaled_image
    from ssd_tfrecord.backbones.layers import batch_norm_layer, xavier
    from ssd_tfrecord.keras import keras

    body = keras.applications.MobileNetV2(
        input_tensor=rescaled_image(input_size)[1],
        input_shape=(input_size, input_size, 3),
        alpha=width,
        include_top=False,
        weights=None,
    )

    # Keras's builder offers no choice of initialisers or normalisation, so layers are replaced.
    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            return batch_norm_layer(layer.name, batch_norm)
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            config["depthwise_initializer"] = xavier(seed, layer.name)
        elif isinstance(layer, keras.layers.Conv2D):
            config["kernel_initializer"] = xavier(seed, layer.name)
        return type(layer).from_config(config)

    return keras.models.clone_model(body, clone_function=clone)


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
        300: Cost(3.35, 0.693, 300, 47),
        320: Cost(3.35, 0.749, 300, 63),
        512: Cost(3.40, 1.92, 1000, 170),
    },
)
