"""--freeze: layers that keep the weights they begin with."""

import re

from ssd_tfrecord.backbones import Backbone
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model.summary import blocks_of


def freeze(model: keras.Model, pattern: str, backbone: Backbone) -> list[str]:
    """Makes layers untrainable; to be called before the optimizer and the step are made.

    A layer matches by its own name or by that of its block. A frozen layer has no gradients, no
    momenta and no weight decay, and its batch normalisation uses, and leaves, the moving averages.
    Weights may be loaded before or after.

    Args:
        model: made by ``model.ssd.build``; changed.
        pattern: regular expression for the whole name; empty: all layers are trained.
        backbone: of ``model``.

    Returns:
        The names of the frozen layers.

    Raises:
        InputError: no layer matches, or none would be left to train; nothing is changed.
    """
    if not pattern:
        return []
    blocks = blocks_of(model, backbone)
    matches = re.compile(pattern).fullmatch
    chosen = [
        layer
        for block, layers in blocks.items()
        for layer in layers
        if matches(block) or matches(layer.name)
    ]
    names = ", ".join(blocks)
    if not chosen:
        raise InputError(
            f"--freeze={pattern}: matches no layer; must match the whole of a name: {names}"
        )
    frozen = {layer.name for layer in chosen}
    if not any(layer.trainable_weights for layer in model.layers if layer.name not in frozen):
        raise InputError(
            f"--freeze={pattern}: matches all layers; must leave some to be trained of {names}"
        )
    for layer in chosen:
        layer.trainable = False
    return [layer.name for layer in chosen]
