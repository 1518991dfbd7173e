"""COCO's assignment of detections to objects, for all IoU thresholds and sizes at once.

Source: pycocotools, ``COCOeval.evaluateImg`` and ``bbIou``. Each of the 10 thresholds in each of
the 4 ranges of sizes has an assignment of its own: bit 10 * range + threshold of a 64-bit word.
So one operation on words decides about a pair of a detection and an object in all 40.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.evaluation.overlaps import Overlaps
from ssd_tfrecord.evaluation.scored_set import ScoredSet

# COCOeval's own; np.arange would give some that are a little higher.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
# Of areas in pixels², both ends inside: all, small, medium, large.
AREA_RANGES = ((0, 1e5**2), (0, 32**2), (32**2, 96**2), (96**2, 1e5**2))
# The detections of a class in an image that count.
MAX_DETECTIONS = 100
# The bit of the lowest threshold of each range, and those of all its thresholds.
_RANGE_BIT = np.array([1 << len(THRESHOLDS) * a for a in range(len(AREA_RANGES))], np.uint64)
_RANGE_BITS = _RANGE_BIT * np.uint64((1 << len(THRESHOLDS)) - 1)
# [n]: the bits of the n lowest thresholds of all ranges.
_LOWEST_BITS = np.array([(1 << n) - 1 for n in range(len(THRESHOLDS) + 1)], np.uint64)
_LOWEST_BITS *= _RANGE_BIT.sum()
_ALL_BITS = ~np.uint64(0)


@dataclass(frozen=True)
class CocoMatches:
    """The N detections that count, in COCO's order, and what they are matched with.

    ``order`` int64 [N] are indices into ``ScoredSet.found``: by class, then by falling score, then
    by image. ``ranks`` int64 [N]: how many of the same class and image come before. ``true`` and
    ``ignored`` uint64 [N]: the bits in which the detection is matched with an object that counts,
    and with one that does not. ``outside`` bool [4, N]: whether its area is outside of each range.
    ``countable`` bool [4, M]: which of the set's objects count in each range.
    """

    order: np.ndarray
    ranks: np.ndarray
    true: np.ndarray
    ignored: np.ndarray
    outside: np.ndarray
    countable: np.ndarray


def match(scored: ScoredSet, overlaps: Overlaps, image_ranks: np.ndarray) -> CocoMatches:
    """Assigns each detection, best first, to the free object of its class with the highest IoU.

    An object that does not count, because it is a crowd or has another size, is taken only if no
    other is left; of equal IoUs, the last is. A crowd may be taken by several.

    Args:
        scored: the set.
        overlaps: of it, with all pairs of an IoU of 0.49 or more.
        image_ranks: int64 [I], the place of each image in the order of the ids.
    """
    found, objects = _rectangles(scored.found.boxes), _rectangles(scored.objects.boxes)
    order, ranks = _counting_order(scored, image_ranks)
    # 0 stands for the area of the box.
    given = scored.objects.areas
    areas = np.where(given > 0, given, objects[:, 2] * objects[:, 3])
    countable = ~(_outside(areas) | scored.objects.crowd)
    pairs = _pairs(scored, overlaps, order, found, objects)
    true, ignored = _assign(pairs, scored, countable, len(order))
    outside = _outside((found[:, 2] * found[:, 3])[order])
    return CocoMatches(order, ranks, true, ignored, outside, countable)


def _rectangles(boxes: np.ndarray) -> np.ndarray:
    """COCO's [x, y, width, height], rounded as ``detections.pixel_rectangles`` does."""
    ymin, xmin, ymax, xmax = boxes.T
    return np.round(np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=-1), 3)


def _outside(areas: np.ndarray) -> np.ndarray:
    return np.stack([(areas < low) | (areas > high) for low, high in AREA_RANGES])


