"""What each kind of error costs: TIDE.

Source: Bolya et al. 2020, "TIDE: A General Toolbox for Identifying Object Detection Errors", and
its tidecv 1.0.1, whose numbers are reproduced, but for this:

- A class without objects is left out of the mean, as in COCO's AP; tidecv counts it as 0 as long as
  it has detections.
- Difficult objects, which tidecv does not know, need not be found, and a detection that has an IoU
  of ``min_iou`` with one of its class does not count. If they were its regions to ignore, as crowds
  are, smaller detections in them would not count either: up to 0.0023 on 100 images of VOC2012.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssd_tfrecord.evaluation.analysis.answers import ERROR_KINDS, ErrorSplit
from ssd_tfrecord.evaluation.analysis.matches import (
    MIN_IOU,
    best_partners,
    count_objects,
    pair_off,
    precision_at,
    rising_steps,
)
from ssd_tfrecord.evaluation.overlaps import MIN_IOU as BACKGROUND_IOU
from ssd_tfrecord.evaluation.overlaps import Overlaps
from ssd_tfrecord.evaluation.scored_set import ScoredSet

# Of an image, the detections of the highest scores count.
MAX_DETECTIONS = 100
_RECALLS = np.arange(101) / 100
_CLASSIFICATION, _LOCALISATION, _BOTH, _DUPLICATE, _BACKGROUND, _MISSED = range(6)


@dataclass(frozen=True)
class _Entries:
    """The K detections that count.

    ``rows`` int64 [K], indices into the set's; ``labels`` int32 [K]; ``ranks`` int64 [K], by which
    they are listed for AP: the higher the score, the lower the rank; equals stay in their order.
    First they stand image by image, each image's by falling score; for AP, class by class.
    """

    rows: np.ndarray
    labels: np.ndarray
    ranks: np.ndarray


@dataclass(frozen=True)
class _Pairs:
    """The P overlapping pairs of an entry and an object, crowds and difficult ones included.

    ``entries``, ``objects`` int64 [P]; ``ious``, ``inside`` float64 [P] as in ``Overlaps``;
    ``same`` bool [P]: of one class. All by rising entry, then object.
    """

    entries: np.ndarray
    objects: np.ndarray
    ious: np.ndarray
    inside: np.ndarray
    same: np.ndarray

    def where(self, kept: np.ndarray) -> "_Pairs":
        """Those for which ``kept``, bool [P], is true."""
        return _Pairs(*(values[kept] for values in vars(self).values()))


def split_errors(scored: ScoredSet, overlaps: Overlaps, min_iou: float = MIN_IOU) -> ErrorSplit:
    """Splits the errors of a set into kinds, and mends each kind alone.

    The 100 detections of the highest scores of an image count. In the order of their scores, each
    has the object of its class with the highest IoU of those not taken yet, if that is at least
    ``min_iou``. Each of the others is an error of the first of these kinds that fits: localisation
    (on an object of its class with an IoU from 0.1 to ``min_iou``), classification (on one of
    another class with at least ``min_iou``), duplicate, background (no IoU above 0.1), both. An
    object on which there is neither a right detection nor an error of the first two kinds is
    missed. A detection of which more than ``min_iou`` lies in a crowd of its class is an error of
    its kind, but does not count as false.

    Mending makes right the best of the localisation and classification errors on an object that is
    not found, and deletes all other errors of the kind; objects that are missed are no longer
    expected. AP is COCO's, by 101 points, at the IoU ``min_iou``.

    Args:
        scored: the set.
        overlaps: its pairs of an IoU of at least 0.1.
        min_iou: above 0.1.

    Returns:
        The split; AP and costs are NaN where no object counts. A class of which all objects are
        missed, without any other error, has no AP once it is mended: it leaves the mean (unless no
        other is there), and its own cost is 1.
    """
    entries = _entries(scored)
    pairs = _pairs(scored, overlaps, entries)
    expected = ~scored.objects.ignored
    real_pairs = pairs.where(expected[pairs.objects])
    right, used = _match(entries, real_pairs, len(expected), min_iou)
    counted = right | ~_excused(scored, entries, pairs, min_iou)
    kinds, partners = _kinds(len(right), real_pairs, min_iou)
    kinds[right] = -1
    mendable, found = _mend(np.where(right, -1, partners), used)
    missed = _count(scored, expected & ~found)
    positives = count_objects(scored)
    # Sorted once here, so that it takes little to sort what is mended.
    order = np.argsort(_keys(entries.labels, entries.ranks), kind="stable")
    entries = _Entries(*(values[order] for values in vars(entries).values()))
    right, counted, kinds, mendable, partners = (
        values[order] for values in (right, counted, kinds, mendable, partners)
    )
    before = _aps(entries, right, counted, positives)
    # Once tidecv has mended anything, errors come before what was right of the same score.
    entries = replace(entries, ranks=2 * entries.ranks + right)
    # -1, no object, indexes the value appended.
    object_labels = np.append(scored.objects.labels, 0)
    after = {}
    for kind, name in enumerate(ERROR_KINDS):
        mended = mendable & (kinds == kind)
        moved = mended & (kind == _CLASSIFICATION)
        after[name] = _aps(
            replace(entries, labels=np.where(moved, object_labels[partners], entries.labels)),
            right | mended,
            np.where(kinds == kind, mended, counted),
            positives - missed if kind == _MISSED else positives,
        )
    return _summary(
        min_iou,
        before,
        after,
        [*np.bincount(kinds[~right], minlength=_MISSED).tolist(), int(missed.sum())],
        without_false=_aps(entries, right, right, positives),
        without_missed=_aps(entries, right, counted, positives - _count(scored, expected & ~used)),
        real=positives > 0,
    )


def _entries(scored: ScoredSet) -> _Entries:
    found = scored.found
    rows = np.lexsort((-found.scores, found.image))
    counts = np.bincount(found.image, minlength=scored.num_images)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = rows[places < MAX_DETECTIONS]
    ranks = np.unique(-found.scores[rows], return_inverse=True)[1].reshape(-1)
    return _Entries(rows, found.labels[rows], ranks)


def _pairs(scored: ScoredSet, overlaps: Overlaps, entries: _Entries) -> _Pairs:
    places = np.full(len(scored.found.labels), -1)
    places[entries.rows] = np.arange(len(entries.rows))
    ones = places[overlaps.found]
    same = scored.found.labels[overlaps.found] == scored.objects.labels[overlaps.objects]
    pairs = _Pairs(ones, overlaps.objects, overlaps.ious, overlaps.inside, same)
    return pairs.where(np.lexsort((overlaps.objects, ones))).where(np.sort(ones) >= 0)


def _match(
    entries: _Entries, pairs: _Pairs, num_objects: int, min_iou: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which entries are right, bool [K], and which objects they find, bool [M]."""
    near = pairs.where(pairs.same & (pairs.ious >= min_iou))
    # Entries are in the order of their image and score; of equal IoUs the first object.
    near = near.where(np.lexsort((-near.ious, near.entries)))
    near = near.where(pair_off(near.entries, near.objects))
    right, used = np.zeros(len(entries.rows), bool), np.zeros(num_objects, bool)
    right[near.entries] = True
    used[near.objects] = True
    return right, used


