"""Matching against a slow twin that joins pairs one by one, as the reference does.

Axes: B images, M objects, A anchors.
"""

import functools
import re

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.geometry import anchors, matching
from ssd_tfrecord.options import AnchorOptions

COMPILED = pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])


def twin_levels(boxes_BM4, anchors_A4):
    """round(IoU * 2^14), from float32 areas: [B, A, M]."""
    a, b = anchors_A4[:, None], boxes_BM4[:, None]
    height = np.minimum(b[..., 2], a[..., 2]) - np.maximum(b[..., 0], a[..., 0])
    width = np.minimum(b[..., 3], a[..., 3]) - np.maximum(b[..., 1], a[..., 1])
    overlap = np.maximum(height, 0) * np.maximum(width, 0)
    area_a, area_b = ((x[..., 2] - x[..., 0]) * (x[..., 3] - x[..., 1]) for x in (a, b))
    union = area_b + area_a - overlap
    iou = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return np.round(iou * np.float32(2**14)).astype(np.int32)


def twin_match(boxes_BM4, labels_BM, anchors_A4):
    """Greedy bipartite, a pair at a time in every image, then IoU >= 0.5: [B, A]."""
    level = twin_levels(boxes_BM4, anchors_A4) * (labels_BM > 0)[:, None]
    images, num_anchors, num_objects = np.arange(len(level)), *level.shape[1:]
    if not num_objects:
        return np.full((len(images), num_anchors), -1)
    match = np.where(level.max(axis=2) >= 2**13, level.argmax(axis=2), -1)
    free = level.copy()
    for _ in range(num_objects):
        # Of equal levels argmax takes the first: the lower anchor, in it the lower object.
        anchor, obj = np.divmod(free.reshape(len(images), -1).argmax(axis=1), num_objects)
        joined = free[images, anchor, obj] > 0
        match[images[joined], anchor[joined]] = obj[joined]
        free[images, anchor, :] = 0
        free[images, :, obj] = 0
    return match


def pixel_boxes(rng, count, side=12):
    """Boxes [count, 4] of whole pixels of a picture of few: exact ties are the rule."""
    low = rng.integers(0, side, (count, 2))
    return (np.concatenate([low, rng.integers(low, side) + 1], axis=1) / side).astype(np.float32)


def free_boxes(rng, count):
    corners = np.sort(rng.random((count, 2, 2), np.float32), axis=1)
    return np.concatenate([corners[:, 0], corners[:, 1]], axis=1)


def voc_boxes(rng, count):
    return pixel_boxes(rng, count, side=300)


def batch(rng, make, num_images, num_objects):
    """Boxes and labels: the first 0 … ``num_objects`` objects of each image, a tenth left out."""
    boxes = make(rng, num_images * num_objects).reshape(num_images, num_objects, 4)
    count = rng.integers(0, num_objects + 1, (num_images, 1))
    objects = (np.arange(num_objects) < count) & (rng.random((num_images, num_objects)) > 0.1)
    return boxes, np.where(objects, 3, 0).astype(np.int32)


def run(boxes, labels, anchors, compiled):
    fn = tf.function(matching.match, jit_compile=compiled)
    return fn(tf.constant(boxes), tf.constant(labels), tf.constant(anchors)).numpy()


# Boxes, objects and anchors, images a batch, batches: 101,000 images. 20 objects may leave none of
# 8 anchors free, and find none.
CASES = (
    (pixel_boxes, 1, 16, 3000, 2),
    (pixel_boxes, 5, 24, 2000, 25),
    (pixel_boxes, 12, 32, 1000, 25),
    (pixel_boxes, 20, 8, 500, 10),
    (free_boxes, 5, 24, 2000, 5),
    (free_boxes, 12, 32, 1000, 5),
)


@functools.cache
def answered(case):
    """Batches of a case (boxes, labels, anchors) with the twin's answers, for both ways to run."""
    make, num_objects, num_anchors, num_images, num_batches = case
    rng = np.random.default_rng(7)
    found = []
    for _ in range(num_batches):
        given = (*batch(rng, make, num_images, num_objects), make(rng, num_anchors))
        found.append((given, twin_match(*given)))
    return found


