"""How far AP could be off by chance: bootstrap over images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.evaluation.analysis.matches import Matches, highest_after, match
from ssd_tfrecord.evaluation.overlaps import Overlaps
from ssd_tfrecord.evaluation.scored_set import ScoredSet

NUM_SAMPLES = 1000
# {name: (IoU, row of ``_Steps.aps``)}; the first two are those of metrics.json.
_METRICS = {"voc07_map": (0.5, 0), "voc12_map": (0.5, 1), "voc12_map75": (0.75, 1)}
_PERCENTILES = (2.5, 97.5)
# As voc_eval.py spells them; see ``average_precision``.
_RECALLS = np.arange(0.0, 1.1, 0.1)
# Numbers that all samples together may go through, which takes some 4 s: 1,000 samples of 5,000
# images with 100 detections of 80 classes. A larger set has fewer samples, but so many:
_MAX_WORK, _MIN_SAMPLES = 8 * 10**8, 200


@dataclass(frozen=True)
class _Steps:
    """The detections at which recall rises, T in all, of the C classes with objects that count.

    ``images`` int64 [D] are those of the detections of a class up to its last step, class by class.
    Of each step, ``ends`` int64 [T] is the number of these detections up to it, ``starts`` int64
    [T] that of those before its class; ``images_of_steps`` int64 [T]; ``first`` int64 [T] the first
    step of its class; ``classes`` int64 [T], from 0. ``object_images`` int64 [M'] are those of the
    objects, class by class, each class's from ``object_starts`` int64 [C].
    """

    images: np.ndarray
    ends: np.ndarray
    starts: np.ndarray
    images_of_steps: np.ndarray
    first: np.ndarray
    classes: np.ndarray
    object_images: np.ndarray
    object_starts: np.ndarray

    @property
    def work(self) -> int:
        """How many numbers ``mean_aps`` goes through."""
        return len(self.images) + len(self.object_images) + 8 * len(self.ends)

    def mean_aps(self, weights: np.ndarray) -> np.ndarray:
        """Mean AP (11-point, area) if each image were there so many times: float64 [2].

        Args:
            weights: int64 [I].
        """
        if not len(self.object_starts):
            return np.full(2, np.nan)
        positives = np.add.reduceat(weights.take(self.object_images), self.object_starts)
        there = positives > 0
        if not there.any():
            return np.full(2, np.nan)
        positives = np.maximum(positives, 1)
        gains = weights.take(self.images_of_steps)
        true = _running(gains)
        true = true[1:] - true.take(self.first)
        counted = _running(weights.take(self.images))
        counted = counted.take(self.ends) - counted.take(self.starts)
        # Each class starts anew in the running maximum, as its numbers are above those of the next.
        offsets = 2.0 * (len(positives) - self.classes)
        precision = highest_after(true / np.maximum(counted, 1) + offsets) - offsets
        # bincount, as a class may have no step.
        areas = np.bincount(self.classes, weights=gains * precision, minlength=len(positives))
        points = self._at_recalls(true, precision, positives).mean(axis=1)
        return np.array([points[there].mean(), (areas / positives)[there].mean()])

    def _at_recalls(
        self, true: np.ndarray, precision: np.ndarray, positives: np.ndarray
    ) -> np.ndarray:
        """The highest precision at each of the recalls or above: float64 [C, 11]."""
        # The fewest true detections that reach a recall, as floats compare it.
        needed = np.ceil(_RECALLS * positives[:, None])
        # Such as 36 for 0.7000000000000001 of 50.
        needed += needed / positives[:, None] < _RECALLS
        # Above all counts, so that classes follow one another.
        unit = int(true.max(initial=0)) + int(positives.max()) + 2
        keys = true + self.classes * unit
        classes = np.arange(len(positives))[:, None]
        places = np.searchsorted(keys, needed.astype(np.int64) + classes * unit)
        reached = np.append(self.classes, -1)[places] == classes
        return np.where(reached, np.append(precision, 0.0)[places], 0.0)


def intervals(
    scored: ScoredSet, overlaps: Overlaps, num_samples: int = NUM_SAMPLES, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of the mean AP over samples of images.

    Each sample draws as many images as there are, with replacement; a class without an object in it
    does not count there. Samples differ by how often images count, so nothing is matched again.

    Args:
        scored: the set.
        overlaps: its pairs of an IoU of at least 0.5.
        num_samples: 0: none. Sets for which that takes more than some 4 s have fewer, down to 200.
        seed: of the samples.

    Returns:
        {name: (low, high)} of ``voc07_map`` and ``voc12_map``, at an IoU of 0.5, and of
        ``voc12_map75``, at 0.75; empty without samples or objects that count.
    """
    steps = _all_steps(scored, overlaps)
    samples = _samples(scored.num_images, _affordable(num_samples, steps), seed)
    return dict(_percentiles([_mean_aps(steps, weights) for weights in samples]))


def differences(
    one: tuple[ScoredSet, Overlaps],
    other: tuple[ScoredSet, Overlaps],
    num_samples: int = NUM_SAMPLES,
    seed: int = 0,
) -> dict[str, tuple[float, float, float]]:
    """How much higher the mean AP of ``other`` is, on the same images, with 95 % intervals.

    Both have the same samples of images, so that what is hard for both does not widen the interval.

    Args:
        one: a set with detections.
        other: the same images, in any order, with others.
        num_samples: see ``intervals``.
        seed: of the samples.

    Returns:
        {name: (difference, low, high)}; names as in ``intervals``.

    Raises:
        ValueError: the sets do not hold the same images.
    """
    places = {source_id: place for place, source_id in enumerate(one[0].source_ids)}
    if sorted(places) != sorted(other[0].source_ids):
        raise ValueError(
            f"sets of {one[0].num_images} and {other[0].num_images} images: must be the same images"
        )
    order = np.array([places[source_id] for source_id in other[0].source_ids], np.int64)
    steps, other_steps = _all_steps(*one), _all_steps(*other)

    def difference(weights: np.ndarray) -> np.ndarray:
        return _mean_aps(other_steps, weights[order]) - _mean_aps(steps, weights)

    num_images = one[0].num_images
    samples = _samples(num_images, _affordable(num_samples, steps, other_steps), seed)
    values = [difference(weights) for weights in samples]
    whole = difference(np.ones(num_images, np.int64))
    whole_of = dict(zip(_METRICS, whole.tolist()))
    return {name: (whole_of[name], *ends) for name, ends in _percentiles(values)}


def _affordable(num_samples: int, *sets: Mapping[float, _Steps]) -> int:
    """How many samples of ``sets`` to draw if ``num_samples`` are wanted."""
    work = sum(steps.work for each in sets for steps in each.values())
    return min(num_samples, max(_MAX_WORK // max(1, work), _MIN_SAMPLES))


def _samples(num_images: int, num_samples: int, seed: int) -> Iterator[np.ndarray]:
    """How many times each image is drawn: int64 [I] for each sample; none without images."""
    rng = np.random.default_rng(seed)
    for _ in range(num_samples if num_images else 0):
        drawn = rng.integers(0, num_images, num_images)
        yield np.bincount(drawn, minlength=num_images)


def _percentiles(values: Sequence[np.ndarray]) -> Iterator[tuple[str, tuple[float, float]]]:
    """(name, ends of the interval) of each metric that is not NaN in all samples."""
    for name, column in zip(_METRICS, np.array(values).T):
        known = column[~np.isnan(column)]
        if len(known):
            low, high = np.percentile(known, _PERCENTILES).tolist()
            yield name, (low, high)


def _mean_aps(steps: Mapping[float, _Steps], weights: np.ndarray) -> np.ndarray:
    """The metrics in their order, if each image were there ``weights`` times: float64."""
    aps = {iou: one.mean_aps(weights) for iou, one in steps.items()}
    return np.array([aps[iou][row] for iou, row in _METRICS.values()])


def _all_steps(scored: ScoredSet, overlaps: Overlaps) -> dict[float, _Steps]:
    """{IoU: steps}."""
    ious = dict.fromkeys(iou for iou, _ in _METRICS.values())
    return {iou: _steps(scored, match(scored, overlaps, iou)) for iou in ious}


def _steps(scored: ScoredSet, matches: Matches) -> _Steps:
    counted = matches.true | matches.false
    real = np.flatnonzero(matches.positives)
    listed = []
    for index in real.tolist():
        rows = matches.of_class(index)
        rows = rows[counted[rows]]
        ends = np.flatnonzero(matches.true[rows]) + 1
        listed.append(rows[: ends.max(initial=0)])
    joined = np.concatenate([*listed, np.zeros(0, np.int64)])
    row_classes = np.repeat(np.arange(len(real)), [len(rows) for rows in listed])
    steps = np.flatnonzero(matches.true[joined])
    classes = row_classes[steps]
    objects = np.flatnonzero(~scored.objects.ignored)
    objects = objects[np.argsort(scored.objects.labels[objects], kind="stable")]
    return _Steps(
        images=scored.found.image[joined],
        ends=steps + 1,
        starts=np.searchsorted(row_classes, classes),
        images_of_steps=scored.found.image[joined[steps]],
        first=np.searchsorted(classes, classes),
        classes=classes,
        object_images=scored.objects.image[objects],
        object_starts=np.searchsorted(scored.objects.labels[objects], real + 1),
    )


def _running(values: np.ndarray) -> np.ndarray:
    """The sum of the first n values, for n = 0, 1, …: int64 [len(values) + 1]."""
    sums = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
