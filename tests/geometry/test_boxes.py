"""Box arithmetic, with numbers worked by hand."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.geometry import boxes, coding

A = np.float32([[0.0, 0.0, 0.5, 0.5]])
B = np.float32([[0.25, 0.25, 0.75, 0.75], [0.5, 0.5, 1.0, 1.0], [0.3, 0.3, 0.3, 0.3]])


def test_areas():
    np.testing.assert_allclose(boxes.area(B), [0.25, 0.25, 0.0])


def test_iou_by_hand():
    # 0.0625 / (0.25 + 0.25 - 0.0625) = 1/7; touching corners and empty boxes have none.
    np.testing.assert_allclose(boxes.pairwise_iou(A, B), [[1 / 7, 0.0, 0.0]], rtol=1e-6)
    assert boxes.pairwise_iou(A, np.zeros((0, 4), np.float32)).shape == (1, 0)


def test_compiled_iou_has_the_bits_of_numpy():
    rng = np.random.default_rng(0)
    corners = np.sort(rng.random((2, 400, 2, 2), np.float32), axis=2)
    a, b = np.concatenate([corners[:, :, 0], corners[:, :, 1]], axis=-1)
    low, high = np.maximum(a[:, None], b), np.minimum(a[:, None], b)
    height, width = (high[..., 2:] - low[..., :2]).clip(0).transpose(2, 0, 1)
    area_a, area_b = ((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) for box in (a, b))
    want = height * width / (area_a[:, None] + area_b - height * width)
    got = tf.function(boxes.pairwise_iou, jit_compile=True)(a, b)
    np.testing.assert_array_equal(got, want)


def test_iou_of_two_empty_boxes_is_zero_not_nan():
    assert float(boxes.iou(B[2], B[2])) == 0.0


def test_flip_is_its_own_inverse():
    box = np.float32([[0.1, 0.2, 0.3, 0.6]])
    np.testing.assert_allclose(boxes.flip_left_right(box), [[0.1, 0.4, 0.3, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(boxes.flip_left_right(boxes.flip_left_right(box)), box, rtol=1e-6)


def test_offsets_by_hand():
    anchor = np.float32([[0.4, 0.4, 0.6, 0.6]])  # centre 0.5, side 0.2
    box = np.float32([[0.42, 0.32, 0.62, 0.72]])  # centre (0.52, 0.52), 0.2 high, 0.4 wide
    want = [[0.02 / 0.2 / 0.1, 0.02 / 0.2 / 0.1, 0.0, np.log(2.0) / 0.2]]
    np.testing.assert_allclose(coding.encode(box, anchor), want, atol=1e-5)


def test_decode_is_the_inverse_of_encode():
    rng = np.random.default_rng(1)
    corners = np.sort(rng.random((50, 2, 2), np.float32), axis=1)
    box = np.concatenate([corners[:, 0], corners[:, 1] + 0.01], axis=1)
    anchor = np.roll(box, 7, axis=0)
    np.testing.assert_allclose(coding.decode(coding.encode(box, anchor), anchor), box, atol=1e-5)


@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_wild_offsets_decode_to_finite_boxes(offset):
    decoded = coding.decode(np.full((1, 4), offset, np.float32), A)
    assert np.isfinite(decoded).all()


def test_a_box_without_extent_encodes_to_finite_offsets():
    assert np.isfinite(coding.encode(np.zeros((1, 4), np.float32), A)).all()
