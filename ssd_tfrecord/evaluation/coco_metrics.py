"""COCO's metrics: pycocotools' numbers, from the arrays of a set.

Source: pycocotools, ``COCOeval.accumulate`` and ``summarize``. Crowds are ignored as COCO defines
it. COCO has no difficult objects; VOC's count like any other. Axes: T IoU thresholds, R recalls, C
classes, A ranges of sizes.
"""

import itertools
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from ssd_tfrecord.evaluation.coco_matching import AREA_RANGES, THRESHOLDS, CocoMatches, match
from ssd_tfrecord.evaluation.image_ids import ImageIds, image_ids
from ssd_tfrecord.evaluation.overlaps import Overlaps
from ssd_tfrecord.evaluation.scored_set import ScoredSet

# In the order of COCOeval.stats.
METRICS = (
    "coco_ap",
    "coco_ap50",
    "coco_ap75",
    "coco_ap_small",
    "coco_ap_medium",
    "coco_ap_large",
    "coco_ar1",
    "coco_ar10",
    "coco_ar100",
    "coco_ar_small",
    "coco_ar_medium",
    "coco_ar_large",
)
# Of each class; ``ar100`` is its recall, mean over the IoU thresholds.
CLASS_METRICS = (
    *("coco", "coco50", "coco75", "coco_small", "coco_medium", "coco_large"),
    "ar100",
)
# How many of the best detections of a class in an image are looked at.
_MAX_DETECTIONS = (1, 10, 100)
_RECALLS = np.linspace(0.0, 1.0, 101)
# The indices of IoU 0.50 and 0.75.
_IOU_50, _IOU_75 = 0, 5

Fractions: TypeAlias = dict[str, float | None]


def coco_metrics(
    scored: ScoredSet,
    overlaps: Overlaps,
    original_ids: Sequence[int],
    *,
    ids: ImageIds | None = None,
) -> tuple[Fractions, list[Fractions]]:
    """COCO's twelve numbers, and those of each class.

    Args:
        scored: the set.
        overlaps: of it, with all pairs of an IoU of 0.49 or more.
        original_ids: the category id of each class, in label order; no two are equal.
        ids: the image id of each image, by whose order equal scores of different images are
            ranked; default: those of ``image_ids``.

    Returns:
        {name of ``METRICS``: number}, and {name of ``CLASS_METRICS``: number} of each class in
        label order. All are in [0, 1], or None where no object counts (pycocotools' -1).
    """
    ids = image_ids(scored.source_ids) if ids is None else ids
    precision_TRCA, recall_MTCA = _accumulate(scored, match(scored, overlaps, _ranks(ids)))
    # pycocotools sorts the categories, and in another order floats have another sum.
    by_id = sorted(range(len(original_ids)), key=original_ids.__getitem__)
    numbers = _summary(precision_TRCA[:, :, by_id], recall_MTCA[:, :, by_id])
    per_class = [
        _of_class(precision_TRCA[:, :, c], recall_MTCA[-1, :, c, 0])
        for c in range(scored.num_classes)
    ]
    return dict(zip(METRICS, numbers)), per_class


def _ranks(ids: ImageIds) -> np.ndarray:
    # Sorted as Python does. A NumPy array would cut NULs off the ends of strings.
    order = [place for _, place in sorted(zip(ids, itertools.count()))]
    ranks = np.zeros(len(ids), np.int64)
    ranks[order] = np.arange(len(ids))
    return ranks


def _summary(precision_TRCA: np.ndarray, recall_MTCA: np.ndarray) -> list[float | None]:
    sizes = range(1, len(AREA_RANGES))
    found = [
        *(precision_TRCA[..., 0], precision_TRCA[_IOU_50, ..., 0], precision_TRCA[_IOU_75, ..., 0]),
        *(precision_TRCA[..., size] for size in sizes),
        *(recall_TCA[..., 0] for recall_TCA in recall_MTCA),
        *(recall_MTCA[-1, ..., size] for size in sizes),
    ]
    return [_mean(values) for values in found]


