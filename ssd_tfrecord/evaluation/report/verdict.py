"""The answer in sentences: how good, at which threshold, what costs most, and what to do now."""

from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.evaluation.analysis.answers import ERROR_KINDS
from ssd_tfrecord.evaluation.evaluated_set import EvaluatedSet

ERROR_TITLES = {
    "classification": "wrong class",
    "localisation": "loose box",
    "both": "wrong class and loose box",
    "duplicate": "found twice",
    "background": "nothing there",
    "missed": "missed",
}
# Of TIDE (Bolya et al. 2020), with its IoU of 0.1 below which a detection lies on nothing.
ERROR_MEANINGS = {
    "classification": "detections that are well on an object of another class",
    "localisation": "detections on an object of their class, but with an IoU below {min_iou:g}",
    "both": "detections of another class than the object, with an IoU below {min_iou:g}",
    "duplicate": "detections of an object that a surer one has found already",
    "background": "detections on nothing: no object with an IoU of 0.1",
    "missed": "objects that no detection is on, not even a wrong one",
}
_ADVICE = {
    "classification": "Look up the pairs in the confusion matrix. If people mix them up too, merge "
    "the classes or correct the labels (suspects of the kind class_swap); if not, add examples "
    "that tell them apart.",
    "localisation": "Check that annotated boxes are tight and follow one rule. Then try a larger "
    "--input_size, anchors nearer to the objects (--anchor_scales, --aspect_ratios), or "
    "--box_loss=giou.",
    "both": "Look at the worst images: these are often parts of objects, or neighbours that "
    "overlap. What helps against wrong classes and loose boxes helps here.",
    "duplicate": "Lower --nms_iou, and check that no object is annotated twice "
    "(inspect --suspects).",
    "background": "Look at the suspects of the kind unannotated first: what is an object there "
    "should get a box. Otherwise add such scenes without objects to training, or raise the score "
    "threshold.",
    "missed": "See in the table of classes whether small or rare objects are missed. Small: a "
    "larger --input_size, smaller --anchor_scales. Rare: more examples. Odd shapes: more "
    "--aspect_ratios.",
}


@dataclass(frozen=True)
class CostlyError:
    """A kind of error, the AP that mending it would gain, and two plain texts.

    ``where`` says in which classes it costs most, "" if it is only one class; ``advice`` what to do
    now.
    """

    kind: str
    cost: float
    meaning: str
    where: tuple[tuple[str, float], ...]
    advice: str


def costliest_errors(evaluated: EvaluatedSet, count: int = 3) -> list[CostlyError]:
    """The kinds of error that cost AP, the costliest first.

    Args:
        evaluated: the set.
        count: at most so many.
    """
    errors = evaluated.answers.errors
    costs = {kind: float(np.nan_to_num(errors.costs[kind])) for kind in ERROR_KINDS}
    # What shows as 0.000 is no answer.
    kinds = [kind for kind in sorted(costs, key=lambda k: -costs[k]) if costs[kind] >= 0.0005]
    return [
        CostlyError(
            kind=kind,
            cost=costs[kind],
            meaning=ERROR_MEANINGS[kind].format(min_iou=errors.min_iou),
            where=_where(evaluated, kind),
            advice=_ADVICE[kind],
        )
        for kind in kinds[:count]
    ]


def _where(evaluated: EvaluatedSet, kind: str) -> tuple[tuple[str, float], ...]:
    """The two classes that it costs most, and how much of their AP."""
    names = evaluated.scored.class_names
    costs = np.nan_to_num(evaluated.answers.errors.class_costs[kind])
    if len(names) < 2:
        return ()
    order = np.argsort(-costs, kind="stable")[:2]
    return tuple((names[i], float(costs[i])) for i in order if costs[i] >= 0.0005)


def swaps(evaluated: EvaluatedSet, count: int = 10) -> list[tuple[str, str, int, float]]:
    """What is most often taken for what.

    Args:
        evaluated: the set.
        count: at most so many.

    Returns:
        (annotated class, detected class, number, share of that class's objects), most first.
    """
    names = evaluated.scored.class_names
    matrix = evaluated.answers.confusion.matrix
    # Without the background, and without what is right.
    wrong = matrix[:-1, :-1] * (1 - np.eye(len(names), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    found, annotated = np.unravel_index(order, wrong.shape)
    objects = np.maximum(matrix.sum(axis=0), 1)
    return [
        (names[a], names[f], int(wrong[f, a]), float(wrong[f, a] / objects[a]))
        for f, a in zip(found, annotated)
        if wrong[f, a]
    ]
