"""Average precision as Pascal VOC defines it.

Source: the devkit's VOCevaldet.m. Boxes enclose their pixels (see WORKSPACE.md), so plain IoU is
the devkit's "+1" IoU. py-faster-rcnn's voc_eval.py differs by what its unstable sort makes of equal
scores, and asks for an IoU above the minimum.
"""

import numpy as np

from ssd_tfrecord.evaluation.analysis.matches import MIN_IOU, match, precision_at
from ssd_tfrecord.evaluation.overlaps import Overlaps
from ssd_tfrecord.evaluation.scored_set import ScoredSet

# As voc_eval.py spells them: 0.3, 0.6 and 0.7 come out slightly above the decimal, so a recall of
# exactly 3/5 does not reach 0.6.
_RECALLS = np.arange(0.0, 1.1, 0.1)


def average_precisions(
    scored: ScoredSet, overlaps: Overlaps, min_iou: float = MIN_IOU
) -> tuple[np.ndarray, np.ndarray]:
    """The AP of each class by both of VOC's formulas.

    The detections of a class are ordered by falling score; equal scores keep their order: that of
    the images, and within an image that of its detections. ``analysis.matches`` says which are
    true, which false, and which neither.

    Args:
        scored: the set.
        overlaps: of it, with all pairs of an IoU of at least ``min_iou``.
        min_iou: the least IoU of a true detection.

    Returns:
        (voc07, voc12), float64 [C] each: the 11-point AP, and the area under the curve. Both are
        NaN for a class without an object that counts.
    """
    matches = match(scored, overlaps, min_iou)
    voc07, voc12 = np.full([2, scored.num_classes], np.nan)
    for index, (precision, _) in enumerate(matches.steps()):
        if positives := int(matches.positives[index]):
            voc07[index] = np.mean(precision_at(_RECALLS, precision, positives))
            voc12[index] = _area(precision, positives)
    return voc07, voc12


def _area(precision: np.ndarray, positives: int) -> float:
    """Under the curve that has ``precision`` [T] at the recalls 1, 2, … T of ``positives``."""
    recall = np.arange(len(precision) + 1) / positives
    # Summed from the left, by which it cannot exceed the recall that is reached: np.sum could.
    return float(np.cumsum(np.append(0.0, np.diff(recall) * precision))[-1])
