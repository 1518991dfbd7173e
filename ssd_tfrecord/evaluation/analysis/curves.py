"""Precision, recall and F1 over score thresholds, and the best threshold."""

import numpy as np

from ssd_tfrecord.evaluation.analysis.answers import Curves, OperatingPoint
from ssd_tfrecord.evaluation.analysis.matches import Matches, precision_at, rising_steps

_NUM_THRESHOLDS = 1001
_RECALLS = np.arange(101) / 100


def curves(matches: Matches, scores: np.ndarray) -> Curves:
    """The curves of each class, and of all detections and objects as one list ("overall").

    A threshold keeps the detections of at least that score, so detections of equal scores stay or
    go together. The curves are given at 1,001 thresholds from 0 to 1 (farther if scores are
    outside), the best points at the scores themselves. Detections that are neither true nor false
    do not count. Where no detection is left, precision is 1. ``overall`` includes the detections of
    classes without objects, which are all false.

    Args:
        matches: of ``match``.
        scores: float32 [N], of all detections.
    """
    scores = scores.astype(np.float64)
    thresholds = np.linspace(
        min(0.0, scores.min(initial=0.0)), max(1.0, scores.max(initial=1.0)), _NUM_THRESHOLDS
    )
    num_classes = len(matches.positives)
    values = np.full([3, num_classes, _NUM_THRESHOLDS], np.nan)
    heights = np.full([num_classes, len(_RECALLS)], np.nan)
    best = []
    for index, positives in enumerate(matches.positives.tolist()):
        rows = matches.of_class(index)
        best.append(_best_point(matches, scores, rows, positives))
        if positives:
            values[:, index] = _at_thresholds(matches, scores, rows, positives, thresholds)
            steps, _ = rising_steps(matches.true[rows], matches.false[rows])
            heights[index] = precision_at(_RECALLS, steps, positives)
    rows = np.argsort(-scores, kind="stable")
    total = int(matches.positives.sum())
    overall = np.full([3, _NUM_THRESHOLDS], np.nan)
    if total:
        overall = _at_thresholds(matches, scores, rows, total, thresholds)
    return Curves(
        min_iou=matches.min_iou,
        thresholds=thresholds,
        precision=values[0],
        recall=values[1],
        f1=values[2],
        overall_precision=overall[0],
        overall_recall=overall[1],
        overall_f1=overall[2],
        recalls=_RECALLS,
        precision_at_recall=heights,
        best=tuple(best),
        overall_best=_best_point(matches, scores, rows, total),
    )


def kept_at_best(found: Curves, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Which detections have at least the best score of their class: bool [N].

    A class without a best threshold has the overall one; if there is none either, all are kept.

    Args:
        found: of ``curves``.
        labels: int32 [N], from 1.
        scores: float32 [N].
    """
    overall = found.overall_best.threshold
    overall = -np.inf if overall is None else overall
    lowest = [overall if point.threshold is None else point.threshold for point in found.best]
    # Label 0 is the background.
    return scores >= np.array([np.inf, *lowest])[labels]


def _at_thresholds(
    matches: Matches, scores: np.ndarray, rows: np.ndarray, positives: int, thresholds: np.ndarray
) -> np.ndarray:
    """[precision, recall, F1], float64 [3, T], of the detections ``rows``, best first."""
    # How many are kept: those whose scores, which fall, are at least the threshold.
    kept = len(rows) - np.searchsorted(scores[rows][::-1], thresholds)
    true, false = (
        np.append(0, np.cumsum(marks[rows]))[kept] for marks in (matches.true, matches.false)
    )
    precision = np.where(true + false, true / np.maximum(true + false, 1), 1.0)
    return np.stack([precision, true / positives, 2 * true / (true + false + positives)])


def _best_point(
    matches: Matches, scores: np.ndarray, rows: np.ndarray, positives: int
) -> OperatingPoint:
    """The highest F1 of the detections ``rows``, best first; of equal ones the highest score."""
    if not positives:
        return OperatingPoint(None, None, None, None)
    # The last detection of each score.
    ends = np.flatnonzero(np.diff(scores[rows], append=-np.inf))
    true, false = np.cumsum(matches.true[rows])[ends], np.cumsum(matches.false[rows])[ends]
    if not true.any():
        return OperatingPoint(None, None, 0.0, 0.0)
    f1 = 2 * true / (true + false + positives)
    place = int(np.argmax(f1))
    return OperatingPoint(
        threshold=float(scores[rows[ends[place]]]),
        precision=float(true[place] / (true[place] + false[place])),
        recall=float(true[place] / positives),
        f1=float(f1[place]),
    )
