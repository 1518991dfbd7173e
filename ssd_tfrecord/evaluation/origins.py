"""Where detections come from, and what comes from there; a model is in ``trained_model``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.evaluation import measurement
from ssd_tfrecord.evaluation.annotated_set import AnnotatedSet
from ssd_tfrecord.evaluation.files.classes import match_classes
from ssd_tfrecord.evaluation.files.readers import read_detections


@dataclass(frozen=True)
class Outcome:
    """The detections on a set.

    ``annotated`` is the set with the classes that are scored, ``detections`` one per image of it,
    with its labels. ``measured`` is of ``measurement.describe``; ``anchors`` float32 [A, 4] and
    ``loss`` are those of a model, if there is one. ``lines`` are for the user.
    """

    annotated: AnnotatedSet
    detections: Sequence[Detections]
    measured: dict[str, Any]
    anchors: np.ndarray | None = None
    loss: float | None = None
    lines: tuple[str, ...] = ()


class Origin(Protocol):
    """What detects."""

    def detect(self, annotated: AnnotatedSet) -> Outcome:
        """Detects in a set.

        Raises:
            InputError: it cannot, for instance as classes differ.
        """


class DetectionFiles:
    """Detections that a tool has written.

    Args:
        path: their file or folder.
        kind: as ``--detections_format``.
        classes_file: as ``--detections_classes``.
        classes: as ``--classes``.
    """

    def __init__(self, path: str, *, kind: str, classes_file: str, classes: str) -> None:
        self._path = path
        self._kind = kind
        self._classes_file = classes_file
        self._classes = classes

    def detect(self, annotated: AnnotatedSet) -> Outcome:
        """Reads the detections of a set."""
        read = read_detections(self._path, self._kind, annotated, self._classes_file)
        matched = match_classes(
            annotated.class_names,
            read.class_names,
            self._classes,
            found_by=self._path,
            is_whole_list=False,
        )
        print(f"evaluating {self._path} on {annotated.where}")
        return Outcome(
            annotated=matched.choose_set(annotated),
            detections=matched.choose_detections(read.detections),
            measured=measurement.describe(
                records=annotated.where, digest=annotated.digest, detections=self._path
            ),
            lines=(*read.notes, *([matched.note] if matched.note else [])),
        )
