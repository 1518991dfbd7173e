"""The images that cost most AP."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.evaluation.analysis.answers import WorstImages
from ssd_tfrecord.evaluation.analysis.matches import Matches, highest_after, rising_steps
from ssd_tfrecord.evaluation.scored_set import ScoredSet

NUM_IMAGES = 50
# Images whose cost is computed at a time, and numbers for that: some 10 MB an array.
_BATCH, _MAX_NUMBERS = 64, 2**20
# Above the rounding errors of an upper bound.
_SLACK = 1e-9
# Counts are rounded up to one of these for an upper bound, so that few tables serve all images.
_COUNTS = np.unique(np.r_[0:9, np.ceil(8 * 1.25 ** np.arange(90))].astype(np.int64))


@dataclass(frozen=True)
class _ClassErrors:
    """A class's list of detections as far as recall rises, at T steps: its true detections.

    ``false`` int64 [T]: the false detections before each step; ``ap``: its AP; ``positives``: its
    objects. ``images`` int64 [F] and ``steps`` int64 [F], sorted by both: of each false detection,
    its image and the first step after it. ``missing`` int64 [I]: objects that no detection finds.
    """

    false: np.ndarray
    ap: float
    positives: int
    images: np.ndarray
    steps: np.ndarray
    missing: np.ndarray


def worst_images(
    scored: ScoredSet,
    matches: Matches,
    false: np.ndarray,
    missed: np.ndarray,
    num_images: int = NUM_IMAGES,
) -> WorstImages:
    """Finds the images that cost the mean AP most.

    AP is VOC's area under the curve. What an image costs is computed exactly, but only for as many
    images as needed: those of the highest upper bounds, until no bound is above what was found.

    Args:
        scored: the set.
        matches: of ``match``.
        false: bool [N], the detections to count as false.
        missed: bool [M], the objects to count as missed.
        num_images: the most images to return.

    Returns:
        The images with a cost, by falling cost; equals in the order of the set. A billionth of a
        class's AP is none.
    """
    errors = list(_class_errors(scored, matches))
    bounds = sum((_bounds(one) for one in errors), np.zeros(scored.num_images))
    order = np.argsort(-bounds, kind="stable")
    order = order[bounds[order] > _SLACK]
    costs = np.zeros(scored.num_images)
    for first in range(0, len(order), _BATCH):
        batch = order[first : first + _BATCH]
        # No image that is left can cost more than those that are found.
        if bounds[batch[0]] + _SLACK < _highest(costs, num_images):
            break
        costs[batch] = sum(_costs(one, batch) for one in errors)
    chosen = np.argsort(-costs, kind="stable")[:num_images]
    chosen = chosen[costs[chosen] > 0]
    counts = (
        np.bincount(images, minlength=scored.num_images)[chosen]
        for images in (scored.objects.image[missed], scored.found.image[false])
    )
    return WorstImages(chosen, costs[chosen] / max(1, len(errors)), *counts)


def _highest(values: np.ndarray, place: int) -> float:
    """The value in that place, from 1, of the falling order; 0 if there are fewer."""
    return float(np.partition(values, -place)[-place]) if 0 < place <= len(values) else 0.0


def _class_errors(scored: ScoredSet, matches: Matches) -> Iterator[_ClassErrors]:
    """Those of each class with objects that count."""
    found = np.zeros(len(scored.objects.labels), bool)
    found[matches.objects[matches.true]] = True
    missing = ~found & ~scored.objects.ignored
    for index in np.flatnonzero(matches.positives).tolist():
        rows = matches.of_class(index)
        precision, steps = rising_steps(matches.true[rows], matches.false[rows])
        false = np.flatnonzero(matches.false[rows])
        # Those after the last step cost nothing.
        false = false[: np.searchsorted(false, steps[-1] if len(steps) else 0)]
        images, after = scored.found.image[rows[false]], np.searchsorted(steps, false)
        order = np.lexsort((after, images))
        of_class = missing & (scored.objects.labels == index + 1)
        yield _ClassErrors(
            false=np.searchsorted(false, steps),
            ap=precision.sum() / matches.positives[index],
            positives=int(matches.positives[index]),
            images=images[order],
            steps=after[order],
            missing=np.bincount(scored.objects.image[of_class], minlength=scored.num_images),
        )


def _costs(errors: _ClassErrors, images: np.ndarray) -> np.ndarray:
    """The AP of the class that each of the images costs: float64 [K]."""
    costs = np.zeros(len(images))
    firsts = np.searchsorted(errors.images, images)
    lasts = np.searchsorted(errors.images, images, side="right")
    concerned = np.flatnonzero((lasts > firsts) | (errors.missing[images] > 0))
    num_steps = len(errors.false)
    at_a_time = max(1, _MAX_NUMBERS // max(1, num_steps))
    for start in range(0, len(concerned), at_a_time):
        places = concerned[start : start + at_a_time]
        removed = np.zeros([len(places), num_steps], np.int64)
        for row, place in enumerate(places):
            own = errors.steps[firsts[place] : lasts[place]]
            removed[row] = np.bincount(own, minlength=num_steps)
        np.cumsum(removed, axis=1, out=removed)
        # The objects that were missed are found before all else.
        missing = errors.missing[images[places]]
        true = np.arange(1, num_steps + 1) + missing[:, None]
        heights = highest_after(true / (true + errors.false - removed))
        costs[places] = (missing + heights.sum(axis=1)) / errors.positives - errors.ap
    return costs


def _bounds(errors: _ClassErrors) -> np.ndarray:
    """What each image costs at most, as ``_costs`` with counts rounded up: float64 [I].

    Between two false detections of an image, the number of those that removing the image removes
    is constant. With tables for each number, the sum of precisions over such a stretch of steps is
    that of the table, but not less than the highest precision in any later stretch.
    """
    missing, num_steps = errors.missing, len(errors.false)
    bounds = missing / errors.positives
    if not num_steps:
        return bounds
    rounded = _COUNTS[np.searchsorted(_COUNTS, missing)]
    concerned = missing > 0
    concerned[errors.images] = True
    for count in np.unique(rounded[concerned]).tolist():
        images = np.flatnonzero(concerned & (rounded == count))
        bounds[images] += _heights(errors, images, count) / errors.positives - errors.ap
    return bounds


def _heights(errors: _ClassErrors, images: np.ndarray, missing: int) -> np.ndarray:
    """An upper bound of the sum of precisions without the false detections of each image [K]."""
    place = np.full(len(errors.missing), -1)
    place[images] = np.arange(len(images))
    own = place[errors.images]
    own, steps = own[own >= 0], errors.steps[own >= 0]
    # One stretch before each image's first false detection, and one after each of them.
    order = np.argsort(np.concatenate([np.arange(len(images)), own]), kind="stable")
    owner = np.concatenate([np.arange(len(images)), own])[order]
    starts = np.concatenate([np.zeros(len(images), np.int64), steps])[order]
    last = np.append(owner[1:] != owner[:-1], True)
    ends = np.where(last, len(errors.false), np.append(starts[1:], 0))
    firsts = np.searchsorted(owner, np.arange(len(images)))
    numbers = np.arange(len(owner)) - firsts[owner]
    removed = _COUNTS[np.searchsorted(_COUNTS, numbers)]
    tables = {}
    true = np.arange(1, len(errors.false) + 1) + missing
    tops = np.zeros(len(owner))
    for number in np.unique(removed).tolist():
        heights = highest_after(true / (true + np.maximum(errors.false - number, 0)))
        tables[number] = heights
        tops[removed == number] = heights[starts[removed == number]]
    # The highest of the later stretches of the same image: the running maximum from the end, where
    # each image starts anew because its numbers are above those of the images before.
    offsets = 2.0 * (len(images) - owner)
    later = np.append((highest_after(tops + offsets) - offsets)[1:], 0.0)
    later[last] = 0.0
    sums = np.zeros(len(owner))
    for number, heights in tables.items():
        rows = removed == number
        above = len(heights) - np.searchsorted(heights[::-1], later[rows])
        above = np.clip(above, starts[rows], ends[rows])
        total = np.append(0.0, np.cumsum(heights))
        sums[rows] = total[above] - total[starts[rows]] + (ends[rows] - above) * later[rows]
    return np.bincount(owner, weights=sums, minlength=len(images))
