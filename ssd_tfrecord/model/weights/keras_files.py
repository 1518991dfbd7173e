"""Weights in Keras's HDF5 files, read as arrays: nothing in a file is executed or unpickled."""

import h5py
import numpy as np

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras

# How a .weights.h5 of Keras 2 calls its layers: by class, numbered in the order of the model.
_NUMBERED = {
    "conv2d": keras.layers.Conv2D,
    "depthwise_conv2d": keras.layers.DepthwiseConv2D,
    "batch_normalization": keras.layers.BatchNormalization,
}


def read_layers(
    path: str, wanted: list[keras.layers.Layer], classifier: tuple[str, ...] = ()
) -> dict[str, list[np.ndarray]]:
    """Arrays of each layer by its name, in Keras's order (kernel, bias; gamma, beta, mean, var).

    Three layouts are known: the ``.h5`` of Keras 2, of weights or of a whole model, and the
    ``.weights.h5`` of Keras 3, which names its layers, or of Keras 2, which numbers them.

    Args:
        path: of the file.
        wanted: the backbone's layers with weights, in the order of the model.
        classifier: names of dense layers of the file's classifier, in their order; no other layer
            is read.

    Raises:
        InputError: there is no such file, or it is not one of these.
    """
    what = f"--backbone_weights={path}"
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise InputError(
            f"{what}: no such file; must be imagenet, none, or a Keras .h5 or .weights.h5"
        ) from None
    except OSError:
        raise InputError(f"{what}: not an HDF5 file; must be a Keras .h5 or .weights.h5") from None
    names = [layer.name for layer in wanted]
    with file:
        group = file.get("model_weights", file)
        if "layer_names" in group.attrs:
            layers = _keras2_layers(group, names)
        else:
            layers = _numbered_layers(file, wanted, classifier)
        if not layers:
            raise InputError(f"{what}: holds no Keras layers; must be a Keras .h5 or .weights.h5")
        return {
            name: [dataset[()] for dataset in datasets]
            for name, datasets in layers.items()
            if name in names or name in classifier
        }


def _keras2_layers(group, names):
    layers = {}
    for outer in map(_text, group.attrs["layer_names"]):
        for weight in map(_text, group[outer].attrs["weight_names"]):
            # As a rule layer/kernel:0, below the model's name where models are nested; the VGG-16
            # that Keras offers has block1_conv1_W_1:0 without its layer.
            name = f"{outer}/{weight}".split("/")[-2]
            layers.setdefault(name, []).append(group[outer][weight])
    if layers.keys().isdisjoint(names):
        # The MobileNetV2 that Keras offers holds the names of an earlier version; Keras itself
        # goes by order.
        return dict(zip(names, layers.values()))
    return layers


def _numbered_layers(file, wanted, classifier):
    names = _names_by_number(wanted, classifier)
    layers = {}

    def visit(path, group):
        *parents, last = path.split("/")
        if last == "vars" and parents and isinstance(group, h5py.Group) and len(group):
            number = parents[-1]
            name = _text(group.attrs.get("name", names.get(number, number)))
            layers[name] = [group[str(index)] for index in range(len(group))]

    file.visititems(visit)
    return layers


def _names_by_number(wanted, classifier):
    names = {f"dense_{n}" if n else "dense": name for n, name in enumerate(classifier)}
    for kind, layer_class in _NUMBERED.items():
        of_kind = (layer.name for layer in wanted if isinstance(layer, layer_class))
        names |= {f"{kind}_{n}" if n else kind: name for n, name in enumerate(of_kind)}
    return names


def _text(name):
    return name.decode() if isinstance(name, bytes) else str(name)
