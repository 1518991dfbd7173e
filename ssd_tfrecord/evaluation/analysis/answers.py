"""What an evaluation answers beyond its metrics, as data."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# Kinds of error, of TIDE (Bolya et al. 2020): a detection on an object of another class; on one of
# its class, but not well enough; both; on one that is found already; on nothing. And objects that
# no detection, not even a wrong one, is on.
ERROR_KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
# Kinds of ``Doubt``, in the order in which they are listed.
UNANNOTATED, CLASS_SWAP, NEVER_FOUND = "unannotated", "class_swap", "never_found"
DOUBT_KINDS = (UNANNOTATED, CLASS_SWAP, NEVER_FOUND)


@dataclass(frozen=True)
class OperatingPoint:
    """A score threshold, and what keeping the detections of at least that score gives.

    ``precision``, ``recall`` and ``f1`` are in [0, 1]; all four are None where no object counts. If
    objects count, but no detection is right, ``recall`` and ``f1`` are 0, the others None.
    """

    threshold: float | None
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Curves:
    """Precision, recall and F1 at IoU ``min_iou``.

    ``thresholds`` float64 [T], rising scores; ``precision``, ``recall`` and ``f1`` float64 [C, T],
    at each of them, NaN for a class without an object that counts, and ``overall_…`` float64 [T] of
    all detections and objects as one list, whatever their classes. Where no detection is left,
    precision is 1. ``recalls`` float64 [R], and ``precision_at_recall`` float64 [C, R]: the highest
    precision at that recall or any above it, 0 where recall does not get there. ``best`` (one per
    class) and ``overall_best`` have the highest F1; of equal ones, the highest threshold.
    """

    min_iou: float
    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    overall_precision: np.ndarray
    overall_recall: np.ndarray
    overall_f1: np.ndarray
    recalls: np.ndarray
    precision_at_recall: np.ndarray
    best: tuple[OperatingPoint, ...]
    overall_best: OperatingPoint


@dataclass(frozen=True)
class Confusion:
    """What is taken for what, of the detections with a score of at least ``min_score``.

    ``matrix`` int64 [C + 1, C + 1]: row: the class that was detected, column: that of the object it
    lies on with an IoU of at least ``min_iou``; the last of each is the background: column C holds
    detections on nothing (or on an object that has another detection), row C the objects that were
    missed.
    """

    min_score: float
    min_iou: float
    matrix: np.ndarray


@dataclass(frozen=True)
class ErrorSplit:
    """What each kind of error costs, as TIDE defines it, at an IoU of ``min_iou``.

    ``ap`` is AP at that IoU, mean over classes, in [0, 1]; ``costs`` is {kind: the AP that mending
    all errors of this kind alone would gain}; ``counts`` {kind: number of errors}.
    ``false_positive_cost`` and ``false_negative_cost`` are those of mending all of either.
    ``class_costs`` is {kind: float64 [C]}, NaN for classes without objects. All are NaN where no
    object counts, counts excepted.
    """

    min_iou: float
    ap: float
    costs: Mapping[str, float]
    counts: Mapping[str, int]
    false_positive_cost: float
    false_negative_cost: float
    class_costs: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Calibration:
    """Whether a score of 0.8 means that 8 of 10 detections are right.

    ``edges`` float64 [B + 1] divide the scores into bins; ``counts`` int64 [B] detections,
    ``mean_score`` and ``precision`` float64 [B] (NaN without detections). ``error`` is the expected
    calibration error (Naeini et al. 2015): the mean of |precision - mean score|, by counts; NaN
    without any detection.
    """

    min_iou: float
    min_score: float
    edges: np.ndarray
    counts: np.ndarray
    mean_score: np.ndarray
    precision: np.ndarray
    error: float


@dataclass(frozen=True)
class WorstImages:
    """Images by what they cost, the costliest first.

    ``images`` int64 [K]; ``ap_lost`` float64 [K], above 0: how much higher the mean AP (VOC12, over
    the classes with objects) would be if this image had all its objects found, and nothing else:
    without its false detections, the missed objects found with a score above all others, its right
    detections as they are. Missed are here those that no detection finds, however low its score.
    ``missed``, ``false`` int64 [K]: its objects not found and its false detections, at each class's
    best threshold.
    """

    images: np.ndarray
    ap_lost: np.ndarray
    missed: np.ndarray
    false: np.ndarray


@dataclass(frozen=True)
class Doubt:
    """A place where the annotation may be wrong, rather than the model.

    ``kind`` is "unannotated" (a sure detection on nothing), "never_found" (an object on which no
    detection is, however unsure) or "class_swap" (a sure detection of another class on an object).
    ``found`` and ``object`` are indices into the set's detections and objects, -1 for none;
    ``value`` is the detection's score, or for "never_found" the object's area as a share of the
    image. The greater ``severity``, the sooner one should look.
    """

    kind: str
    severity: float
    image: int
    found: int
    object: int
    value: float
    explanation: str


@dataclass(frozen=True)
class Answers:
    """All of them, of one set.

    ``true``, ``false`` bool [N] and ``missed`` bool [M]: which detections are right or wrong
    (those on a difficult object or a crowd are neither) and which objects are not found, at an IoU
    of 0.5 and each class's best threshold (detections below it are neither, too; a class without
    one has the overall one). ``intervals`` is {name of a metric: (low, high)}, 95 % of bootstrap
    samples over images: ``voc07_map``, ``voc12_map``, and ``voc12_map75`` at an IoU of 0.75.
    ``anchorless`` int64 are the objects of which the best anchor has an IoU below 0.5, None where
    there are no anchors.
    """

    curves: Curves
    confusion: Confusion
    errors: ErrorSplit
    calibration: Calibration
    worst: WorstImages
    doubts: tuple[Doubt, ...]
    true: np.ndarray
    false: np.ndarray
    missed: np.ndarray
    intervals: Mapping[str, tuple[float, float]]
    anchorless: np.ndarray | None = None
