"""Which detections are right by VOC's rule, and one-to-one pairs: what the analyses count."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.evaluation.overlaps import Overlaps
from ssd_tfrecord.evaluation.scored_set import ScoredSet

MIN_IOU = 0.5


@dataclass(frozen=True)
class Matches:
    """The N detections of a set, right or wrong at an IoU of at least ``min_iou``.

    ``true``, ``false`` bool [N]: one that lies on a difficult object or a crowd is neither.
    ``objects`` int64 [N]: the object that a true one finds, -1 for the others. ``order`` int64 [N]:
    the detections by class, each class's by falling score, equals in their own order; those of
    class c, from 0, are ``order[starts[c] : starts[c + 1]]``, ``starts`` int64 [C + 1].
    ``positives`` int64 [C] counts the objects of each class that are to be found.
    """

    min_iou: float
    true: np.ndarray
    false: np.ndarray
    objects: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    positives: np.ndarray

    def of_class(self, index: int) -> np.ndarray:
        """The detections of class ``index``, from 0, best first: int64, indices into the set's."""
        return self.order[self.starts[index] : self.starts[index + 1]]

    def steps(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each class, where its recall rises: see ``rising_steps``."""
        for index in range(len(self.positives)):
            rows = self.of_class(index)
            yield rising_steps(self.true[rows], self.false[rows])


def match(scored: ScoredSet, overlaps: Overlaps, min_iou: float = MIN_IOU) -> Matches:
    """Finds the right detections as VOC does.

    A detection belongs to the object of its class with the highest IoU, the first among equals. If
    that IoU is at least ``min_iou``, the best detection of an object is true and the others are
    false; none is either if the object is difficult or a crowd. All other detections are false.
    Source: VOCevaldet.m of the devkit.

    Args:
        scored: the set.
        overlaps: its pairs of an IoU of at least ``min_iou``; lower ones do not matter.
        min_iou: in [0, 1].
    """
    objects, found = scored.objects, scored.found
    order = np.lexsort((-found.scores, found.labels))
    near = overlaps.ious >= min_iou
    near &= found.labels[overlaps.found] == objects.labels[overlaps.objects]
    hit = best_partners(
        overlaps.found[near], overlaps.objects[near], overlaps.ious[near], len(order)
    )
    # -1, no object, indexes the value appended.
    neither = np.append(objects.ignored, False)[hit]
    candidates = order[(hit[order] >= 0) & ~neither[order]]
    winners = candidates[_firsts(hit[candidates])]
    true = np.zeros(len(order), bool)
    true[winners] = True
    return Matches(
        min_iou=min_iou,
        true=true,
        false=~true & ~neither,
        objects=np.where(true, hit, -1),
        order=order,
        starts=np.searchsorted(found.labels[order], np.arange(scored.num_classes + 1) + 1),
        positives=count_objects(scored),
    )


def count_objects(scored: ScoredSet) -> np.ndarray:
    """How many objects of each class are to be found: int64 [C], without difficult and crowds."""
    labels = scored.objects.labels[~scored.objects.ignored]
    return np.bincount(labels, minlength=scored.num_classes + 1)[1:]


def best_partners(
    ones: np.ndarray, others: np.ndarray, values: np.ndarray, count: int
) -> np.ndarray:
    """The partner with the greatest value for each of ``count``: int64, -1 for none.

    Args:
        ones: int64 [P], each below ``count``.
        others: int64 [P], the partners; among equal values the lowest wins.
        values: [P].
        count: how many there are to find partners for.
    """
    order = np.lexsort((others, -values, ones))
    firsts = order[_firsts(ones[order])]
    found = np.full(count, -1)
    found[ones[firsts]] = others[firsts]
    return found


def pair_off(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of the pairs stay if they are taken in order, unless either half is taken: bool [P].

    Args:
        ones: int64 [P].
        others: int64 [P].
    """
    kept = np.zeros(len(ones), bool)
    left = np.arange(len(ones))
    # In each round every pair that comes first for both halves is taken: at least the first of all.
    while len(left):
        first = np.zeros(len(left), np.int64)
        first[_firsts(ones[left])] += 1
        first[_firsts(others[left])] += 1
        new = left[first == 2]
        kept[new] = True
        free = ~np.isin(ones[left], ones[new]) & ~np.isin(others[left], others[new])
        left = left[free]
    return kept


def rising_steps(true: np.ndarray, false: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where recall rises along a list of detections: at its T true ones.

    Precision need not be known elsewhere, as it only falls until the next true detection.

    Args:
        true: bool [D], the best detection first.
        false: bool [D].

    Returns:
        (precision, rows): float64 [T], the highest precision there or at any later detection, and
        int64 [T], where these detections are.
    """
    rows = np.flatnonzero(true)
    right = np.arange(1, len(rows) + 1)
    return highest_after(right / (right + np.cumsum(false)[rows])), rows


def highest_after(precision: np.ndarray) -> np.ndarray:
    """The highest ``precision`` at each place or any after it, along the last axis."""
    return np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]


def precision_at(recalls: np.ndarray, precision: np.ndarray, positives: int) -> np.ndarray:
    """The highest precision at each of ``recalls`` or above, 0 where recall does not get there.

    Args:
        recalls: float64 [R] in [0, 1], rising.
        precision: float64 [T], of ``rising_steps``.
        positives: at least T and 1, the number of objects.
    """
    reached = np.arange(1, len(precision) + 1) / positives
    return np.append(precision, 0.0)[np.searchsorted(reached, recalls)]


def _firsts(values: np.ndarray) -> np.ndarray:
    """The first place of each distinct value."""
    return np.unique(values, return_index=True)[1]
