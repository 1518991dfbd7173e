"""--init_checkpoint: copies the weights of one network to another, heads by class name."""

from collections.abc import Mapping, Sequence

import numpy as np

from ssd_tfrecord.backbones import Backbone
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model.summary import block_of

BACKGROUND = "background"


def transfer(
    source: keras.Model,
    source_classes: Sequence[str],
    target: keras.Model,
    target_classes: Sequence[str],
    backbone: Backbone,
) -> list[str]:
    """Copies to ``target`` all weights of ``source`` that fit.

    Layers are matched by name. A head with another shape, for example because the aspect ratios
    differ, is left as it is. Of the logits' channels, those of the background and of classes with
    the same name are copied, for every anchor of the cell; the others are left as they are.

    Args:
        source: network made by ``ssd.build``.
        source_classes: its class names, of the labels 1, 2, ….
        target: network made by ``ssd.build``; changed.
        target_classes: its class names, likewise.
        backbone: the target's.

    Returns:
        Lines for the start of a run: what was copied, what is initialised at random.

    Raises:
        InputError: the backbones differ.
    """
    sources = {layer.name: layer for layer in source.layers if layer.weights}
    targets = [layer for layer in target.layers if layer.weights]
    # All are checked before any is copied: an error leaves the target as it was.
    for layer in targets:
        if not layer.name.startswith("head_"):
            _check(layer, sources, backbone, (source.name, target.name))
    pairs = _class_pairs(source_classes, target_classes)
    copied: list[str] = []
    fresh: list[str] = []
    for layer in targets:
        old = sources.get(layer.name)
        new_weights = None
        # By class even if the shapes agree: the classes may be others, or in another order.
        if old is not None and layer.name.endswith("_logits"):
            depths = len(source_classes) + 1, len(target_classes) + 1
            new_weights = _logits_weights(old, layer, pairs, *depths)
        elif old is not None and _shapes(old) == _shapes(layer):
            new_weights = old.get_weights()
        if new_weights is None:
            fresh.append(layer.name)
            continue
        layer.set_weights(new_weights)
        copied.append(layer.name)
    blocks = dict.fromkeys(block_of(name, backbone) for name in fresh)
    return _report(copied, list(blocks), pairs, target_classes)


def _check(
    layer: keras.layers.Layer,
    sources: Mapping[str, keras.layers.Layer],
    backbone: Backbone,
    names: tuple[str, str],
) -> None:
    """Checks that the source has ``layer`` in the same shape.

    Layers that SSD adds to the backbone may be missing, because SSD300 has one map fewer than
    SSD512. ``names`` are those of the source and the target.
    """
    old = sources.get(layer.name)
    if old is None and layer.name.startswith(backbone.layers):
        raise InputError(
            f"--init_checkpoint: {names[0]} has no layer {layer.name}, which {names[1]} has; both "
            "must have the same --backbone"
        )
    if old is not None and _shapes(old) != _shapes(layer):
        raise InputError(
            f"--init_checkpoint: layer {layer.name} has {_shapes(old)}; must be "
            f"{_shapes(layer)}; both runs must have the same --backbone and --width"
        )


def _class_pairs(
    source_classes: Sequence[str], target_classes: Sequence[str]
) -> list[tuple[int, int]]:
    """(source channel, target channel) of every class that both have, the background first."""
    channels = {name: index for index, name in enumerate(source_classes, start=1)}
    shared = [
        (channels[name], index)
        for index, name in enumerate(target_classes, start=1)
        if name in channels
    ]
    return [(0, 0), *shared]


def _logits_weights(
    old: keras.layers.Layer,
    new: keras.layers.Layer,
    pairs: Sequence[tuple[int, int]],
    source_depth: int,
    target_depth: int,
) -> list[np.ndarray] | None:
    """``new``'s weights with the shared classes of ``old``; None if the anchors differ.

    A depth is the number of classes with the background.
    """
    num_anchors = new.weights[0].shape[-1] // target_depth
    if old.weights[0].shape[-1] != num_anchors * source_depth:
        return None
    from_channels, to_channels = (list(channels) for channels in zip(*pairs))
    weights = []
    for source, target in zip(old.get_weights(), new.get_weights()):
        # The last axis runs over anchors and, within each anchor, over classes.
        rows = source.reshape(*source.shape[:-1], num_anchors, source_depth)
        mapped = target.reshape(*target.shape[:-1], num_anchors, target_depth).copy()
        mapped[..., to_channels] = rows[..., from_channels]
        weights.append(np.reshape(mapped, target.shape))
    return weights


def _shapes(layer: keras.layers.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


def _report(
    copied: Sequence[str],
    fresh: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    target_classes: Sequence[str],
) -> list[str]:
    shared = {index for _, index in pairs}
    known = [name for index, name in enumerate(target_classes, start=1) if index in shared]
    unknown = [name for index, name in enumerate(target_classes, start=1) if index not in shared]
    lines = [f"init checkpoint: {len(copied)} layers copied"]
    lines.append(f"class outputs copied: {', '.join([BACKGROUND, *known])}")
    if unknown:
        lines.append(f"class outputs initialised at random: {', '.join(unknown)}")
    if fresh:
        lines.append(f"initialised at random: {', '.join(fresh)}")
    return lines
