"""Which detections and objects overlap, and how much: computed once for all that is asked."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.evaluation.scored_set import ScoredSet

# The lowest IoU that anything asks for: below it a detection lies on the background (TIDE).
MIN_IOU = 0.1
# COCO asks for half of a detection inside a crowd. A little less, since it rounds in other places.
_MIN_INSIDE = 0.49
# Pairs of a detection and an object that are compared at a time: those that a cache holds.
_MAX_PAIRS = 2**17


@dataclass(frozen=True)
class Overlaps:
    """The P pairs of a detection and an object of one image that overlap, of whatever classes.

    ``found`` int64 [P] are indices into ``ScoredSet.found``, ``objects`` int64 [P] into
    ``ScoredSet.objects``; sorted by the former, then by the latter. ``ious`` float64 [P] are IoUs,
    also with a crowd; ``inside`` float64 [P] is the share of the detection that lies in the object,
    by which COCO compares with a crowd.
    """

    found: np.ndarray
    objects: np.ndarray
    ious: np.ndarray
    inside: np.ndarray


def find_overlaps(scored: ScoredSet, min_iou: float = MIN_IOU) -> Overlaps:
    """The pairs of an IoU of at least ``min_iou``, and those with half the detection in a crowd.

    Args:
        scored: the set.
        min_iou: above 0, and below that of all that is computed from the pairs.
    """
    found_5N, objects_5M = _columns(scored.found.boxes), _columns(scored.objects.boxes)
    parts = []
    for block in _blocks(scored):
        found, objects, common = _touching(found_5N, objects_5M, *block)
        areas = found_5N[4].take(found)
        # Two boxes without an area have an IoU of 0, not NaN.
        ious = common / np.maximum(areas + objects_5M[4].take(objects) - common, 1e-9)
        inside = common / np.maximum(areas, 1e-9)
        crowd = scored.objects.crowd[objects]
        kept = np.flatnonzero((ious >= min_iou) | (crowd & (inside >= _MIN_INSIDE)))
        parts.append([array[kept] for array in (found, objects, ious, inside)])
    return Overlaps(*(np.concatenate(arrays) for arrays in zip(*parts)))


def _columns(boxes: np.ndarray) -> np.ndarray:
    """The columns of ``boxes`` [N, 4], and the areas, as rows that lie in one piece: [5, N]."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return np.stack([*boxes.T, areas])


def _blocks(scored: ScoredSet) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All pairs of one image, some detections at a time; at least one block.

    Yields:
        (detections [n], counts [n], objects [p]): each detection is compared with as many objects
        as its count says; ``objects`` holds those of the first, those of the second, ….
    """
    num_objects = np.bincount(scored.objects.image, minlength=scored.num_images)
    first_object = np.cumsum(num_objects) - num_objects
    counts = num_objects[scored.found.image]
    ends = np.cumsum(counts)
    # What to add to the number of a pair to get its object.
    offsets = first_object[scored.found.image] - (ends - counts)
    first = done = 0
    while True:
        # At least one detection, however many objects its image has.
        last = max(first + 1, int(np.searchsorted(ends, done + _MAX_PAIRS, side="right")))
        block = np.arange(first, min(last, len(counts)))
        objects = np.repeat(offsets[block], counts[block])
        objects += np.arange(done, done + len(objects))
        yield block, counts[block], objects
        first, done = last, done + len(objects)
        if first >= len(counts):
            return


def _touching(
    found_5N: np.ndarray,
    objects_5M: np.ndarray,
    block: np.ndarray,
    counts: np.ndarray,
    objects: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(detection, object, area in common) of the pairs of a block that share an area."""
    ymin, ymax = (np.repeat(found_5N[edge, block], counts) for edge in (0, 2))
    heights = np.minimum(ymax, objects_5M[2].take(objects))
    heights -= np.maximum(ymin, objects_5M[0].take(objects))
    # Most pairs go here.
    kept = np.flatnonzero(heights > 0)
    found, objects = np.repeat(block, counts)[kept], objects[kept]
    widths = np.minimum(found_5N[3].take(found), objects_5M[3].take(objects))
    widths -= np.maximum(found_5N[1].take(found), objects_5M[1].take(objects))
    common = heights[kept] * np.maximum(widths, 0.0)
    kept = np.flatnonzero(common > 0)
    return found[kept], objects[kept], common[kept]
