"""The anchors (SSD's default boxes) of every map, in the order of the network's outputs.

Source: Liu et al., SSD, arXiv 1512.02325, section 2.2, and the prototxt files and prior_box_layer
of the authors' Caffe code. Anchors are neither clipped nor rounded.
"""

import numpy as np

from ssd_tfrecord.options import AnchorOptions

_MAP_SIZES = {300: (38, 19, 10, 5, 3, 1), 512: (64, 32, 16, 8, 4, 2, 1)}
_STEPS = {300: (8, 16, 32, 64, 100, 300), 512: (8, 16, 32, 64, 128, 256, 512)}

# Pixels. Map k has min size k and max size k + 1 of the row. The Caffe layer truncates sizes to
# whole pixels, which changes those of SSD512 alone: these are the truncated ones.
_SIZES = {
    (300, "voc"): (30, 60, 111, 162, 213, 264, 315),
    (300, "coco"): (21, 45, 99, 153, 207, 261, 315),
    (512, "voc"): (35, 76, 153, 230, 307, 384, 460, 537),
    (512, "coco"): (20, 51, 133, 215, 296, 378, 460, 542),
}
_RATIOS = {
    300: ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    512: ((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
}


def map_sizes(input_size: int) -> tuple[int, ...]:
    """Side of each square feature map, in cells, for an input of 300 or 512 pixels."""
    return _MAP_SIZES[input_size]


def anchors_per_cell(options: AnchorOptions, input_size: int) -> tuple[int, ...]:
    """Anchors in a cell of each map: two squares, and two for each aspect ratio."""
    options.check_maps(input_size)
    return tuple(2 + 2 * len(ratios) for ratios in _ratios(options, input_size))


def anchor_boxes(options: AnchorOptions, input_size: int) -> np.ndarray:
    """All anchors as corners.

    Order: map by map, row by row, cell by cell; in a cell the square of the min size, the square
    of sqrt(min * max), then for each aspect ratio the wide box and its flip, the tall one.

    Returns:
      float32 [A, 4], (ymin, xmin, ymax, xmax) as fractions of the input; they may reach outside
      [0, 1]. A is 8732 for 300 and 24564 for 512 with the published aspect ratios.

    Raises:
      InputError: the options hold another number of scales or aspect ratios than there are maps.
    """
    options.check_maps(input_size)
    sizes = _sizes(options, input_size)
    maps = zip(_MAP_SIZES[input_size], _STEPS[input_size], sizes[:-1], sizes[1:])
    boxes = [
        _map_boxes(cells, step, _cell_shapes(low, high, ratios))
        for (cells, step, low, high), ratios in zip(maps, _ratios(options, input_size))
    ]
    return (np.concatenate(boxes) / input_size).astype(np.float32)


def _cell_shapes(low, high, ratios):
    """(height, width) in pixels of the anchors of a cell: float64 [K, 2]."""
    between = np.sqrt(low * high)
    shapes = [(low, low), (between, between)]
    for root in np.sqrt(ratios):
        shapes += [(low / root, low * root), (low * root, low / root)]
    return np.array(shapes)


def _map_boxes(cells, step, shapes_K2):
    """Corners in pixels: float64 [cells * cells * K, 4]."""
    centers = (np.arange(cells) + 0.5) * step
    centers_YX2 = np.stack(np.meshgrid(centers, centers, indexing="ij"), axis=-1)
    centers_YXK2 = centers_YX2[:, :, None, :]
    corners = np.concatenate([centers_YXK2 - shapes_K2 / 2, centers_YXK2 + shapes_K2 / 2], axis=-1)
    return corners.reshape(-1, 4)


def _sizes(options, input_size):
    scales = options.scales()
    if scales is None:
        return _SIZES[input_size, options.anchor_scales]
    return tuple(scale * input_size for scale in scales)


def _ratios(options, input_size):
    return options.ratios() or _RATIOS[input_size]
