"""A published model read from its file: which it is, its options, its classes and our arrays."""

import json
import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published import weight_files
from ssd_tfrecord.model.weights.published.bounded_file import printable, shown
from ssd_tfrecord.model.weights.published.layouts import (
    caffe_vgg16,
    class_lists,
    layer_sources,
    pytorch_vgg16,
    torchvision_ssdlite,
    torchvision_vgg16,
)
from ssd_tfrecord.model.weights.published.layouts.class_lists import ClassList
from ssd_tfrecord.model.weights.published.layouts.layer_sources import FileEntries, FoundNetwork
from ssd_tfrecord.model.weights.published.weight_files import WeightFile
from ssd_tfrecord.options import AnchorOptions, DetectionOptions, ModelOptions

# {a name that only this layout has: how its network is found}.
_LAYOUTS: dict[str, Callable[[FileEntries], FoundNetwork]] = {
    torchvision_vgg16.MARKER: torchvision_vgg16.find,
    torchvision_ssdlite.MARKER: torchvision_ssdlite.find,
    # Before amdegroot's, which other names may end with.
    pytorch_vgg16.LUFFICC_MARKER: pytorch_vgg16.find_lufficc,
    pytorch_vgg16.AMDEGROOT_MARKER: pytorch_vgg16.find_amdegroot,
    caffe_vgg16.MARKER: caffe_vgg16.find,
    caffe_vgg16.KERAS_MARKER: caffe_vgg16.find_keras,
}
# Of those that are not Caffe's: torchvision's ssdlite.py; MAX_PER_IMAGE of lufficc; Detect's top_k
# of amdegroot, which keeps as many of each class.
_LUFFICC = DetectionOptions(max_detections=100)
_THRESHOLDS = {
    torchvision_ssdlite.TITLE: DetectionOptions(
        score_threshold=0.001, nms_iou=0.55, nms_candidates=300, max_detections=300
    ),
    "lufficc ssd300 vgg16": _LUFFICC,
    "lufficc ssd512 vgg16": _LUFFICC,
    "amdegroot ssd300": DetectionOptions(nms_candidates=200),
}
KNOWN = (
    "torchvision ssd300_vgg16 or ssdlite320_mobilenet_v3_large, amdegroot or lufficc SSD, the "
    "authors' Caffe SSD, or ssd_keras"
)


@dataclass(frozen=True)
class PublishedModel:
    """A model of others, as ours.

    ``layout`` is the title of the file's layout. ``anchor_scales``, ``aspect_ratios`` (empty: the
    backbone's) and ``anchor_variant`` are those of ``AnchorOptions``. Label i is
    ``class_names[i - 1]`` and ``original_ids[i - 1]``, its id in the source (COCO's category id);
    ``names_known`` is false if the names are made up. ``arrays`` is {our layer: its arrays in
    Keras's order}; ``left`` are the names in the file that are not used.
    """

    path: str
    layout: str
    backbone: str
    input_size: int
    anchor_scales: str
    aspect_ratios: str
    anchor_variant: str
    class_names: tuple[str, ...]
    original_ids: tuple[int, ...]
    names_known: bool
    arrays: Mapping[str, Sequence[np.ndarray]]
    left: tuple[str, ...]
    metadata: Mapping[str, str]

    @property
    def model_options(self) -> ModelOptions:
        """The options of a network for its weights."""
        return ModelOptions(
            backbone=self.backbone, input_size=self.input_size, backbone_weights="none"
        )

    @property
    def anchor_options(self) -> AnchorOptions:
        """The options of its anchors."""
        return AnchorOptions(
            anchor_scales=self.anchor_scales,
            aspect_ratios=self.aspect_ratios,
            anchor_variant=self.anchor_variant,
        )

    @property
    def detection_options(self) -> DetectionOptions:
        """The thresholds with which its authors evaluated it; Caffe's where they have no others."""
        return _THRESHOLDS.get(self.layout, DetectionOptions())

    @property
    def lines(self) -> list[str]:
        """What the file is and what of it is not used, for the start of a program."""
        lines = [
            f"{self.path}: {self.layout}, {len(self.class_names)} classes, anchors "
            f"{self.anchor_scales}, {self.anchor_variant}"
        ]
        if not self.names_known:
            lines.append(
                f"{self.path}: the names of its {len(self.class_names)} classes are not known; "
                f"called {self.class_names[0]} to {self.class_names[-1]}"
            )
        if self.left:
            names = ", ".join(map(printable, self.left[:5])) + (", …" if len(self.left) > 5 else "")
            lines.append(f"{self.path}: {len(self.left)} arrays not used: {names}")
        return lines


