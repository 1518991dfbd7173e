"""How well anchors cover boxes: the share of them that has an anchor with an IoU of 0.5 or more.

Every object owns one anchor, however poor; those whose IoU with it is at least 0.5 come on top
(``geometry.matching``), and most of what is learned of it comes from them.

Axes: N boxes, K anchors per cell of a map.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.backbones import FeatureMaps
from ssd_tfrecord.geometry.anchors import anchor_boxes, anchors_per_cell
from ssd_tfrecord.geometry.matching import IOU_LEVELS, MATCH_LEVEL
from ssd_tfrecord.options import AnchorOptions

# Classes of size: the smallest area in pixels² of the network's input that no longer belongs to
# it. COCO's, whose areas are those of the image itself.
_SIZES = {"small": 32.0**2, "medium": 96.0**2, "large": np.inf}


@dataclass(frozen=True)
class SizeRecall:
    """Of the ``num_boxes`` boxes of one class of size, ``recall`` are matched, a fraction."""

    num_boxes: int
    recall: float


@dataclass(frozen=True)
class AnchorRecall:
    """Of ``num_boxes`` boxes, the fraction ``recall`` has an anchor whose IoU is 0.5 or more.

    ``mean_iou`` is the mean of each box's highest IoU with an anchor; ``by_size`` has small (area
    below 32² pixels of the network's input), medium and large (96² or more). Both are 0 without
    boxes.
    """

    num_boxes: int
    recall: float
    mean_iou: float
    by_size: dict[str, SizeRecall]


def anchor_recall(boxes: np.ndarray, options: AnchorOptions, maps: FeatureMaps) -> AnchorRecall:
    """Measures the anchors on boxes.

    Args:
        boxes: float32 [N, 4] as [ymin, xmin, ymax, xmax] in [0, 1] of the sample.
        options: of the anchors.
        maps: that they belong to.

    Raises:
        InputError: ``options`` do not fit ``maps``.
    """
    best = best_ious(boxes, options, maps)
    matched = is_matched(best)
    by_size = {
        name: SizeRecall(int(inside.sum()), _mean(matched[inside]))
        for name, inside in size_classes(boxes, maps).items()
    }
    return AnchorRecall(len(boxes), _mean(matched), _mean(best), by_size)


def is_matched(ious: np.ndarray) -> np.ndarray:
    """Whether each IoU, as ``matching`` rounds it, makes a match: bool, of the same shape."""
    return np.rint(ious * IOU_LEVELS) >= MATCH_LEVEL


def size_classes(boxes: np.ndarray, maps: FeatureMaps) -> dict[str, np.ndarray]:
    """Whether each box is small, medium or large: {class: bool [N]}."""
    areas = _areas(boxes) * maps.input_size**2
    classes, low = {}, 0.0
    for name, high in _SIZES.items():
        classes[name] = (areas >= low) & (areas < high)
        low = high
    return classes


def best_ious(boxes: np.ndarray, options: AnchorOptions, maps: FeatureMaps) -> np.ndarray:
    """Each box's highest IoU with an anchor: float32 [N], 0 for a box without area.

    Anchors of one shape overlap a box the more, the nearer their centre is, in each axis by itself:
    of each shape only the one in the nearest cell counts. So 30 anchors are looked at instead of
    8732: 20,000 boxes take 0.06 CPU s.

    Args:
        boxes: float32 [N, 4] as [ymin, xmin, ymax, xmax] in [0, 1] of the sample.
        options: of the anchors.
        maps: that they belong to.

    Raises:
        InputError: ``options`` do not fit ``maps``.
    """
    options.check_maps(maps)
    best = np.zeros(len(boxes), np.float32)
    for index in range(len(maps.sides)):
        best = np.maximum(best, map_ious(boxes, index, options, maps))
    return best


def map_ious(
    boxes: np.ndarray, index: int, options: AnchorOptions, maps: FeatureMaps
) -> np.ndarray:
    """As ``best_ious``, with the anchors of map ``index`` alone."""
    map_YXK4 = _map_anchors(index, options, maps)
    # The anchors of a cell share their centre.
    rows = map_YXK4[:, 0, 0, 0] + map_YXK4[:, 0, 0, 2]
    columns = map_YXK4[0, :, 0, 1] + map_YXK4[0, :, 0, 3]
    places_N2 = (boxes[:, :2] + boxes[:, 2:]) / 2
    y, x = _nearest(rows / 2, places_N2[:, 0]), _nearest(columns / 2, places_N2[:, 1])
    best, areas = np.zeros(len(boxes), np.float32), _areas(boxes)
    for shape in range(map_YXK4.shape[2]):
        best = np.maximum(best, _ious(boxes, areas, map_YXK4[y, x, shape]))
    return best


def _map_anchors(index: int, options: AnchorOptions, maps: FeatureMaps) -> np.ndarray:
    """Those of one map, cell by cell: float32 [side, side, K, 4]."""
    # As if it were the only one: the fit asks a thousand times, and to make all takes 0.9 CPU ms.
    own = slice(index, index + 1)
    alone = FeatureMaps(
        maps.input_size,
        maps.sides[own],
        maps.steps[own],
        maps.ratios[own],
        sizes={name: sizes[index : index + 2] for name, sizes in maps.sizes.items()},
        exact_sizes={name: sizes[index : index + 2] for name, sizes in maps.exact_sizes.items()},
    )
    scales, ratios = options.anchor_scales, options.aspect_ratios
    of_map = dataclasses.replace(
        options,
        anchor_scales=",".join(scales.split(",")[index : index + 2]) if "," in scales else scales,
        aspect_ratios=ratios.split(":")[index] if ratios else "",
    )
    side = alone.sides[0]
    return anchor_boxes(of_map, alone).reshape(side, side, *anchors_per_cell(of_map, alone), 4)


def _nearest(centers: np.ndarray, places_N: np.ndarray) -> np.ndarray:
    """Index of the nearest of rising ``centers`` to each place: int64 [N]."""
    return np.searchsorted((centers[1:] + centers[:-1]) / 2, places_N)


def _ious(boxes_N4: np.ndarray, areas_N: np.ndarray, anchors_N4: np.ndarray) -> np.ndarray:
    """IoU of each box with its own anchor: float32 [N]."""
    low = np.maximum(boxes_N4[:, :2], anchors_N4[:, :2])
    high = np.minimum(boxes_N4[:, 2:], anchors_N4[:, 2:])
    overlap = np.prod(np.maximum(high - low, 0), axis=1)
    # Anchors have an area, so the divisor is above 0.
    return overlap / (areas_N + _areas(anchors_N4) - overlap)


def _areas(boxes_N4: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(boxes_N4[:, 2:] - boxes_N4[:, :2], 0), axis=1)


def _mean(values: np.ndarray) -> float:
    return float(np.sum(values) / max(1, len(values)))
