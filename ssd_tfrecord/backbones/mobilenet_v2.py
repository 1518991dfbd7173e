"""MobileNetV2 with SSDLite's heads (Sandler et al., arXiv 1801.04381, section 6.2).

Layers are named as in keras.applications, by which weights are found in a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssd_tfrecord.backbones.backbone import (
    MEAN_RGB,
    SSD300,
    Backbone,
    FeatureMaps,
    PublishedWeights,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from ssd_tfrecord.keras import keras


def build(
    maps: FeatureMaps, *, width: float, batch_norm: str, seed: int
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """MobileNetV2 for an input of 300: (input, six maps with the same sides as SSD300's).

    The maps of 38, 19 and 10 cells come from its body: SSDLite's two (Sandler et al., arXiv
    1801.04381, section 6.2) and a finer one before them. Those of 5, 3 and 1 come from added
    layers.

    Args:
        maps: SSD300's.
        width: channel multiplier, of the body and the added layers.
        batch_norm: ``--batch_norm``.
        seed: of the initial weights.
    """
    from ssd_tfrecord.backbones.conv_blocks import ConvBlocks

    body = _body(maps.input_size, width, batch_norm=batch_norm, seed=seed)
    taps = ("block_6_expand_relu", "block_13_expand_relu", "out_relu")
    features = [body.get_layer(name).output for name in taps]
    block = ConvBlocks(batch_norm=batch_norm, seed=seed)
    # 10 -> 5 -> 3 -> 1 cells; without padding, the last one sees all of its 3 x 3.
    for number, filters, strides, padding in (
        (1, 512, 2, "same"),
        (2, 256, 2, "same"),
        (3, 256, 1, "valid"),
    ):
        # A multiple of 16, so that half of it is a multiple of 8, as MobileNetV2's channels are.
        channels = max(32, round(filters * width / 16) * 16)
        x = block.pointwise(features[-1], f"extra_{number}_squeeze", channels // 2)
        x = block.depthwise(x, f"extra_{number}_depthwise", strides=strides, padding=padding)
        features.append(block.pointwise(x, f"extra_{number}_expand", channels))
    return body.input, features


def _body(input_size: int, width: float, *, batch_norm: str, seed: int) -> keras.Model:
    """Keras's MobileNetV2 with our input, initial weights and batch normalisation."""
    from ssd_tfrecord.backbones.layers import batch_norm_layer, xavier
    from ssd_tfrecord.keras import keras

    image = keras.Input((input_size, input_size, 3), name="image")
    # From RGB minus mean to [-1, 1], on which MobileNetV2's published weights were trained.
    offset = [mean / 127.5 - 1 for mean in MEAN_RGB]
    rescaling = keras.layers.Rescaling(1 / 127.5, offset, dtype="float32", name="rescaling")
    body = keras.applications.MobileNetV2(
        input_tensor=rescaling(image),
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
    inputs={300: SSD300},
    layers=("block_", "expanded_conv", "Conv", "bn_Conv1"),
    blocks=r"block_\d+|expanded_conv|extra_\d+",
    head="separable",
    has_batch_norm=True,
    widths=(0.1, 2.0),
    weights=PublishedWeights(
        url_fn=_url, keras_fn=_download, widths=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
    ),
)
