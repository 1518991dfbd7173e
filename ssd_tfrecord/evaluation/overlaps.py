"""Which detections and objects overlap, and how much: computed once for all that is asked."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.evaluation.scored_set import ScoredSet

# The lowest IoU that anything asks for: below it a detection lies on the background (TIDE).
MIN_IOU = 0.1
# Pairs of a detection and an object that are compared at a time: some 100 MB.
_MAX_PAIRS = 2**20


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
    """The pairs of an IoU of at least ``min_iou``, and those with a crowd of half the detection.

    Args:
        scored: the set.
        min_iou: above 0.
    """
    parts = [_overlaps(scored, *pairs, min_iou) for pairs in _pairs(scored)]
    return Overlaps(*(np.concatenate([getattr(p, name) for p in parts]) for name in _FIELDS))


_FIELDS = tuple(Overlaps.__dataclass_fields__)


def _pairs(scored: ScoredSet) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(detection, object) of all pairs of one image, some images at a time; at least once."""
    num_objects = np.bincount(scored.objects.image, minlength=scored.num_images)
    first_object = np.cumsum(num_objects) - num_objects
    # Each detection is repeated once per object of its image.
    repeats = num_objects[scored.found.image]
    first, num_found = 0, len(repeats)
    ends = np.cumsum(repeats)
    while True:
        done = ends[first - 1] if first else 0
        # At least one detection, however many objects its image has.
        last = max(first + 1, int(np.searchsorted(ends, done + _MAX_PAIRS, side="right")))
        last = min(last, num_found)
        counts = repeats[first:last]
        found = np.repeat(np.arange(first, last), counts)
        place = np.arange(len(found)) - np.repeat(np.cumsum(counts) - counts, counts)
        yield found, first_object[scored.found.image[found]] + place
        first = last
        if first >= num_found:
            return


def _overlaps(
    scored: ScoredSet, found: np.ndarray, objects: np.ndarray, min_iou: float
) -> Overlaps:
    ones, others = scored.found.boxes[found], scored.objects.boxes[objects]
    sides = np.minimum(ones[:, 2:], others[:, 2:]) - np.maximum(ones[:, :2], others[:, :2])
    common = np.maximum(sides[:, 0], 0.0) * np.maximum(sides[:, 1], 0.0)
    areas = _areas(ones)
    # Two boxes without an area have an IoU of 0, not NaN.
    ious = common / np.maximum(areas + _areas(others) - common, 1e-9)
    inside = common / np.maximum(areas, 1e-9)
    kept = (ious >= min_iou) | ((inside >= 0.5) & scored.objects.crowd[objects])
    return Overlaps(found[kept], objects[kept], ious[kept], inside[kept])


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
