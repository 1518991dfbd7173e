"""Weights in Keras's HDF5 files, read as arrays: nothing in a file is executed or unpickled."""

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import h5py
import numpy as np

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras

# How Keras 2 names layers in a .weights.h5: by class, numbered in the order of the model.
_NUMBERED = {
    "conv2d": keras.layers.Conv2D,
    "depthwise_conv2d": keras.layers.DepthwiseConv2D,
    "batch_normalization": keras.layers.BatchNormalization,
}
# VGG-16's fc1, the largest array of all, has 411 million bytes; a name takes 16 and its letters.
_MOST_BYTES, _MOST_BYTES_OF_NAMES = 2**30, 2**20


def read_layers(
    path: str, wanted: Sequence[keras.layers.Layer], classifier: Sequence[str] = ()
) -> dict[str, list[np.ndarray]]:
    """Reads the arrays of each layer.

    Three layouts are supported: the ``.h5`` of Keras 2, with weights or a complete model; and the
    ``.weights.h5`` of Keras 3, which names its layers, or of Keras 2, which numbers them.

    Args:
        path: of the file.
        wanted: the backbone's layers with weights, in the order of the model.
        classifier: names of the dense layers of the file's classifier, in order. Layers that
            are neither in ``wanted`` nor in ``classifier`` are not read.

    Returns:
        {layer: arrays in Keras's order (kernel, bias; gamma, beta, mean, variance)}.

    Raises:
        InputError: there is no such file, or it has none of these layouts.
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
    with file, _damages(what):
        # A file of a complete model has its weights in this group, one of weights at the top.
        group = file.get("model_weights", file)
        if "layer_names" in group.attrs:
            layers = _keras2_layers(group, names, classifier)
        else:
            layers = _numbered_layers(file, wanted, classifier)
        if not layers:
            raise InputError(
                f"{what}: contains no Keras layers; must be a Keras .h5 or .weights.h5"
            )
        # Only now are data read, and only of the layers that are asked for.
        return {
            name: [_array(dataset) for dataset in datasets]
            for name, datasets in layers.items()
            if name in names or name in classifier
        }


@contextlib.contextmanager
def _damages(what: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    # What h5py raises of a damaged file: a name that is not UTF-8 is a ValueError.
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"{what}: is damaged, or no file of Keras's; must be a Keras .h5 or .weights.h5"
        ) from None


def named_as(wanted: Iterable[str], name: str) -> str:
    """The one of ``wanted`` that the layer ``name`` of a file is, judging by the end of its path.

    The names of keras.applications depend on its version: expanded_conv_1/expand/BatchNorm is also
    expanded_conv_1_expand_bn, and in models that are nested their names come first.

    Returns:
        ``name`` itself if it is none of them.
    """
    keys = {_key(each): each for each in wanted}
    parts = name.split("/")
    ends = (_key("/".join(parts[start:])) for start in range(len(parts)))
    return next((keys[end] for end in ends if end in keys), name)


def _key(name: str) -> str:
    return name.casefold().replace("batchnorm", "bn").replace("/", "_")


def _keras2_layers(
    group: h5py.Group, names: Sequence[str], classifier: Sequence[str]
) -> dict[str, list[h5py.Dataset]]:
    layers: dict[str, list[h5py.Dataset]] = {}
    for outer in _names_in(group, "layer_names"):
        for weight in _names_in(group[outer], "weight_names"):
            # As a rule layer/kernel:0, preceded by the model's name in nested models; the VGG-16
            # that Keras offers has block1_conv1_W_1:0 without the layer.
            path, _, _ = f"{outer}/{weight}".rpartition("/")
            name = named_as([*names, *classifier], path)
            layers.setdefault(name, []).append(group[outer][weight])
    if layers.keys().isdisjoint(names):
        # The MobileNetV2 that Keras offers has the names of an earlier version; Keras itself loads
        # it by order.
        return dict(zip(names, layers.values()))
    return layers


def _names_in(group: h5py.Group, attribute: str) -> list[str]:
    # A damaged one may say that it has billions, which HDF5 would look for one by one.
    stored = group.attrs.get_id(attribute)
    if math.prod(stored.shape) * stored.dtype.itemsize > _MOST_BYTES_OF_NAMES:
        raise ValueError(f"{attribute} is too large")
    return [_text(name) for name in group.attrs[attribute]]


def _array(dataset: h5py.Dataset) -> np.ndarray:
    if dataset.nbytes > _MOST_BYTES:
        raise ValueError(f"{dataset.name} is too large")
    return np.asarray(dataset[()])


def _numbered_layers(
    file: h5py.File, wanted: Iterable[keras.layers.Layer], classifier: Iterable[str]
) -> dict[str, list[h5py.Dataset]]:
    names = _names_by_number(wanted, classifier)
    known = [*(layer.name for layer in wanted), *classifier]
    layers: dict[str, list[h5py.Dataset]] = {}

    def visit(path: str, group: h5py.Group | h5py.Dataset) -> None:
        # Weights lie in …/<layer>/vars/0, 1, …; vars of a layer without weights is empty.
        *parents, last = path.split("/")
        if last == "vars" and parents and isinstance(group, h5py.Group) and len(group):
            number = parents[-1]
            # Keras 3 writes the attribute, Keras 2 does not.
            name = _text(group.attrs.get("name", names.get(number, number)))
            layers[named_as(known, name)] = [group[str(index)] for index in range(len(group))]

    file.visititems(visit)
    return layers


def _names_by_number(
    wanted: Iterable[keras.layers.Layer], classifier: Iterable[str]
) -> Mapping[str, str]:
    """{conv2d_3 and the like: name of the layer}; the first of a class has no number."""
    names = {f"dense_{n}" if n else "dense": name for n, name in enumerate(classifier)}
    for kind, layer_class in _NUMBERED.items():
        of_kind = (layer.name for layer in wanted if isinstance(layer, layer_class))
        names |= {f"{kind}_{n}" if n else kind: name for n, name in enumerate(of_kind)}
    return names


def _text(name: bytes | str) -> str:
    # Keras 2 writes names as bytes, Keras 3 as str.
    return name.decode() if isinstance(name, bytes) else str(name)