def is_published(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is a file of weights of another program, by its bytes.

    A folder, and what does not exist, is none.

    Raises:
        InputError: it cannot be read, or is cut.
    """
    return os.path.isfile(path) and weight_files.kind_of(path) is not None


def read_published(path: str | os.PathLike[str], classes: Sequence[str] = ()) -> PublishedModel:
    """Reads a published model, whichever of the known layouts its file has.

    Args:
        path: of the file.
        classes: names of its labels 1, 2, …; default: those in the file, else by their number (20:
            VOC's, 80 and torchvision's 90: COCO's).

    Raises:
        InputError: it cannot be read, is of no known layout, or a layer is missing or has another
            shape.
    """
    file = weight_files.read(path)
    return of_arrays(str(path), file, classes)


def of_arrays(path: str, file: WeightFile, classes: Sequence[str] = ()) -> PublishedModel:
    """The published model in the arrays of a file.

    Args:
        path: named in errors.
        file: what it holds.
        classes: as of ``read_published``.

    Raises:
        InputError: as ``read_published``.
    """
    marker, entries = _recognised(path, file)
    found = _LAYOUTS[marker](entries)
    told = _told(path, file.metadata)
    known = class_lists.of_depth(found.depth, classes or told.class_names, path)
    layers = layer_sources.read_layers(found.sources, entries, found.title)
    model = PublishedModel(
        path=path,
        layout=found.title,
        backbone=found.backbone,
        input_size=found.input_size,
        anchor_scales=told.anchor_scales or found.anchor_scales,
        aspect_ratios=told.aspect_ratios or found.aspect_ratios,
        anchor_variant=told.anchor_variant or found.anchor_variant,
        class_names=known.names,
        original_ids=told.original_ids or known.original_ids,
        names_known=known.known,
        arrays=_of_classes(layers, known, found.depth),
        left=layer_sources.left_over(found.sources, entries),
        metadata=file.metadata,
    )
    try:
        model.anchor_options.check_maps(model.model_options.maps)
    except InputError as error:  # metadata of another model
        raise InputError(f"{path}: {error}") from None
    return model


def _recognised(path: str, file: WeightFile) -> tuple[str, FileEntries]:
    """The marker of the layout, and the arrays by its names."""
    names = {_plain(name) if file.kind == "keras_h5" else name: name for name in file.arrays}
    for marker in _LAYOUTS:
        prefixes = [
            name.removesuffix(marker)
            for name in names
            # vgg.L2Norm.weight, but not other_L2Norm.weight.
            if name == marker or name.endswith(f".{marker}")
        ]
        if prefixes:
            # As in the checkpoints of lufficc, and of torchvision's own training: model.backbone…
            prefix = min(prefixes, key=len)
            below = {
                name.removeprefix(prefix): there
                for name, there in names.items()
                if name.startswith(prefix)
            }
            return marker, FileEntries(path, file.arrays, below, prefix)
    few = ", ".join(map(printable, list(file.arrays)[:3]))
    raise InputError(
        f"{path}: of no known layout: it has {len(file.arrays)} arrays, {few} …; must be {KNOWN}"
    )


def _plain(name: str) -> str:
    """An array's name in Keras's file as ``layer/kind``: of conv1_1/conv1_1_W:0 conv1_1/kernel."""
    *parents, last = re.sub(r":\d+$", "", name).split("/")
    layer, _, kind = last.rpartition("_")
    if kind in ("gamma", "W", "b"):
        return f"{layer}/{ {'W': 'kernel', 'b': 'bias'}.get(kind, kind) }"
    return f"{parents[-1]}/{last}" if parents else last


def _of_classes(
    layers: Mapping[str, list[np.ndarray]], known: ClassList, depth: int
) -> dict[str, list[np.ndarray]]:
    """``layers``, of whose logits only the channels of the known classes are left."""
    if len(known.channels) == depth:
        return dict(layers)
    channels = list(known.channels)

    def chosen(array: np.ndarray) -> np.ndarray:
        # The last axis runs over anchors and, within each, over classes.
        rows = array.reshape(*array.shape[:-1], -1, depth)[..., channels]
        return np.ascontiguousarray(rows.reshape(*array.shape[:-1], -1))

    return {
        layer: [chosen(array) for array in arrays] if layer.endswith("_logits") else arrays
        for layer, arrays in layers.items()
    }


@dataclass(frozen=True)
class _Told:
    """What a file of our own export says of itself; empty if it says nothing."""

    class_names: tuple[str, ...] = ()
    original_ids: tuple[int, ...] = ()
    anchor_scales: str = ""
    aspect_ratios: str = ""
    anchor_variant: str = ""


def _told(path: str, metadata: Mapping[str, str]) -> _Told:
    """Reads the metadata that ``export --format=torchvision`` writes.

    Raises:
        InputError: they are damaged.
    """
    if "ssd_tfrecord" not in metadata:
        return _Told()
    try:
        classes = json.loads(metadata["classes"])
        names, ids = ([item[key] for item in classes] for key in ("name", "original_id"))
        for name in names:
            if not _is_name(name):
                raise InputError(
                    f"class name {shown(name)}: must be a text without control characters"
                )
        if not all(type(number) is int for number in ids):
            raise TypeError
        texts = {key: metadata[key] for key in ("anchor_scales", "aspect_ratios", "anchor_variant")}
        AnchorOptions(**texts)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = str(error) if isinstance(error, InputError) else type(error).__name__
        raise InputError(
            f"{path}: its metadata are damaged ({reason}); export the model again"
        ) from None
    return _Told(tuple(names), tuple(ids), **texts)


def _is_name(name: object) -> bool:
    """Whether a class can be called so: no-break spaces and joiners are parts of ordinary words."""
    # Cs: a lone surrogate, which UTF-8 lacks.
    return isinstance(name, str) and not any(unicodedata.category(c) in ("Cc", "Cs") for c in name)
