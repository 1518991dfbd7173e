"""Detections of any tool, read as those of a set: of its images and classes, as fractions."""

import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ssd_tfrecord.detection.detections import (
    Detections,
    file_names,
    image_names,
    image_words,
    word_names,
)
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.files import cartucho, coco_results, comp4, yolo_results
from ssd_tfrecord.evaluation.files.detection_formats import CARTUCHO, COCO, VOC, YOLO, recognise
from ssd_tfrecord.evaluation.files.image_keys import match_keys
from ssd_tfrecord.evaluation.files.outside_detections import OutsideDetections, named, quoted
from ssd_tfrecord.records.manifest import load_classes
from ssd_tfrecord.records.sources.layouts.yolo_labels import read_text
from ssd_tfrecord.records.sources.names import normal_name
from ssd_tfrecord.runs.checkpoint_files import CLASSES_FILE, read_classes

if TYPE_CHECKING:
    from ssd_tfrecord.detection.ground_truth import GroundTruth
    from ssd_tfrecord.evaluation.annotated_set import AnnotatedSet

# Reasons for which a row is left out, besides those of ``outside_detections``.
UNKNOWN_IMAGE = "of no image of the set"
# What ``write_detections`` calls the images in files of each kind.
_WRITTEN: Mapping[str, Callable[[Sequence[str]], list[str]]] = {
    VOC: image_words,
    CARTUCHO: image_names,
}
# Of a list of class names.
_MAX_BYTES = 2**22
# By how much of the image's side a box may reach beyond it before that is worth a note.
_MARGIN = 0.1


@dataclass(frozen=True)
class ReadDetections:
    """Detections of a set that another tool, or an earlier call, has written.

    ``detections`` has one per image, in the set's order, best first; boxes may reach beyond the
    image, as the tools of these files do not clip them either. ``class_names`` are those of its
    labels 1, 2, …, which need not be the set's. ``dropped`` is {why: rows that were left out};
    ``notes`` are lines for the user.
    """

    detections: list[Detections]
    class_names: tuple[str, ...]
    dropped: Mapping[str, int]
    notes: tuple[str, ...]


def read_detections(
    path: str,
    kind: str,
    annotated: "AnnotatedSet",
    classes_file: str = "",
) -> ReadDetections:
    """Reads the detections at ``path``.

    Args:
        path: a file or folder.
        kind: coco, voc, cartucho or yolo; or auto, for what it looks like.
        annotated: the set. Its classes tell what names in files mean that ``write_detections`` has
            to change (spaces of Cartucho's), and what numbers mean: COCO's are ``original_ids``,
            YOLO's begin with 0.
        classes_file: a list of classes (see ``read_numbers``) that says what numbers mean instead
            of the set's and of one that lies beside the detections; "" for none.

    Raises:
        InputError: the files cannot be read, most of their rows are faulty, they belong to other
            images, or their boxes have another unit.
    """
    kind = recognise(path) if kind == "auto" else kind
    if classes_file:
        numbers = read_numbers(classes_file, kind)
    else:
        numbers = _numbered(kind, annotated.class_names, annotated.original_ids)
    read: Mapping[str, Callable[[], OutsideDetections]] = {
        COCO: lambda: coco_results.read(path, named=not classes_file),
        VOC: lambda: comp4.read(path, annotated.class_names),
        CARTUCHO: lambda: cartucho.read(path),
        YOLO: lambda: yolo_results.read(path, named=not classes_file),
    }
    outside = read[kind]()
    source_ids = [truth.source_id for truth in annotated.truths]
    places = match_keys(
        outside.keys,
        annotated,
        ids_first=kind == COCO,
        written=_WRITTEN.get(kind, list)(source_ids),
        aliases=outside.aliases,
        files=outside.files,
    )
    notes, dropped = list(outside.notes), dict(outside.dropped)
    row_places = places[outside.key]
    if strangers := [key for key, place in zip(outside.keys, places.tolist()) if place < 0]:
        _refuse_all(path, strangers, outside.keys, annotated)
        dropped[UNKNOWN_IMAGE] = int((row_places < 0).sum())
        notes.append(
            f"{dropped[UNKNOWN_IMAGE]} detections are left out: their images are not in the set: "
            f"{named(strangers)}"
        )
    names, labels = _names_and_labels(outside.words, annotated.class_names, numbers)
    sizes = np.array([(t.height, t.width) for t in annotated.truths], np.float64).reshape(-1, 2)
    kept = row_places >= 0
    sides = np.tile(sizes[row_places[kept]], 2)
    boxes = outside.boxes[kept]
    if not outside.in_fractions:
        _refuse_fractions(path, boxes, sides)
        boxes = boxes / sides
    notes += _beyond(boxes, kind)
    detections = _by_image(
        annotated.truths, row_places[kept], boxes, outside.scores[kept], labels[outside.word[kept]]
    )
    return ReadDetections(detections, names, dropped, tuple(notes))


