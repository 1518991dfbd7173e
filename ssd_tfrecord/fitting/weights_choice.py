"""Which pretrained weights there are: those of a file, ImageNet's if they can be had, or none."""

import pathlib
import urllib.error
import urllib.request
from collections.abc import Collection

import h5py

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.errors import InputError

# Whether a server answers is known by then; the download itself may take as long as it likes.
_SECONDS = 5.0


def find(wanted: str, backbone: str) -> tuple[str, str]:
    """What --backbone_weights is to be.

    Args:
        wanted: auto, or what the user has given.
        backbone: whose weights are looked for.

    Returns:
        (imagenet, none or a path; a line that says why, or "").
    """
    if wanted != "auto":
        return wanted, ""
    weights = BACKBONES[backbone].weights
    if weights is None:
        return "none", f"weights: there are none for {backbone}"
    url = weights.url_fn(1.0)
    if (pathlib.Path.home() / ".keras" / "models" / url.rpartition("/")[2]).is_file():
        return "imagenet", "weights: ImageNet's, from Keras's cache"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, method="HEAD"), timeout=_SECONDS
        ) as answer:
            if answer.status == 200:
                return "imagenet", "weights: ImageNet's, downloaded by Keras"
            reason = f"HTTP status {answer.status}"
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
    return "none", (
        f"weights: none, as ImageNet's cannot be downloaded ({reason}); training from scratch. "
        f"With the file {url} give --backbone_weights=PATH"
    )


def backbone_of(path: str) -> str:
    """The backbone whose layers a Keras file holds; "" if it has no layers that are known.

    Raises:
        InputError: there is no such file, or it is not an HDF5 file.
    """
    what = f"--backbone_weights={path}"
    names: set[str] = set()
    try:
        with h5py.File(path, "r") as file:
            # Layers are groups, at the top or one or two below it.
            for name, item in file.items():
                names.add(name)
                if isinstance(item, h5py.Group):
                    for inner, group in item.items():
                        names.add(inner)
                        if isinstance(group, h5py.Group):
                            names.update(group)
    except FileNotFoundError:
        raise InputError(
            f"{what}: no such file; must be auto, imagenet, none, or a Keras .h5 or .weights.h5"
        ) from None
    except OSError:
        raise InputError(f"{what}: not an HDF5 file; must be a Keras .h5 or .weights.h5") from None
    except (RuntimeError, KeyError, ValueError):
        raise InputError(f"{what}: is damaged; must be a Keras .h5 or .weights.h5") from None
    counts = {
        name: sum(layer.startswith(kind.layers) for layer in names)
        for name, kind in BACKBONES.items()
    }
    # "block" begins the names of VGG-16's layers, and of many of MobileNetV2's.
    best = max(counts, key=lambda name: (counts[name], len("".join(BACKBONES[name].layers))))
    return best if counts[best] else _by_kinds(names)


def _by_kinds(names: Collection[str]) -> str:
    """The backbone of a file that numbers its layers by kind, as Keras 2 writes .weights.h5."""
    if "depthwise_conv2d" in names:
        # Of these two, MobileNetV3 alone weighs its channels.
        return "mobilenet_v3_large" if "multiply" in names else "mobilenet_v2"
    if "conv2d" not in names:
        return ""
    return "resnet50" if "batch_normalization" in names else "vgg16"
