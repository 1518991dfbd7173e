"""Loads the pretrained weights of a backbone into a network."""

from collections.abc import Mapping

import numpy as np

from ssd_tfrecord.backbones import BACKBONES, Backbone, PublishedWeights
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model.summary import block_of
from ssd_tfrecord.model.weights.keras_files import named_as, read_layers
from ssd_tfrecord.options import ModelOptions

# Seen on 100 images in batches of 8: trained at once, the deviation of block5_conv3 between pixels
# falls from 3.5 to below 0.2 in 45 steps (0.001 with clipped gradients, or a warm-up of 1000 steps)
# or 120 (0.00025), and the loss to that of chance. Frozen, they keep theirs, and it falls further.
_NO_CLASSIFIER = (
    "fc6 and fc7 are among them, as the file has no classifier: until they have learnt, they may "
    "spoil the loaded layers; --freeze='block[1-5]' with --gradient_clip_norm=10 keeps these"
)


def load_backbone(model: keras.Model, options: ModelOptions) -> list[str]:
    """Loads ``--backbone_weights`` into a network and reports what it did.

    If the file has a classifier, VGG-16's fc6 and fc7 are made from it. The other layers of the
    network stay as they are.

    Args:
        model: made by ``ssd.build``.
        options: those that ``model`` was made with.

    Returns:
        Lines for the start of a run: which layers were loaded, which are initialised at random.

    Raises:
        InputError: the weights cannot be downloaded or read, or a layer is missing or has another
            shape.
    """
    source = options.backbone_weights
    if source == "none":
        return ["backbone weights: none; all layers are initialised at random"]
    backbone = BACKBONES[options.backbone]
    if backbone.weights is None:
        raise InputError(
            f"--backbone_weights={source}: there are none for {backbone.name}; must be none"
        )
    wanted = backbone_layers(model, backbone)
    if source == "imagenet":
        downloaded = _download(backbone.name, backbone.weights, options.width)
        names = [*(layer.name for layer in wanted), *backbone.weights.classifier]
        arrays = {named_as(names, name): values for name, values in downloaded.items()}
    else:
        arrays = read_layers(source, wanted, backbone.weights.classifier)
    try:
        arrays = backbone.weights.adapt_fn(arrays)
    # adapt_fn does not know where the arrays come from.
    except InputError as error:
        raise InputError(f"--backbone_weights={source}: {error}") from None
    # Layers that only our network has, made from the file's: VGG-16's fc6 and fc7.
    made = [layer for layer in model.layers if layer.name in arrays and layer not in wanted]
    wanted += made
    for layer in wanted:
        _assign(layer, arrays, source)
    loaded = {layer.name for layer in wanted}
    fresh = [layer.name for layer in model.layers if layer.weights and layer.name not in loaded]
    blocks = dict.fromkeys(block_of(name, backbone) for name in fresh)
    lines = [
        f"backbone weights: {len(loaded)} layers from {source}, {wanted[0].name} to "
        f"{wanted[-1].name}",
        f"initialised at random: {', '.join(blocks)}",
    ]
    if backbone.weights.classifier and not made and any(layer.trainable for layer in wanted):
        lines.append(_NO_CLASSIFIER)
    return lines


def backbone_layers(model: keras.Model, backbone: Backbone) -> list[keras.layers.Layer]:
    """The layers of ``model`` for which ``backbone`` has published weights, without classifier."""
    return [
        layer for layer in model.layers if layer.weights and layer.name.startswith(backbone.layers)
    ]


def _assign(layer: keras.layers.Layer, arrays: Mapping[str, list[np.ndarray]], source: str) -> None:
    what = f"--backbone_weights={source}"
    if layer.name not in arrays:
        raise InputError(f"{what}: has no layer {layer.name}, which the backbone needs")
    # Checked here, because the ValueError of set_weights does not say which file it is about.
    got = [array.shape for array in arrays[layer.name]]
    expected = [tuple(weight.shape) for weight in layer.weights]
    if got != expected:
        raise InputError(f"{what}: layer {layer.name} has {got}; must be {expected}")
    layer.set_weights(arrays[layer.name])


def _download(name: str, weights: PublishedWeights, width: float) -> dict[str, list[np.ndarray]]:
    if width not in weights.widths:
        raise InputError(
            f"--backbone_weights=imagenet: there are none for {name} with --width={width:g}; "
            f"--width must be one of {', '.join(map(str, weights.widths))}"
        )
    try:
        pretrained = weights.keras_fn(width)
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        raise InputError(
            f"--backbone_weights=imagenet: Keras cannot download the weights "
            f"({' '.join(str(error).split())}); fetch {weights.url_fn(width)} and pass the path of "
            "the file, or pass none"
        ) from None
    return {layer.name: layer.get_weights() for layer in pretrained.layers}
