"""Anchors for a set of boxes: SSD's own parametrisation, and as many per cell as published.

Map k has squares of sizes k and sqrt(size k x size k + 1), and aspect ratios of size k. Clusters of
the boxes say where to start; then the numbers are moved one by one while more boxes are matched.

Axes: N boxes, K maps. Sizes are in pixels of the network's input.
"""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ssd_tfrecord.backbones import FeatureMaps
from ssd_tfrecord.fitting.anchor_recall import best_ious, is_matched, map_ious, size_classes
from ssd_tfrecord.fitting.side_clusters import ratio_clusters, size_clusters
from ssd_tfrecord.options import AnchorOptions

# Size k in steps of map k. An object of an anchor's own size that lies a quarter of a step beside
# it in both axes, which is the mean, has IoU 0.5 where (1 - 1/4 / s)² = 2/3, s = 1.36: smaller
# anchors mostly miss what they are for. Published are 1.38 to 4.8 (ssdlite at 512: 6.4). S3FD
# (Zhang et al., arXiv 1708.05237, section 3.1) takes 4 for what a cell sees well.
_MIN_STEPS, _MAX_STEPS = 1.36, 5.0
# Nearer squares would be one: at 1.1, their IoU is 1 / 1.1² = 0.83; of ratios 1.2 apart, 0.84.
_SIZES_APART, _RATIOS_APART = 1.1, 1.2
# Published are 2 and 3.
_MIN_RATIO, _MAX_RATIO = 1.2, 5.0

# Of the objects of each class of size that the published anchors match, so many may be lost; each
# further one weighs ten times. Or the few small ones, often a class of their own, and the large
# ones, which zoom-out makes few, would be given up for a little more of the many.
_MAX_LOST, _LOST_WEIGHT = 0.01, 10.0

# Recall decides, but is blind to how far above 0.5 an IoU is. With weights of 1 to 4, recall on
# other images of two real sets is the same within 0.005.
_RECALL_WEIGHT = 2.0

# All candidates are compared on the same boxes. With 5,000, recall on other images is higher by
# 0.003 at most (three real sets), for 1 CPU s more; with a factor of 1.025 beside, by 0.0005.
_MAX_BOXES = 2_500
# What a number is multiplied and divided by.
_FACTORS = (1.2, 1.1, 1.05)
_MIN_GAIN = 1 / _MAX_BOXES


class _Numbers(NamedTuple):
    """``sizes``: K + 1 in pixels, rising; ``ratios``: those of each map, rising."""

    sizes: tuple[float, ...]
    ratios: tuple[tuple[float, ...], ...]


