"""The classes of a set and those of a model or of detections: the same ones, in whatever order."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.files.outside_detections import named
from ssd_tfrecord.records.sources.names import look_alike_key

if TYPE_CHECKING:
    from ssd_tfrecord.detection.ground_truth import GroundTruth
    from ssd_tfrecord.evaluation.annotated_set import AnnotatedSet

Image = TypeVar("Image", Detections, "GroundTruth")

SAME, COMMON = "same", "common"
# The most names that a message lists of each side.
_NUM_LISTED = 10


@dataclass(frozen=True)
class ClassMatch:
    """The C classes that are scored: ``names``, in the set's order.

    ``of_set`` and ``of_found`` int32 [1 + number of classes of that side] hold the label among
    ``names`` for each label of that side, 0 for none. ``note`` is a line for the user about classes
    that are not scored, or "".
    """

    names: tuple[str, ...]
    of_set: np.ndarray
    of_found: np.ndarray
    note: str = ""

    def choose_set(self, annotated: "AnnotatedSet") -> "AnnotatedSet":
        """``annotated`` with the classes that are scored and their objects; all its images stay.

        Args:
            annotated: the set.
        """
        ids = zip(annotated.original_ids, self.of_set[1:])
        return dataclasses.replace(
            annotated,
            class_names=self.names,
            original_ids=tuple(own for own, label in ids if label),
            truths=[_chosen(truth, self.of_set) for truth in annotated.truths],
        )

    def choose_detections(self, detections: Sequence[Detections]) -> list[Detections]:
        """``detections`` with those of the classes that are scored, labelled as ``names`` are.

        Args:
            detections: with the labels of the other side.
        """
        return [_chosen(image, self.of_found) for image in detections]


def match_classes(
    set_names: Sequence[str],
    found_names: Sequence[str],
    mode: str,
    *,
    found_by: str,
    is_whole_list: bool,
) -> ClassMatch:
    """Matches classes by name.

    Args:
        set_names: of the labels 1, 2, … of the set.
        found_names: of those of a model or of detections.
        mode: same: both must have the same classes; common: those that both have are scored.
        found_by: what has ``found_names``, for messages: a run folder or a file.
        is_whole_list: whether ``found_names`` are all that could be found, as of a model, rather
            than those that have been: then the set may have more.

    Raises:
        InputError: for ``same``, a side lacks a class; or no class is common.
    """
    known, found = {*set_names}, {*found_names}
    added = [name for name in found_names if name not in known]
    lacking = [name for name in set_names if name not in found]
    if not known & found and (found_names or is_whole_list or mode == COMMON):
        raise InputError(
            f"{found_by}: no class is common to it ({_listed(found_names)}) and the set "
            f"({_listed(set_names)}); must have classes of the same names"
        )
    if mode == SAME and (added or (lacking and is_whole_list)):
        raise InputError(_difference(found_by, added, lacking if is_whole_list else [], set_names))
    names = tuple(name for name in set_names if mode == SAME or name in found)
    labels = {name: label for label, name in enumerate(names, 1)}
    return ClassMatch(
        names=names,
        of_set=np.array([0, *(labels.get(name, 0) for name in set_names)], np.int32),
        of_found=np.array([0, *(labels.get(name, 0) for name in found_names)], np.int32),
        note=_note(len(names), added, [name for name in lacking if name not in labels]),
    )


def _chosen(image: Image, new_labels: np.ndarray) -> Image:
    labels = new_labels[image.labels]
    kept = labels > 0
    # All arrays have a row per object or detection.
    arrays = {
        name: rows[kept] for name, rows in vars(image).items() if isinstance(rows, np.ndarray)
    }
    return dataclasses.replace(image, **{**arrays, "labels": labels[kept]})


def _difference(
    found_by: str, added: Sequence[str], lacking: Sequence[str], set_names: Sequence[str]
) -> str:
    parts = []
    if added:
        parts.append(f"has classes that the set lacks: {_listed(added)}")
    if lacking:
        parts.append(f"lacks classes of the set: {_listed(lacking)}")
    keys = {look_alike_key(name): name for name in set_names}
    alike = [(name, keys[look_alike_key(name)]) for name in added if look_alike_key(name) in keys]
    hint = f" (is {named([alike[0][0]])} the set's {named([alike[0][1]])}?)" if alike else ""
    return (
        f"{found_by}: {', and '.join(parts)}{hint}; must have the same classes, in whatever order; "
        "or pass --classes=common to score only those that both have"
    )


def _note(num_scored: int, added: Sequence[str], lacking: Sequence[str]) -> str:
    parts = []
    if lacking:
        parts.append(f"only the set has {_listed(lacking)}")
    if added:
        parts.append(f"only the detections have {_listed(added)}")
    return f"scored on {num_scored} common classes: {'; '.join(parts)}" if parts else ""


def _listed(names: Sequence[str]) -> str:
    return named(names, _NUM_LISTED)