@COMPILED
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].__name__}-{case[1]}")
def test_equals_the_one_by_one_twin(case, compiled):
    fn = tf.function(matching.match, jit_compile=compiled)
    for given, expected in answered(case):
        np.testing.assert_array_equal(fn(*given).numpy(), expected)


@functools.cache
def answered_on_anchors_of_ssd(input_size, num_objects):
    rng = np.random.default_rng(num_objects)
    anchors_A4 = anchors.anchor_boxes(AnchorOptions(), BACKBONES["vgg16"].inputs[input_size])
    given = (*batch(rng, voc_boxes, 16, num_objects), anchors_A4)
    return given, twin_match(*given)


@COMPILED
@pytest.mark.parametrize(("input_size", "num_objects"), [(300, 56), (512, 16)])
def test_equals_the_twin_on_the_anchors_of_ssd(input_size, num_objects, compiled):
    given, expected = answered_on_anchors_of_ssd(input_size, num_objects)
    np.testing.assert_array_equal(run(*given, compiled), expected)


@COMPILED
def test_shapes_may_be_unknown_and_differ_from_batch_to_batch(compiled):
    shapes = [([None, None, 4], tf.float32), ([None, None], tf.int32), ([None, 4], tf.float32)]
    fn = tf.function(
        matching.match,
        input_signature=[tf.TensorSpec(*shape) for shape in shapes],
        jit_compile=compiled,
    )
    rng = np.random.default_rng(2)
    for num_images, num_objects, num_anchors in ((5, 8, 30), (5, 16, 30), (2, 130, 60), (1, 0, 9)):
        boxes, labels = batch(rng, pixel_boxes, num_images, num_objects)
        anchors_A4 = pixel_boxes(rng, num_anchors)
        got = fn(boxes, labels, anchors_A4).numpy()
        np.testing.assert_array_equal(got, twin_match(boxes, labels, anchors_A4))


def test_known_shapes_stay_known():
    specs = [tf.TensorSpec([32, None, 4]), tf.TensorSpec([32, None], tf.int32)]
    fn = tf.function(matching.match).get_concrete_function(*specs, tf.TensorSpec([8732, 4]))
    assert fn.output_shapes == [32, 8732]


# Groups of 1, 3 (the last one short) and 7 images.
@COMPILED
@pytest.mark.parametrize("max_pairs", [1, 300, 630])
def test_groups_of_images_do_not_change_the_result(max_pairs, compiled, monkeypatch):
    monkeypatch.setattr(matching, "_MAX_PAIRS", max_pairs)
    rng = np.random.default_rng(5)
    (boxes, labels), anchors_A4 = batch(rng, pixel_boxes, 7, 9), pixel_boxes(rng, 10)
    got = run(boxes, labels, anchors_A4, compiled)
    np.testing.assert_array_equal(got, twin_match(boxes, labels, anchors_A4))


@COMPILED
@pytest.mark.parametrize("num_images", [0, 2])
def test_no_row_at_all_is_background(num_images, compiled):
    boxes = np.zeros((num_images, 0, 4), np.float32)
    labels = np.zeros((num_images, 0), np.int32)
    got = run(boxes, labels, pixel_boxes(np.random.default_rng(0), 5), compiled)
    np.testing.assert_array_equal(got, np.full((num_images, 5), -1))


def test_no_tensor_of_ssd512_with_128_objects_is_above_256_mb():
    # int32 of all 32 x 128 x 24564 pairs would be 402 MB.
    fn = tf.function(matching.match, jit_compile=True)
    boxes, labels = tf.zeros([32, 128, 4]), tf.zeros([32, 128], tf.int32)
    anchors_A4 = tf.constant(anchors.anchor_boxes(AnchorOptions(), BACKBONES["vgg16"].inputs[512]))
    hlo = fn.experimental_get_compiler_ir(boxes, labels, anchors_A4)(stage="optimized_hlo")
    sizes = tensor_bytes(hlo)
    assert len(sizes) > 100
    assert 32 * 24564 * 4 <= max(sizes) < 256e6


def tensor_bytes(hlo):
    """Bytes of each array that the text of a compiled function names."""
    shapes = re.findall(r"\b(pred|[a-z]+(\d+))\[([\d,]*)\]", hlo)
    return [
        int(bits or 8) / 8 * np.prod([int(n) for n in sizes.split(",") if n], initial=1.0)
        for _, bits, sizes in shapes
    ]


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