def _counting_order(scored: ScoredSet, image_ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``order`` and ``ranks`` of ``CocoMatches``."""
    images, labels = _small(image_ranks)[scored.found.image], _small(scored.found.labels)
    # By the least of the keys first, as each sort is stable.
    order = np.argsort(images, kind="stable")
    order = order[np.argsort(-scored.found.scores[order], kind="stable")]
    order = order[np.argsort(labels[order], kind="stable")]
    ranks = _ranks(labels[order], images[order])
    kept = ranks < MAX_DETECTIONS
    return order[kept], ranks[kept]


def _small(values: np.ndarray) -> np.ndarray:
    # NumPy sorts integers of 16 bits or less in linear time.
    return values.astype(np.min_scalar_type(values.max(initial=0)))


def _ranks(*keys: np.ndarray) -> np.ndarray:
    """How many of the places before each have the same keys: int64 [N]."""
    grouped = np.lexsort(keys)
    starts = np.zeros(len(grouped), bool)
    for key in keys:
        starts[1:] |= np.diff(key[grouped]) != 0
    places = np.arange(len(grouped))
    ranks = np.empty_like(places)
    ranks[grouped] = places - np.maximum.accumulate(np.where(starts, places, 0))
    return ranks


@dataclass(frozen=True)
class _Pairs:
    """Detections and objects of one class: the best detection first, and its best object first.

    ``places`` in the order of the detections; ``levels``: how many thresholds the IoU reaches.
    """

    places: np.ndarray
    objects: np.ndarray
    levels: np.ndarray


def _pairs(
    scored: ScoredSet,
    overlaps: Overlaps,
    order: np.ndarray,
    found: np.ndarray,
    objects: np.ndarray,
) -> _Pairs:
    place_of = np.full(len(found), -1)
    place_of[order] = np.arange(len(order))
    places = place_of[overlaps.found]
    same = scored.found.labels[overlaps.found] == scored.objects.labels[overlaps.objects]
    kept = np.flatnonzero(same & (places >= 0))
    places, others = places[kept], overlaps.objects[kept]
    ious = _ious(found[overlaps.found[kept]], objects[others], scored.objects.crowd[others])
    levels = np.searchsorted(np.minimum(THRESHOLDS, 1 - 1e-10), ious, side="right")
    best = np.lexsort((-others, -ious, places))
    best = best[levels[best] > 0]
    return _Pairs(places[best], others[best], levels[best])


def _ious(found: np.ndarray, objects: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Of pairs of rectangles, by the operations of ``bbIou`` in their order: equal in every bit."""
    low = np.maximum(found[:, :2], objects[:, :2])
    high = np.minimum(found[:, 2:] + found[:, :2], objects[:, 2:] + objects[:, :2])
    sides = np.maximum(high - low, 0.0)
    common = sides[:, 0] * sides[:, 1]
    areas = found[:, 2] * found[:, 3]
    union = np.where(crowd, areas, areas + objects[:, 2] * objects[:, 3] - common)
    return np.divide(common, union, out=np.zeros_like(common), where=common > 0)


def _assign(
    pairs: _Pairs, scored: ScoredSet, countable: np.ndarray, num_found: int
) -> tuple[np.ndarray, np.ndarray]:
    """``true`` and ``ignored`` of ``CocoMatches``.

    A pair is tried twice: with the object as one that counts and, after all pairs of the detection,
    as one that does not. The trials of a class in an image take turns; those of others have nothing
    to do with them. So all first trials are made at once, then all second ones, ….
    """
    reached = _LOWEST_BITS[pairs.levels]
    counting = (_RANGE_BITS @ countable.astype(np.uint64))[pairs.objects]
    wishes = np.concatenate([reached & counting, reached & ~counting])
    second = np.repeat([0, 1], len(reached))
    places, objects = np.tile(pairs.places, 2), np.tile(pairs.objects, 2)
    trials = np.argsort(places, kind="stable")
    trials = trials[wishes[trials] > 0]
    turns = _ranks(scored.objects.labels[objects[trials]], scored.objects.image[objects[trials]])
    trials = trials[np.argsort(turns, kind="stable")]
    wishes, second, places, objects = (x[trials] for x in (wishes, second, places, objects))
    used_up = np.where(scored.objects.crowd, np.uint64(0), _ALL_BITS)[objects]
    free = np.full(len(scored.objects.labels), _ALL_BITS)
    unmatched = np.full(num_found, _ALL_BITS)
    matched = np.zeros([2, num_found], np.uint64)
    for start, end in itertools.pairwise([0, *np.cumsum(np.bincount(turns))]):
        turn = slice(start, end)
        place, item = places[turn], objects[turn]
        hit = wishes[turn] & free[item] & unmatched[place]
        unmatched[place] &= ~hit
        free[item] &= ~(hit & used_up[turn])
        matched[second[turn], place] |= hit
    return matched[0], matched[1]
