"""SSD: a backbone, and on each of its maps a head of offsets and one of logits."""

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.backbones.conv_blocks import ConvBlocks
from ssd_tfrecord.backbones.layers import xavier
from ssd_tfrecord.geometry.anchors import anchors_per_cell
from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import AnchorOptions, ModelOptions
from ssd_tfrecord.tracing import not_converted


@not_converted
def build(
    model: ModelOptions, anchors: AnchorOptions, num_classes: int, seed: int = 0
) -> keras.Model:
    """The network, with fresh weights that depend on ``seed`` alone.

    Input: float32 [B, S, S, 3], RGB minus (123, 117, 104). Outputs, in the order of
    ``geometry.anchors.anchor_boxes`` and float32 under every precision policy:
      offsets: [B, A, 4] as ``geometry.coding`` reads them.
      logits: [B, A, C + 1], 0 the background.

    Raises:
        InputError: the anchor options do not fit the maps.
    """
    per_cell = anchors_per_cell(anchors, model.maps)
    backbone = BACKBONES[model.backbone]
    settings = {"batch_norm": model.batch_norm, "seed": seed}
    image, maps = backbone.build_fn(model.maps, width=model.width, **settings)
    blocks = ConvBlocks(**settings) if backbone.head == "separable" else None
    outputs = {}
    for kind, depth in (("offsets", 4), ("logits", num_classes + 1)):
        parts = []
        for index, (features, num_anchors) in enumerate(zip(maps, per_cell)):
            name = f"head_{index}_{kind}"
            x = _head(features, name, num_anchors * depth, blocks=blocks, seed=seed)
            shape = (features.shape[1] * features.shape[2] * num_anchors, depth)
            parts.append(keras.layers.Reshape(shape, name=f"{name}_rows")(x))
        outputs[kind] = keras.layers.Concatenate(axis=1, dtype="float32", name=kind)(parts)
    return keras.Model(image, outputs, name=f"ssd{model.input_size}_{model.backbone}")


def _head(features, name, channels, *, blocks, seed):
    """A 3x3 convolution, or SSDLite's depthwise separable one where there are ``blocks``."""
    kernel = 3
    if blocks:
        features = blocks.depthwise(features, f"{name}_depthwise")
        kernel = 1
    return keras.layers.Conv2D(
        channels, kernel, padding="same", kernel_initializer=xavier(seed, name), name=name
    )(features)