def _of_class(precision_TRA: np.ndarray, recall_T: np.ndarray) -> Fractions:
    found = [
        *(precision_TRA[..., 0], precision_TRA[_IOU_50, :, 0], precision_TRA[_IOU_75, :, 0]),
        *(precision_TRA[..., size] for size in range(1, len(AREA_RANGES))),
        recall_T,
    ]
    return dict(zip(CLASS_METRICS, map(_mean, found)))


def _mean(values: np.ndarray) -> float | None:
    """Over the classes with objects that count; -1 stands for the others."""
    values = values[values > -1]
    return float(np.mean(values)) if values.size else None


def _accumulate(scored: ScoredSet, matches: CocoMatches) -> tuple[np.ndarray, np.ndarray]:
    """Precision at each recall, [T, R, C, A], and recall with 1, 10, 100 detections, [M, T, C, A].

    Both are -1 where no object counts.
    """
    sizes = len(THRESHOLDS), len(_RECALLS), scored.num_classes, len(AREA_RANGES)
    precision_TRCA = np.full(sizes, -1.0)
    recall_MTCA = np.full([len(_MAX_DETECTIONS), sizes[0], *sizes[2:]], -1.0)
    classes = scored.found.labels[matches.order] - 1
    hits = np.flatnonzero(matches.true | matches.ignored)
    for a, (outside, countable) in enumerate(zip(matches.outside, matches.countable)):
        labels = scored.objects.labels[countable]
        totals = np.bincount(labels - 1, minlength=scored.num_classes)
        there = totals > 0
        needed_CR = _needed(totals)
        for t in range(len(THRESHOLDS)):
            bit = np.uint64(len(THRESHOLDS) * a + t)
            true, ignored = (
                hits[(words[hits] >> bit & np.uint64(1)).astype(bool)]
                for words in (matches.true, matches.ignored)
            )
            # A detection that is matched counts as its object does, whatever its own size.
            counted = ~outside
            counted[true], counted[ignored] = True, False
            precision_TRCA[t, :, there, a] = _precision(true, counted, classes, needed_CR)[there]
            for m, limit in enumerate(_MAX_DETECTIONS):
                first = true[matches.ranks[true] < limit]
                num_true = np.bincount(classes[first], minlength=len(totals))
                recall_MTCA[m, t, there, a] = num_true[there] / totals[there]
    return precision_TRCA, recall_MTCA


def _needed(totals: np.ndarray) -> np.ndarray:
    """For each class and recall, int64 [C, R]: how many finds come before the one that reaches it.

    Args:
        totals: the number of objects of each class, int64 [C].
    """
    # reshape: there may be no class.
    return np.array(
        [np.searchsorted(np.arange(1, total + 1) / total, _RECALLS) for total in totals], np.int64
    ).reshape(-1, len(_RECALLS))


def _precision(
    true: np.ndarray, counted: np.ndarray, classes: np.ndarray, needed_CR: np.ndarray
) -> np.ndarray:
    """The highest precision at each recall or above it, [C, R]; 0 at recalls that are not reached.

    Only true detections can be the best at a recall, so that the others need only be counted.

    Args:
        true: the places of the true ones among the N detections, rising.
        counted: bool [N], true and false ones; not those that are ignored.
        classes: int [N], rising.
        needed_CR: as ``_needed`` gives it.
    """
    found_C = np.bincount(classes[true], minlength=len(needed_CR))
    firsts_C = np.cumsum(found_C) - found_C
    # Before each place, and after the last.
    totals = np.concatenate([[0], np.cumsum(counted)])
    starts_C = np.searchsorted(classes, np.arange(len(needed_CR)))
    own = classes[true]
    num_true = np.arange(1, len(true) + 1) - firsts_C[own]
    # np.spacing(1) is pycocotools': it makes 1/1 a little less than 1.
    precision = num_true / (totals[true + 1] - totals[starts_C][own] + np.spacing(1))
    reached_CR = needed_CR < found_C[:, None]
    best_CR = np.zeros(needed_CR.shape)
    if len(true):
        # The best from each recall's first find to the next recall's, then from there to the end.
        sections = (firsts_C[:, None] + needed_CR)[reached_CR]
        best_CR[reached_CR] = np.maximum.reduceat(precision, sections)
    return np.maximum.accumulate(best_CR[:, ::-1], axis=1)[:, ::-1]
