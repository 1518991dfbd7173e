"""The numbers of each class, gathered from metrics and answers: a row for each."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.evaluation.analysis.answers import ERROR_KINDS, OperatingPoint
from ssd_tfrecord.evaluation.evaluated_set import EvaluatedSet

# Metrics of a class, as ``ap_per_class`` of metrics.json names them; not all need be there.
METRICS = (
    *("voc07", "voc12", "coco", "coco50", "coco75"),
    *("coco_small", "coco_medium", "coco_large", "ar100"),
)


@dataclass(frozen=True)
class ClassRow:
    """A class: its counts, its ``metrics`` by the names of ``METRICS``, and its best threshold.

    ``costs`` is {kind of error: AP of this class that mending it would gain}. None where no object
    counts. ``num_anchorless`` of its objects have no anchor, None if anchors are not known.
    """

    name: str
    num_objects: int
    num_detections: int
    metrics: Mapping[str, float | None]
    best: OperatingPoint
    costs: Mapping[str, float | None]
    num_anchorless: int | None


def class_rows(evaluated: EvaluatedSet) -> list[ClassRow]:
    """One row for each class, in the order of labels."""
    scored, answers = evaluated.scored, evaluated.answers
    objects = np.bincount(scored.objects.labels, minlength=scored.num_classes + 1)[1:]
    found = np.bincount(scored.found.labels, minlength=scored.num_classes + 1)[1:]
    without = np.zeros(scored.num_classes + 1, np.int64)
    if answers.anchorless is not None:
        labels = scored.objects.labels[answers.anchorless]
        without = np.bincount(labels, minlength=scored.num_classes + 1)
    per_class = evaluated.metrics.get("ap_per_class", {})
    rows = []
    for index, name in enumerate(scored.class_names):
        entry = per_class.get(name, {})
        rows.append(
            ClassRow(
                name=name,
                num_objects=int(entry.get("num_objects", objects[index])),
                num_detections=int(entry.get("num_detections", found[index])),
                metrics={key: entry.get(key) for key in METRICS},
                best=answers.curves.best[index],
                costs={
                    kind: or_none(answers.errors.class_costs[kind][index]) for kind in ERROR_KINDS
                },
                num_anchorless=None if answers.anchorless is None else int(without[index + 1]),
            )
        )
    return rows


def or_none(value: float | None) -> float | None:
    """A number as Python has it, None for NaN: JSON has neither NaN nor NumPy's numbers."""
    return None if value is None or np.isnan(value) else float(value)
