"""What is taken for what: the confusion matrix, with the background."""

import numpy as np

from ssd_tfrecord.evaluation.analysis.answers import Confusion
from ssd_tfrecord.evaluation.analysis.matches import MIN_IOU, pair_off
from ssd_tfrecord.evaluation.overlaps import Overlaps
from ssd_tfrecord.evaluation.scored_set import ScoredSet

MIN_SCORE = 0.25


def confuse(
    scored: ScoredSet, overlaps: Overlaps, min_score: float = MIN_SCORE, min_iou: float = MIN_IOU
) -> Confusion:
    """Pairs detections with objects of whatever class, one to one, and counts their classes.

    The pair of the highest IoU comes first; of equal IoUs that of equal classes (one box may be
    detected as several classes), then that of the higher score, then that of the earlier detection
    and object. Unlike ultralytics, of which the matrix has the layout, a detection whose best
    object is taken may have another one.

    A difficult object or a crowd is neither missed nor confused: the detections that are left and
    lie on a difficult object of whatever class, or with at least ``min_iou`` of their own area in a
    crowd of their class, do not count.

    Args:
        scored: the set.
        overlaps: its pairs of an IoU of at least ``min_iou``; lower ones do not matter.
        min_score: the lowest score that counts.
        min_iou: the lowest IoU of a pair.
    """
    found, objects = scored.found, scored.objects
    counts = found.scores >= min_score
    sure = counts[overlaps.found]
    one, other = overlaps.found[sure], overlaps.objects[sure]
    ious, inside = overlaps.ious[sure], overlaps.inside[sure]
    same = found.labels[one] == objects.labels[other]
    on_crowd = objects.crowd[other] & same & (inside >= min_iou)
    on_difficult = objects.difficult[other] & ~objects.crowd[other] & (ious >= min_iou)
    pairs = np.flatnonzero((ious >= min_iou) & ~objects.ignored[other])
    pairs = pairs[np.lexsort((-found.scores[one[pairs]], ~same[pairs], -ious[pairs]))]
    pairs = pairs[pair_off(one[pairs], other[pairs])]
    counts[one[on_crowd | on_difficult]] = False
    counts[one[pairs]] = False
    missed = ~objects.ignored
    missed[other[pairs]] = False
    nothing = scored.num_classes
    rows = [found.labels[one[pairs]] - 1, found.labels[counts] - 1]
    columns = [objects.labels[other[pairs]] - 1, np.full(np.count_nonzero(counts), nothing)]
    rows.append(np.full(np.count_nonzero(missed), nothing))
    columns.append(objects.labels[missed] - 1)
    cells = np.concatenate(rows).astype(np.int64) * (nothing + 1) + np.concatenate(columns)
    matrix = np.bincount(cells, minlength=(nothing + 1) ** 2)
    return Confusion(min_score, min_iou, matrix.reshape(nothing + 1, nothing + 1))
