"""Matching against a slow twin that joins pairs one by one, as the reference does."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.geometry import matching


def twin_levels(boxes, anchors):
    """round(IoU * 2^14) by loops over the pairs' areas, float32: [M, A]."""
    b, a = boxes[:, None, :], anchors[None]
    height = np.minimum(b[..., 2], a[..., 2]) - np.maximum(b[..., 0], a[..., 0])
    width = np.minimum(b[..., 3], a[..., 3]) - np.maximum(b[..., 1], a[..., 1])
    overlap = np.maximum(height, 0) * np.maximum(width, 0)
    area_b = (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    area_a = (a[..., 2] - a[..., 0]) * (a[..., 3] - a[..., 1])
    union = area_b + area_a - overlap
    iou = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return np.round(iou * np.float32(2**14)).astype(np.int64)


def twin_match(boxes, labels, anchors):
    """Greedy bipartite, then IoU >= 0.5: one image, [A]."""
    level = twin_levels(boxes, anchors) * (labels > 0)[:, None]
    match = np.full(len(anchors), -1)
    free = level.copy()
    while free.size and free.max() > 0:
        ties = np.argwhere(free == free.max())  # rows (object, anchor)
        obj, anchor = min(ties.tolist(), key=lambda pair: (pair[1], pair[0]))
        match[anchor] = obj
        free[obj, :] = 0
        free[:, anchor] = 0
    for anchor in range(len(anchors)):
        if match[anchor] < 0 and level.shape[0] and level[:, anchor].max() >= 2**13:
            match[anchor] = int(np.argmax(level[:, anchor]))
    return match


def grid_boxes(rng, count, cells=12):
    """Boxes with corners on a coarse grid: exact ties are the rule."""
    low = rng.integers(0, cells - 1, (count, 2))
    high = low + 1 + rng.integers(0, cells - low, (count, 2)).clip(0, cells - 1 - low)
    return (np.concatenate([low, high], axis=1) / cells).astype(np.float32)


def free_boxes(rng, count):
    corners = np.sort(rng.random((count, 2, 2), np.float32), axis=1)
    return np.concatenate([corners[:, 0], corners[:, 1]], axis=1)


def run(boxes, labels, anchors, compiled):
    fn = tf.function(matching.match, jit_compile=compiled)
    return fn(tf.constant(boxes), tf.constant(labels), tf.constant(anchors)).numpy()


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("make", [grid_boxes, free_boxes], ids=["ties", "free"])
def test_equals_the_one_by_one_twin(make, compiled):
    rng = np.random.default_rng(7)
    fn = tf.function(matching.match, jit_compile=compiled)
    for _ in range(12):
        boxes = np.stack([make(rng, 9) for _ in range(32)])
        labels = rng.integers(0, 3, (32, 9)).astype(np.int32)
        labels[0] = 0  # an image without objects
        labels[1] = [0, 0, 1, 0, 0, 0, 0, 0, 0]
        anchors = make(rng, 40)
        got = fn(boxes, labels, anchors).numpy()
        want = np.stack([twin_match(*pair, anchors) for pair in zip(boxes, labels)])
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_more_objects_than_anchors_that_overlap(compiled):
    rng = np.random.default_rng(3)
    boxes, anchors = grid_boxes(rng, 30, cells=4)[None], grid_boxes(rng, 6, cells=4)
    labels = np.ones((1, 30), np.int32)
    got = run(boxes, labels, anchors, compiled)[0]
    np.testing.assert_array_equal(got, twin_match(boxes[0], labels[0], anchors))
    assert (got >= 0).all()


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_no_row_at_all_is_background(compiled):
    anchors = grid_boxes(np.random.default_rng(0), 5)
    got = run(np.zeros((2, 0, 4), np.float32), np.zeros((2, 0), np.int32), anchors, compiled)
    np.testing.assert_array_equal(got, np.full((2, 5), -1))


def test_two_objects_that_want_one_anchor_both_get_one():
    # Object 0 overlaps anchor 0 by 0.8 and anchor 1 by 0.4; object 1 is anchor 0 itself.
    anchors = np.float32([[0, 0, 0.5, 0.5], [0, 0.2, 0.5, 0.7], [0.5, 0.5, 1, 1]])
    boxes = np.float32([[[0, 0, 0.5, 0.4], [0, 0, 0.5, 0.5]]])
    got = run(boxes, np.int32([[1, 2]]), anchors, False)
    np.testing.assert_array_equal(got, [[1, 0, -1]])


def test_iou_of_exactly_one_half_matches_and_less_does_not():
    anchors = np.float32([[0, 0, 1, 1], [0, 0, 1, 0.5], [0, 0, 1, 0.498]])
    boxes = np.float32([[[0, 0, 1, 1]]])
    np.testing.assert_array_equal(run(boxes, np.int32([[5]]), anchors, False), [[0, 0, -1]])


def test_tied_anchors_and_objects_go_to_the_lower_index():
    anchors = np.float32([[0, 0, 0.5, 0.5]] * 3)
    boxes = np.float32([[[0, 0, 0.5, 0.5]] * 2])
    got = run(boxes, np.int32([[4, 4]]), anchors, False)
    np.testing.assert_array_equal(got, [[0, 1, 0]])