def _numbered(kind: str, class_names: Sequence[str], original_ids: Iterable[int]) -> dict[int, str]:
    """{number in files of ``kind``: class}: category ids, or for YOLO 0, 1, …."""
    return dict(enumerate(class_names) if kind == YOLO else zip(original_ids, class_names))


def read_numbers(path: str, kind: str) -> dict[int, str]:
    """Reads a list of classes: {number in files of ``kind``: class}.

    Args:
        path: a text with one name per line, which YOLO counts from 0 and others from 1; or a
            manifest.json or classes.json, which have COCO's ids too.
        kind: yolo, or any other.

    Raises:
        InputError: it cannot be read, is empty, or has a name twice.
    """
    if path.endswith(".json"):
        is_of_run = os.path.basename(path) == CLASSES_FILE
        classes = read_classes(pathlib.Path(path).parent) if is_of_run else load_classes(path)
        return _numbered(
            kind, [item.name for item in classes], [item.original_id for item in classes]
        )
    lines = read_text(path, _MAX_BYTES).splitlines()
    names = [normal_name(line) for line in lines if line.strip()]
    if not names or len({*names}) < len(names):
        found = "has a class twice" if names else "is empty"
        raise InputError(f"{path}: {found}: must have each class once, one per line")
    return _numbered(kind, names, range(1, len(names) + 1))


def _refuse_all(
    path: str, strangers: Sequence[str], keys: Sequence[str], annotated: "AnnotatedSet"
) -> None:
    """Raises InputError if no image of the files is in the set."""
    if len(strangers) < len(keys):
        return
    ids = [str(image_id) for image_id in annotated.image_ids]
    source_ids = [truth.source_id for truth in annotated.truths]
    known = f"{named(source_ids)}" + (f" (ids {named(ids)})" if ids != source_ids else "")
    raise InputError(
        f"{path}: none of its {len(keys)} images is in the set: they are called "
        f"{named(strangers)}, but the set has {known}; must be image ids, or names of images"
    )


def _names_and_labels(
    words: Sequence[str | int], class_names: Sequence[str], numbers: Mapping[int, str]
) -> tuple[tuple[str, ...], np.ndarray]:
    """(the classes, those of the set first; the label of each of ``words``, int32)."""
    written = {
        **dict(zip(word_names(class_names), class_names)),
        **dict(zip(file_names(class_names), class_names)),
        **{name: name for name in class_names},
    }
    found: list[str] = []
    for word in words:
        if isinstance(word, int):
            found.append(numbers.get(word, f"class {quoted(word)}"))
        else:
            name = normal_name(word)
            found.append(written.get(name, name))
    # Where there are numbers, their list is that of the classes, whichever have been found.
    is_listed = any(isinstance(word, int) for word in words)
    present = {*found, *(numbers.values() if is_listed else ())}
    ordered = [name for name in class_names if name in present]
    names = tuple(dict.fromkeys([*ordered, *(numbers.values() if is_listed else ()), *found]))
    labels = {name: label for label, name in enumerate(names, 1)}
    return names, np.array([labels[name] for name in found], np.int32)


def _refuse_fractions(path: str, boxes: np.ndarray, sides: np.ndarray) -> None:
    """Raises InputError if all boxes, which should be in pixels, look like fractions."""
    has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    # Pixels of VOC, of which one has been taken off the low edges, are as small.
    if has_area.any() and boxes.max() <= 1 and sides.min() > 2:
        raise InputError(
            f"{path}: all {len(boxes)} boxes lie within 0 to 1: they look like fractions of the "
            "image; must be pixels"
        )


def _beyond(boxes: np.ndarray, kind: str) -> list[str]:
    """A note if most boxes, as fractions, reach far beyond their image."""
    count = int(((boxes < -_MARGIN) | (boxes > 1 + _MARGIN)).any(axis=1).sum())
    if 2 * count <= len(boxes):
        return []
    form = "; COCO's are x, y, width, height" if kind == COCO else ""
    return [f"{count} of {len(boxes)} boxes reach beyond their image by more than a tenth{form}"]


def _by_image(
    truths: "Sequence[GroundTruth]",
    places: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
) -> list[Detections]:
    """The detections of each image, best first, equal ones in the order of the file."""
    # By the last key first; a stable sort.
    order = np.lexsort((-scores, places))
    bounds = np.searchsorted(places[order], np.arange(len(truths) + 1))
    found = []
    for truth, first, end in zip(truths, bounds, bounds[1:]):
        rows = order[first:end]
        found.append(
            Detections(
                truth.source_id,
                truth.height,
                truth.width,
                boxes[rows].astype(np.float32),
                scores[rows],
                labels[rows],
            )
        )
    return found
