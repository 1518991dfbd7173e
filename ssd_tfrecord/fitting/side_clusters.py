"""K-means of boxes by their sides: what sizes and aspect ratios a set of boxes has.

The distance is 1 - IoU of boxes of one centre (Redmon & Farhadi, YOLO9000, arXiv 1612.08242,
section 2), for which large boxes count no more than small ones.

Axes: N boxes, C clusters.
"""

from collections.abc import Sequence

import numpy as np

_ROUNDS = 50


def size_clusters(sides_N2: np.ndarray, num_clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Clusters of boxes, an upright and a lying one being the same.

    Args:
        sides_N2: float [N, 2], heights and widths; N is at least 1.
        num_clusters: C. The centres are squares at first, at quantiles of the area.

    Returns:
        float64 [C], the roots of the centres' areas, rising, and int64 [N], each box's cluster.
    """
    ordered_N2 = np.sort(sides_N2, axis=1)
    shares = (np.arange(num_clusters) + 0.5) / num_clusters
    starts_C = np.sqrt(np.quantile(np.prod(ordered_N2, axis=1), shares))
    centers_C2 = k_means(ordered_N2, np.stack([starts_C, starts_C], axis=1))
    sizes_C = np.sqrt(np.prod(centers_C2, axis=1))
    rising = np.argsort(sizes_C, kind="stable")
    return sizes_C[rising], _nearest(ordered_N2, centers_C2[rising])


def ratio_clusters(sides_N2: np.ndarray, starts: Sequence[float]) -> tuple[float, ...]:
    """Aspect ratios of boxes, of equal area in thought, beside those that are nearly square.

    Args:
        sides_N2: float [N, 2], heights and widths; those without area are left out.
        starts: aspect ratios above 1, rising: as many are returned, and these themselves if there
            is no box.

    Returns:
        The ratios of the long to the short side, rising.
    """
    ordered_N2 = np.sort(sides_N2[np.min(sides_N2, axis=1) > 0], axis=1)
    roots_N = np.sqrt(ordered_N2[:, 1] / ordered_N2[:, 0])
    roots_C = np.sqrt([1.0, *starts])
    centers_C2 = k_means(_of_area_1(roots_N), _of_area_1(roots_C), num_fixed=1)
    return tuple(sorted(float(long / short) for short, long in centers_C2[1:]))


def k_means(shapes_N2: np.ndarray, starts_C2: np.ndarray, num_fixed: int = 0) -> np.ndarray:
    """Moves each centre to the mean of the shapes that are nearest to it, until none moves.

    Args:
        shapes_N2: float [N, 2], heights and widths.
        starts_C2: float [C, 2], the centres at first, with an area; the first wins a tie.
        num_fixed: so many of the first centres stay.

    Returns:
        float64 [C, 2], the centres. One without shapes stays where it is.
    """
    centers_C2 = np.array(starts_C2, np.float64)
    nearest_N = np.full(len(shapes_N2), -1)
    for _ in range(_ROUNDS):
        before_N, nearest_N = nearest_N, _nearest(shapes_N2, centers_C2)
        if np.array_equal(before_N, nearest_N):
            break
        for index in range(num_fixed, len(centers_C2)):
            own = shapes_N2[nearest_N == index]
            centers_C2[index] = np.mean(own, axis=0) if len(own) else centers_C2[index]
    return centers_C2


def shape_ious(shapes_N2: np.ndarray, centers_C2: np.ndarray) -> np.ndarray:
    """IoU of each shape [N, 2] and each centre [C, 2] as boxes of one centre: float64 [N, C]."""
    overlap_NC = np.prod(np.minimum(shapes_N2[:, np.newaxis], centers_C2), axis=2)
    areas_N1 = np.prod(shapes_N2, axis=1, keepdims=True)
    return overlap_NC / (areas_N1 + np.prod(centers_C2, axis=1) - overlap_NC)


def _nearest(shapes_N2: np.ndarray, centers_C2: np.ndarray) -> np.ndarray:
    return np.argmax(shape_ious(shapes_N2, centers_C2), axis=1)


def _of_area_1(roots: np.ndarray) -> np.ndarray:
    """[..., 2] of aspect ratios root²: their short and their long side."""
    return np.stack([1 / roots, roots], axis=-1)
