"""The anchors (SSD's default boxes) of every map, in the order of the network's outputs.

Source: Liu et al., SSD, arXiv 1512.02325, section 2.2, and prior_box_layer of the authors' Caffe
code. ``--anchor_variant`` says how those of other published models differ.
"""

from collections.abc import Sequence

import numpy as np

from ssd_tfrecord.backbones import FeatureMaps
from ssd_tfrecord.options import AMDEGROOT, CAFFE, TORCHVISION, AnchorOptions


def anchors_per_cell(options: AnchorOptions, maps: FeatureMaps) -> tuple[int, ...]:
    """Number of anchors per cell of each map: two squares, and two for each aspect ratio.

    Raises:
        InputError: ``options`` do not have one list of aspect ratios per map, or not one scale per
            map plus one.
    """
    options.check_maps(maps)
    return tuple(2 + 2 * len(ratios) for ratios in _ratios(options, maps))


def anchor_boxes(options: AnchorOptions, maps: FeatureMaps) -> np.ndarray:
    """All anchors as corners.

    Order: map by map, row by row, cell by cell; in a cell first the square of the min size, then
    the square of sqrt(min * max), then for each aspect ratio the wide box and its flip, the tall
    one.

    Returns:
        float32 [A, 4], (ymin, xmin, ymax, xmax) as fractions of the input; they may reach outside
        [0, 1]. A is 8732 for 300 and 24564 for 512 with the published aspect ratios.

    Raises:
        InputError: ``options`` do not have one list of aspect ratios per map, or not one scale per
            map plus one.
    """
    options.check_maps(maps)
    # The max size of a map is the min size of the next.
    sizes = _sizes(options, maps)
    rows = zip(maps.sides, maps.steps, sizes[:-1], sizes[1:])
    boxes = [
        _map_boxes(cells, step, _cell_shapes(low, high, ratios))
        for (cells, step, low, high), ratios in zip(rows, _ratios(options, maps))
    ]
    centers_A2, shapes_A2 = np.split(np.concatenate(boxes), 2, axis=1)
    variant = options.anchor_variant or CAFFE
    if variant in (TORCHVISION, AMDEGROOT):
        shapes_A2 = np.minimum(shapes_A2, maps.input_size)
    if variant == AMDEGROOT:
        # The steps may reach beyond the image: the last of 10 cells of 32 pixels is at 304.
        centers_A2 = np.minimum(centers_A2, maps.input_size)
    corners_A4 = np.concatenate([centers_A2 - shapes_A2 / 2, centers_A2 + shapes_A2 / 2], axis=1)
    # float64 up to here, rounded once.
    return (corners_A4 / maps.input_size).astype(np.float32)


def _cell_shapes(low: float, high: float, ratios: Sequence[float]) -> np.ndarray:
    """(height, width) in pixels of the anchors of a cell: float64 [K, 2]."""
    between = np.sqrt(low * high)
    shapes = [(low, low), (between, between)]
    # A ratio is width / height; the area is that of the min size.
    for root in np.sqrt(ratios):
        shapes += [(low / root, low * root), (low * root, low / root)]
    return np.array(shapes)


def _map_boxes(cells: int, step: float, shapes_K2: np.ndarray) -> np.ndarray:
    """(cy, cx, height, width) in pixels: float64 [cells * cells * K, 4]."""
    # ``step`` is Caffe's, not input / cells: 38 cells of 8 pixels reach beyond an input of 300.
    centers = (np.arange(cells) + 0.5) * step
    centers_YX2 = np.stack(np.meshgrid(centers, centers, indexing="ij"), axis=-1)
    shape = (cells, cells, len(shapes_K2), 2)
    pairs = (np.broadcast_to(part, shape) for part in (centers_YX2[:, :, None, :], shapes_K2))
    return np.concatenate(list(pairs), axis=-1).reshape(-1, 4)


def _sizes(options: AnchorOptions, maps: FeatureMaps) -> tuple[float, ...]:
    scales = options.scales()
    if scales is not None:
        return tuple(scale * maps.input_size for scale in scales)
    published = maps.sizes[options.anchor_scales]
    if (options.anchor_variant or CAFFE) == CAFFE:
        return published
    return maps.exact_sizes.get(options.anchor_scales, published)


def _ratios(options: AnchorOptions, maps: FeatureMaps) -> tuple[tuple[float, ...], ...]:
    return options.ratios() or maps.ratios
