"""SSD: a backbone, with a head for offsets and one for logits on each of its maps."""

import math

import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.backbones.conv_blocks import ConvBlocks
from ssd_tfrecord.backbones.layers import xavier
from ssd_tfrecord.geometry.anchors import anchors_per_cell
from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import AnchorOptions, ModelOptions
from ssd_tfrecord.tracing import not_converted


@not_converted
def build(
    model: ModelOptions,
    anchors: AnchorOptions,
    num_classes: int,
    seed: int = 0,
    *,
    prior: float = 0.0,
) -> keras.Model:
    """The network, with initial weights that depend on ``seed`` only.

    Input: float32 [B, S, S, 3], RGB minus (123, 117, 104). Outputs, in the order of
    ``geometry.anchors.anchor_boxes`` and float32 under every precision policy:
      offsets: [B, A, 4] as ``geometry.coding`` reads them.
      logits: [B, A, C + 1]; channel 0 is the background.

    Args:
        model: backbone, its width and batch normalisation, and input size S.
        anchors: scales and aspect ratios; they determine the number A of anchors.
        num_classes: number C of classes without the background.
        seed: of the initial weights; ``backbones.layers.BLANK``: none are drawn.
        prior: if above 0, the logits' biases begin such that, where the features are 0, an anchor
            is an object with this probability, each class alike; at 0 the biases begin at 0.

    Raises:
        InputError: the anchor options do not fit the maps.
    """
    per_cell = anchors_per_cell(anchors, model.maps)
    backbone = BACKBONES[model.backbone]
    image, maps = backbone.build_fn(
        model.maps, width=model.width, batch_norm=model.batch_norm, seed=seed
    )
    separable = backbone.head == "separable"
    blocks = ConvBlocks(batch_norm=model.batch_norm, seed=seed) if separable else None
    biases = {"offsets": [0.0] * 4, "logits": _first_biases(num_classes, prior)}
    outputs = {}
    for kind, bias in biases.items():
        parts = []
        for index, (features, num_anchors) in enumerate(zip(maps, per_cell)):
            # transfer and summary recognise heads by these names.
            name = f"head_{index}_{kind}"
            x = _head(features, name, bias * num_anchors, blocks=blocks, seed=seed)
            # A cell's channels are its anchors one after another, as anchor_boxes orders them.
            shape = (features.shape[1] * features.shape[2] * num_anchors, len(bias))
            parts.append(keras.layers.Reshape(shape, name=f"{name}_rows")(x))
        # float32 also under mixed precision: softmax, loss and box decoding need it.
        outputs[kind] = keras.layers.Concatenate(axis=1, dtype="float32", name=kind)(parts)
    return keras.Model(image, outputs, name=f"ssd{model.input_size}_{model.backbone}")


def _first_biases(num_classes: int, prior: float) -> list[float]:
    """The biases of an anchor's logits, the background's first."""
    # Softmax: e^b / (e^b + C) = 1 - prior, where the C classes have bias 0.
    background = math.log(num_classes * (1.0 - prior) / prior) if prior else 0.0
    return [background] + [0.0] * num_classes


def _head(
    features: tf.Tensor, name: str, biases: list[float], *, blocks: ConvBlocks | None, seed: int
) -> tf.Tensor:
    """A 3x3 convolution, or SSDLite's depthwise separable one if ``blocks`` are given.

    Its channels begin with ``biases``.
    """
    kernel = 3
    if blocks:
        features = blocks.depthwise(features, f"{name}_depthwise")
        kernel = 1
    return keras.layers.Conv2D(
        len(biases),
        kernel,
        padding="same",
        kernel_initializer=xavier(seed, name),
        bias_initializer=keras.initializers.Constant(biases),
        name=name,
    )(features)