def _excused(scored: ScoredSet, entries: _Entries, pairs: _Pairs, min_iou: float) -> np.ndarray:
    """Which entries lie on a crowd or a difficult object of their class: bool [K]."""
    crowd = scored.objects.crowd[pairs.objects]
    on_crowd = crowd & (pairs.inside > min_iou)
    on_difficult = ~crowd & scored.objects.difficult[pairs.objects] & (pairs.ious >= min_iou)
    excused = np.zeros(len(entries.rows), bool)
    excused[pairs.entries[pairs.same & (on_crowd | on_difficult)]] = True
    return excused


def _kinds(num_entries: int, pairs: _Pairs, min_iou: float) -> tuple[np.ndarray, np.ndarray]:
    """What each entry is if it is wrong, int64 [K], and the object it could be mended on, or -1."""
    own, own_ious = _nearest(num_entries, pairs.where(pairs.same))
    other, other_ious = _nearest(num_entries, pairs.where(~pairs.same))
    tests = [
        (own_ious >= BACKGROUND_IOU) & (own_ious <= min_iou),
        other_ious >= min_iou,
        own_ious >= min_iou,
        np.maximum(own_ious, other_ious) <= BACKGROUND_IOU,
    ]
    kinds = np.select(tests, [_LOCALISATION, _CLASSIFICATION, _DUPLICATE, _BACKGROUND], _BOTH)
    return kinds, np.select(tests[:2], [own, other], -1)


