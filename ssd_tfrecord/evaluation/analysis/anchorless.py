"""Objects that no anchor fits: a network learns little from them."""

import numpy as np

from ssd_tfrecord.evaluation.scored_set import ScoredSet

# SSD trains an anchor on an object from this IoU on; an object without one has but its best anchor.
MIN_IOU = 0.5
# Pairs of an object and an anchor that are compared at a time: some 1 MB an array.
_MAX_PAIRS = 2**18


def find_anchorless(scored: ScoredSet, anchors: np.ndarray, min_iou: float = MIN_IOU) -> np.ndarray:
    """The objects whose best anchor has an IoU below ``min_iou``.

    Args:
        scored: the set.
        anchors: float32 [A, 4] as [ymin, xmin, ymax, xmax], fractions of the image.
        min_iou: above 0.

    Returns:
        int64, indices into the set's objects, rising. Crowds are none of them.
    """
    objects = np.flatnonzero(~scored.objects.crowd)
    sides = np.tile(np.maximum(scored.sizes[scored.objects.image[objects]], 1), 2)
    boxes = (scored.objects.boxes[objects] / sides).astype(np.float32)
    areas, anchor_areas = _areas(boxes), _areas(anchors)
    order, anchor_order = np.argsort(areas), np.argsort(anchor_areas)
    boxes, areas = boxes[order], areas[order]
    anchors, anchor_areas = anchors[anchor_order], anchor_areas[anchor_order]
    fits = np.zeros(len(boxes), bool)
    step = max(1, _MAX_PAIRS // max(1, len(anchors)))
    for first in range(0, len(boxes), step):
        some = slice(first, first + step)
        # The IoU is at most the ratio of the areas; a little more than that for rounding.
        limits = areas[some][[0, -1]] * [0.999 * min_iou, 1.001 / min_iou]
        near = slice(*np.searchsorted(anchor_areas, limits))
        ious = _ious(boxes[some], areas[some], anchors[near], anchor_areas[near])
        fits[some] = (ious >= min_iou).any(axis=1)
    return np.sort(objects[order[~fits]])


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _ious(
    boxes: np.ndarray, areas: np.ndarray, anchors: np.ndarray, anchor_areas: np.ndarray
) -> np.ndarray:
    """IoU of all pairs: float32 [K, A]."""
    ymin, xmin, ymax, xmax = boxes[:, :, None].swapaxes(0, 1)
    common = np.maximum(np.minimum(ymax, anchors[:, 2]) - np.maximum(ymin, anchors[:, 0]), 0)
    common *= np.maximum(np.minimum(xmax, anchors[:, 3]) - np.maximum(xmin, anchors[:, 1]), 0)
    # Two boxes without an area have an IoU of 0, not NaN.
    return common / np.maximum(areas[:, None] + anchor_areas - common, np.float32(1e-12))
