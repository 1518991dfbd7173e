"""The network of a published model, with its weights."""

import numpy as np

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import ssd
from ssd_tfrecord.model.weights.published.published_model import PublishedModel


def network_of(published: PublishedModel) -> keras.Model:
    """Builds our network of a published model, in the current strategy's scope.

    Raises:
        InputError: a layer of ours is not in the file, or has another shape.
    """
    model = ssd.build(published.model_options, published.anchor_options, len(published.class_names))
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(_checked(layer, published))
    return model


def _checked(layer: keras.layers.Layer, published: PublishedModel) -> list[np.ndarray]:
    arrays = list(published.arrays.get(layer.name, ()))
    got = [array.shape for array in arrays]
    needed = [tuple(weight.shape) for weight in layer.weights]
    if got != needed:
        raise InputError(
            f"{published.path}: {published.layout}: layer {layer.name} has {got or 'no arrays'}; "
            f"must be {needed}"
        )
    return arrays