def _nearest(num_entries: int, pairs: _Pairs) -> tuple[np.ndarray, np.ndarray]:
    """The object of the highest IoU for each entry, int64 [K], -1 for none, and that IoU."""
    ious = np.zeros(num_entries)
    np.maximum.at(ious, pairs.entries, pairs.ious)
    return best_partners(pairs.entries, pairs.objects, pairs.ious, num_entries), ious


def _mend(partners: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which entries can be made right, bool [K], and which objects are found then, bool [M]."""
    errors = np.flatnonzero(partners >= 0)
    errors = errors[~used[partners[errors]]]
    # The first is the best, as the entries of an image fall by score.
    objects, firsts = np.unique(partners[errors], return_index=True)
    mendable, found = np.zeros(len(partners), bool), used.copy()
    mendable[errors[firsts]] = True
    found[objects] = True
    return mendable, found


def _count(scored: ScoredSet, which: np.ndarray) -> np.ndarray:
    labels = scored.objects.labels[which]
    return np.bincount(labels, minlength=scored.num_classes + 1)[1:]


def _aps(
    entries: _Entries, right: np.ndarray, there: np.ndarray, positives: np.ndarray
) -> np.ndarray:
    """AP of each class by the entries that are ``there``: float64 [C].

    0 for a class of which no object is expected, NaN if it has no entry either.
    """
    labels, ranks, right = entries.labels[there], entries.ranks[there], right[there]
    order = np.argsort(_keys(labels, ranks), kind="stable")
    right = right[order]
    starts = np.searchsorted(labels[order], np.arange(len(positives) + 1) + 1)
    aps = np.full(len(positives), np.nan)
    for index, (first, last) in enumerate(itertools.pairwise(starts)):
        steps, _ = rising_steps(right[first:last], ~right[first:last])
        if positives[index]:
            aps[index] = precision_at(_RECALLS, steps, positives[index]).mean()
        elif last > first:
            aps[index] = 0.0
    return aps


def _keys(labels: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """int64 [K], by which labels come first and ranks second."""
    return labels.astype(np.int64) * (ranks.max(initial=0) + 1) + ranks


def _summary(
    min_iou: float,
    before: np.ndarray,
    after: Mapping[str, np.ndarray],
    counts: Sequence[int],
    *,
    without_false: np.ndarray,
    without_missed: np.ndarray,
    real: np.ndarray,
) -> ErrorSplit:
    """The split from APs, float64 [C] each; ``real`` bool [C]: classes with objects."""
    ap = _mean(before[real])
    class_costs = {
        # NaN: no object is expected any more, and there is no error.
        kind: np.where(real, np.maximum(np.where(np.isnan(aps), 1.0, aps) - before, 0.0), np.nan)
        for kind, aps in after.items()
    }
    return ErrorSplit(
        min_iou=min_iou,
        ap=ap,
        # A gain below 0 is due to the 101 points, as in tidecv.
        costs={kind: float(np.maximum(_gain(aps[real], ap), 0.0)) for kind, aps in after.items()},
        counts=dict(zip(ERROR_KINDS, counts)),
        false_positive_cost=_gain(without_false[real], ap),
        false_negative_cost=_gain(without_missed[real], ap),
        class_costs=class_costs,
    )


def _gain(aps: np.ndarray, before: float) -> float:
    """What the mean of ``aps`` has gained; where no class has an AP any more, all that was left."""
    mean = _mean(aps)
    return 1.0 - before if np.isnan(mean) else mean - before


def _mean(values: np.ndarray) -> float:
    # Not np.nanmean(), which warns where there is nothing.
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")
