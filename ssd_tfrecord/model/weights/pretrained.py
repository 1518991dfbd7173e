"""Pretrained weights of a backbone, put into a network."""

from ssd_tfrecord.backbones import BACKBONES, Backbone
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model.summary import block_of
from ssd_tfrecord.model.weights.keras_files import read_layers
from ssd_tfrecord.options import ModelOptions


def load_backbone(model: keras.Model, options: ModelOptions) -> list[str]:
    """Puts ``--backbone_weights`` into a network made by ``ssd.build`` and says what it did.

    VGG-16's fc6 and fc7 are made from the classifier where the file has one. The rest of the
    network stays as it is.

    Returns:
        Lines for the start of a run: what was loaded, what starts fresh.

    Raises:
        InputError: the weights cannot be had, or a layer is missing or of another shape.
    """
    source = options.backbone_weights
    if source == "none":
        return ["backbone weights: none, every layer starts fresh"]
    backbone = BACKBONES[options.backbone]
    if backbone.weights is None:
        raise InputError(f"--backbone_weights={source}: {backbone.name} has none; must be none")
    wanted = backbone_layers(model, backbone)
    if source == "imagenet":
        arrays = _download(backbone, options.width)
    else:
        arrays = read_layers(source, wanted, backbone.weights.classifier)
    try:
        arrays = backbone.weights.adapt_fn(arrays)
    except InputError as error:
        raise InputError(f"--backbone_weights={source}: {error}") from None
    # Ours alone, and made of the file's: VGG-16's fc6 and fc7.
    wanted += [layer for layer in model.layers if layer.name in arrays and layer not in wanted]
    for layer in wanted:
        _assign(layer, arrays, source)
    loaded = {layer.name for layer in wanted}
    fresh = [layer.name for layer in model.layers if layer.weights and layer.name not in loaded]
    blocks = dict.fromkeys(block_of(name, backbone) for name in fresh)
    return [
        f"backbone weights: {len(loaded)} layers from {source}, {wanted[0].name} to "
        f"{wanted[-1].name}",
        f"start fresh: {', '.join(blocks)}",
    ]


def backbone_layers(model: keras.Model, backbone: Backbone) -> list[keras.layers.Layer]:
    """The layers of ``model`` that published weights of ``backbone`` have, without classifier."""
    return [
        layer for layer in model.layers if layer.weights and layer.name.startswith(backbone.layers)
    ]


def _assign(layer, arrays, source):
    what = f"--backbone_weights={source}"
    if layer.name not in arrays:
        raise InputError(f"{what}: has no layer {layer.name}, which the backbone needs")
    got = [array.shape for array in arrays[layer.name]]
    expected = [tuple(weight.shape) for weight in layer.weights]
    if got != expected:
        raise InputError(f"{what}: layer {layer.name} has {got}; must be {expected}")
    layer.set_weights(arrays[layer.name])


def _download(backbone, width):
    weights = backbone.weights
    if width not in weights.widths:
        raise InputError(
            f"--backbone_weights=imagenet: there is no {backbone.name} of --width={width:g}; must "
            f"be one of {', '.join(map(str, weights.widths))}"
        )
    try:
        pretrained = weights.keras_fn(width)
    except Exception as error:  # Keras raises a bare Exception where a download fails.
        raise InputError(
            f"--backbone_weights=imagenet: Keras cannot download it "
            f"({' '.join(str(error).split())}); fetch {weights.url_fn(width)} and pass its path, "
            "or pass none"
        ) from None
    return {layer.name: layer.get_weights() for layer in pretrained.layers}