def fit_anchors(boxes: np.ndarray, published: AnchorOptions, maps: FeatureMaps) -> AnchorOptions:
    """Fits anchors to boxes; nothing is drawn, so equal boxes give equal anchors.

    Recall, and with half its weight the mean IoU, is to be highest on 2,500 of the boxes at most,
    which takes 1 to 2 CPU s. The last map stays as published: its 4 to 6 anchors cost nothing, and
    cover what fills an image even if the set has no such object.

    Args:
        boxes: float32 [N, 4] as [ymin, xmin, ymax, xmax] in [0, 1] of the sample.
        published: anchors with a name of ``maps.sizes`` and the published ratios: what the fit
            begins with, beside the clusters, and returns if there are no boxes.
        maps: that the anchors belong to.

    Returns:
        ``published`` with numbers for ``anchor_scales`` and ``aspect_ratios``.
    """
    if not len(boxes):
        return published
    count = min(len(boxes), _MAX_BOXES)
    boxes = boxes[np.arange(count) * len(boxes) // count]
    known = _Numbers(maps.sizes[published.anchor_scales], maps.ratios)
    searches = []
    for start in (_clustered(boxes, known, maps), known):
        search = _Search(boxes, start, published, maps)
        search.run()
        searches.append(search)
    return max(searches, key=lambda search: search.score).options


def _clustered(boxes: np.ndarray, known: _Numbers, maps: FeatureMaps) -> _Numbers:
    """A cluster for each map but the last, moved to where the map's anchors may be."""
    sides_N2 = (boxes[:, 2:] - boxes[:, :2]) * maps.input_size
    centers, nearest_N = size_clusters(sides_N2, len(maps.sides) - 1)
    sizes: list[float] = []
    ratios: list[tuple[float, ...]] = []
    for index, center in enumerate(centers):
        low, high = _limits(index, known.sizes, maps)
        low = max(low, sizes[-1] * _SIZES_APART) if sizes else low
        sizes.append(min(max(float(center), low), high))
        found = ratio_clusters(sides_N2[nearest_N == index], known.ratios[index])
        ratios.append(found if _are_apart(found) else known.ratios[index])
    return _Numbers((*sizes, *known.sizes[-2:]), (*ratios, known.ratios[-1]))


class _Search:
    """``options``, the best so far, and their ``score``."""

    def __init__(
        self, boxes: np.ndarray, start: _Numbers, published: AnchorOptions, maps: FeatureMaps
    ) -> None:
        self._boxes, self._published, self._maps = boxes, published, maps
        matched_N = is_matched(best_ious(boxes, published, maps))
        self._classes = [
            (own_N, np.sum(matched_N[own_N]) * (1 - _MAX_LOST))
            for own_N in size_classes(boxes, maps).values()
        ]
        self._numbers = start
        self.options = self._written(start)
        every = range(len(maps.sides))
        self._ious_KN = np.stack([map_ious(boxes, map_, self.options, maps) for map_ in every])
        self.score = self._score_of(self._ious_KN)

    def run(self) -> None:
        """Moves one number after another, until no move gains."""
        for factor in _FACTORS:
            before = -np.inf
            while self.score > before:
                before = self.score
                for map_ in range(len(self._maps.sides) - 1):
                    for by in (factor, 1 / factor):
                        self._try_size(map_, by)
                        for place in range(len(self._numbers.ratios[map_])):
                            self._try_ratio(map_, place, by)

    def _try_size(self, map_: int, by: float) -> None:
        sizes = self._numbers.sizes
        size = sizes[map_] * by
        low, high = _limits(map_, sizes, self._maps)
        low = max(low, sizes[map_ - 1] * _SIZES_APART) if map_ else low
        if low <= size <= min(high, sizes[map_ + 1] / _SIZES_APART):
            moved = (*sizes[:map_], size, *sizes[map_ + 1 :])
            # Size k is also the max size of the map before.
            self._try(self._numbers._replace(sizes=moved), range(max(0, map_ - 1), map_ + 1))

    def _try_ratio(self, map_: int, place: int, by: float) -> None:
        ratios = self._numbers.ratios
        own = list(ratios[map_])
        own[place] *= by
        if _are_apart(own):
            moved = (*ratios[:map_], tuple(own), *ratios[map_ + 1 :])
            self._try(self._numbers._replace(ratios=moved), range(map_, map_ + 1))

    def _try(self, numbers: _Numbers, changed: range) -> None:
        options, ious_KN = self._written(numbers), self._ious_KN.copy()
        for map_ in changed:
            ious_KN[map_] = map_ious(self._boxes, map_, options, self._maps)
        score = self._score_of(ious_KN)
        if score > self.score + _MIN_GAIN:
            self._numbers, self.options, self._ious_KN = numbers, options, ious_KN
            self.score = score

    def _score_of(self, ious_KN: np.ndarray) -> float:
        best_N = ious_KN.max(axis=0)
        matched_N = is_matched(best_N)
        lost = sum(
            max(0.0, floor - np.sum(matched_N[own_N])) / max(1, np.sum(own_N))
            for own_N, floor in self._classes
        )
        recall, mean_iou = np.mean(matched_N), np.mean(best_N, dtype=np.float64)
        return float(_RECALL_WEIGHT * recall + mean_iou - _LOST_WEIGHT * lost)

    def _written(self, numbers: _Numbers) -> AnchorOptions:
        # Rounded to 0.03 pixels and to hundredths: what is tried is what the flags will say.
        scales = [f"{size / self._maps.input_size:.4f}" for size in numbers.sizes]
        ratios = [",".join(f"{ratio:.2f}" for ratio in own) for own in numbers.ratios]
        return dataclasses.replace(
            self._published, anchor_scales=",".join(scales), aspect_ratios=":".join(ratios)
        )


def _limits(map_: int, sizes: Sequence[float], maps: FeatureMaps) -> tuple[float, float]:
    """The smallest and largest size of a map; above it there must be room for the others'."""
    room = _SIZES_APART ** (len(maps.sides) - 1 - map_)
    return _MIN_STEPS * maps.steps[map_], min(_MAX_STEPS * maps.steps[map_], sizes[-2] / room)


def _are_apart(ratios: Sequence[float]) -> bool:
    rising = all(low * _RATIOS_APART <= high for low, high in pairwise(ratios))
    return rising and ratios[0] >= _MIN_RATIO and ratios[-1] <= _MAX_RATIO
