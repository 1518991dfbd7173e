"""Clusters of boxes by their sides, worked by hand."""

import numpy as np
import pytest

from ssd_tfrecord.fitting.side_clusters import k_means, ratio_clusters, shape_ious, size_clusters


def test_iou_of_boxes_of_one_centre():
    # 2x4 and 4x2 share 2x2 of 12; 2x4 and 4x4 share all 8 of 16.
    shapes, centers = np.array([[2.0, 4.0]]), np.array([[4.0, 2.0], [4.0, 4.0], [2.0, 4.0]])
    np.testing.assert_allclose(shape_ious(shapes, centers), [[1 / 3, 1 / 2, 1]])


def test_centers_are_the_means_of_their_shapes():
    shapes = np.array([[9.0, 11.0], [11.0, 9.0], [98.0, 40.0], [102.0, 60.0]])
    centers = k_means(shapes, np.array([[20.0, 20.0], [60.0, 60.0]]))
    np.testing.assert_allclose(centers, [[10, 10], [100, 50]])


def test_by_iou_and_not_by_pixels():
    # 60x60 is nearer to 100x100 (IoU 0.36) than to 20x20 (0.11), though 40 pixels from both.
    shapes = np.array([[20.0, 20.0], [60.0, 60.0], [100.0, 100.0]])
    centers = k_means(shapes, np.array([[20.0, 20.0], [100.0, 100.0]]))
    np.testing.assert_allclose(centers, [[20, 20], [80, 80]])


def test_fixed_centers_and_those_without_shapes_stay():
    shapes = np.array([[10.0, 10.0], [12.0, 12.0], [30.0, 30.0]])
    starts = np.array([[10.0, 10.0], [32.0, 32.0], [900.0, 900.0]])
    np.testing.assert_allclose(
        k_means(shapes, starts, num_fixed=1), [[10, 10], [30, 30], [900, 900]]
    )


def test_sizes_rise_and_a_lying_box_is_an_upright_one():
    sides = np.array([[80.0, 80.0], [5.0, 20.0], [20.0, 5.0], [10.0, 10.0], [90.0, 90.0]])
    sizes, nearest = size_clusters(sides, 2)
    # 5x20 twice and 10x10: short sides of 20/3, long ones of 50/3.
    np.testing.assert_allclose(sizes, [np.sqrt(1000 / 9), 85])
    assert nearest.tolist() == [1, 0, 0, 0, 1]


def test_ratios_are_those_beside_the_squares():
    rows = [(10, 10.5), (10, 9.8), (40, 20), (15, 30), (10, 31), (62, 20), (0, 8)]
    low, high = ratio_clusters(np.array(rows, float), (2.0, 3.0))
    assert low == pytest.approx(2.0)
    assert high == pytest.approx(3.1)
    # Of any size, and in either direction; without boxes, as they were.
    assert ratio_clusters(np.array([[3.0, 12.0], [60.0, 15.0]]), (2.0,)) == pytest.approx((4.0,))
    assert ratio_clusters(np.zeros([0, 2]), (2.0, 3.0)) == pytest.approx((2.0, 3.0))
