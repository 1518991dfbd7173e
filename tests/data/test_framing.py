"""Framing: windows, rectangles and boxes by hand, and the samplers' constraints on real draws.

The uniforms are expand?, ratio, offset y, offset x, flip?, pick, then the trials.
"""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.data import framing
from ssd_tfrecord.options import FramingOptions

ONE_TRIAL = FramingOptions(crop_min_ious=(0.5,), crop_trials=1)
BOX = [[0.25, 0.25, 0.75, 0.75]]


def frame(boxes, size, uniforms, options=ONE_TRIAL, output_size=300):
    boxes = tf.reshape(tf.constant(boxes, tf.float32), [1, -1, 4])
    plan = framing.frame(
        boxes,
        tf.ones(boxes.shape[:2], tf.bool),
        tf.constant([size]),
        tf.constant([uniforms], tf.float32),
        output_size=output_size,
        options=options,
    )
    return framing.Frame(*(value.numpy()[0] for value in plan))


def one_trial(expand=0.9, ratio=0.0, y=0.0, x=0.0, pick=0.0, flip=0.9, windows=((0, 0),) * 4):
    """Uniforms for two samplers of one trial; ``windows`` are scale, aspect, y, x of each."""
    return [expand, ratio, y, x, flip, pick, *np.ravel(windows)]


def test_the_whole_picture():
    plan = frame(BOX, [200, 400], one_trial())
    np.testing.assert_array_equal(plan.window, [0, 0, 200, 400])
    np.testing.assert_array_equal(plan.rectangle, [0, 0, 300, 300])
    np.testing.assert_allclose(plan.boxes, BOX)
    assert plan.kept.all()
    assert not plan.mirrored
    assert plan.sampler == 0


def test_zoom_out_twice_with_the_picture_in_the_lower_right_corner():
    # Canvas 200x400 pixels; the offset is floor(0.999 * 100) = 99 and floor(0.999 * 200) = 199.
    plan = frame(BOX, [100, 200], one_trial(expand=0.4, ratio=1 / 3, y=0.999, x=0.999))
    np.testing.assert_array_equal(plan.window, [0, 0, 100, 200])
    # Rows 99…199 of 200 are output 148.5 -> 148 (to even) … 298.5 -> 298.
    np.testing.assert_array_equal(plan.rectangle, [148, 149, 298, 299])
    np.testing.assert_allclose(
        plan.boxes[0] * 300, [148 + 37.5, 149 + 37.5, 148 + 112.5, 149 + 112.5], atol=1e-4
    )


def test_crop_of_the_middle_by_the_any_window_sampler():
    # Scale u = 2/7: 0.3 + 0.7 u = 0.5; aspect between 0.5 and 2, u = 1/3: 1. Position u = 0.5.
    windows = [[0, 2 / 7], [0, 1 / 3], [0, 0.5], [0, 0.5]]
    plan = frame(BOX, [200, 400], one_trial(pick=0.999, windows=windows))
    assert plan.sampler == 2
    np.testing.assert_array_equal(plan.window, [50, 100, 100, 200])
    np.testing.assert_array_equal(plan.rectangle, [0, 0, 300, 300])
    np.testing.assert_allclose(plan.boxes, [[0, 0, 1, 1]], atol=1e-6)


def test_mirroring_moves_boxes_and_rectangle():
    uniforms = one_trial(expand=0.4, ratio=1 / 3, y=0.0, x=0.0, flip=0.4)
    plan = frame([[0.0, 0.0, 0.5, 0.5]], [100, 100], uniforms)
    assert plan.mirrored
    np.testing.assert_array_equal(plan.rectangle, [0, 150, 150, 300])
    np.testing.assert_array_equal(plan.placed, [0, 0, 150, 150])  # the pixels are made straight
    np.testing.assert_allclose(plan.boxes, [[0.0, 0.75, 0.25, 1.0]], atol=1e-6)


@pytest.mark.parametrize("flip", [0.4, 0.9], ids=["mirrored", "straight"])
def test_a_window_that_misses_the_picture_has_an_empty_rectangle(flip):
    # Canvas 400x400, picture in the lower right; a window of scale 0.3 in the upper left.
    windows = [[0, 0]] * 4
    windows[1] = [0, 0.5]
    uniforms = one_trial(
        expand=0.1, ratio=1.0, y=0.999, x=0.999, pick=0.999, flip=flip, windows=windows
    )
    plan = frame(BOX, [100, 100], uniforms)
    assert plan.mirrored == (flip < 0.5)
    np.testing.assert_array_equal(plan.rectangle, [0, 0, 0, 0])
    assert plan.window[2:].tolist() == [1, 1]
    assert not plan.kept.any()


def test_no_objects_yield_only_the_whole_canvas():
    for seed in range(20):
        uniforms = np.random.default_rng(seed).random(14)
        assert frame(np.zeros((0, 4)), [120, 90], uniforms).sampler == 0


@pytest.mark.parametrize("augmentation", ["flip", "none"])
def test_without_ssd_augmentation_the_whole_picture_is_shown(augmentation):
    options = FramingOptions(augmentation=augmentation)
    mirrored = 0
    for seed in range(40):
        uniforms = np.random.default_rng(seed).random(framing.num_uniforms(options))
        plan = frame(BOX, [77, 123], uniforms, options)
        np.testing.assert_array_equal(plan.window, [0, 0, 77, 123])
        np.testing.assert_array_equal(plan.rectangle, [0, 0, 300, 300])
        mirrored += int(plan.mirrored)
    assert (10 < mirrored < 30) if augmentation == "flip" else mirrored == 0


def draw_many(boxes, count, **options):
    options = FramingOptions(**options)

    shape = [count, framing.num_uniforms(options)]
    plan = framing.frame(
        tf.tile(boxes[tf.newaxis], [count, 1, 1]),
        tf.ones([count, len(boxes)], tf.bool),
        tf.tile([[375, 500]], [count, 1]),
        tf.random.stateless_uniform(shape, [3, 0], alg="philox"),
        output_size=300,
        options=options,
    )
    return framing.Frame(*(value.numpy() for value in plan))


@pytest.fixture(scope="module")
def many():
    """2000 frames of a picture with three objects, by the original's settings."""
    boxes = tf.constant([[0.1, 0.1, 0.3, 0.25], [0.3, 0.4, 0.9, 0.8], [0.05, 0.6, 0.2, 0.95]])
    return boxes.numpy(), draw_many(boxes, 2000)


def test_every_sampler_keeps_its_threshold_for_some_object():
    # Without zoom-out a window is the crop; the large object lets even 0.9 succeed.
    boxes = np.float32([[0.1, 0.1, 0.9, 0.9], [0.3, 0.4, 0.6, 0.6]])
    frames = draw_many(tf.constant(boxes), 3000, max_expansion=1.0)
    window = frames.window / np.float32([375, 500, 375, 500])
    low, high = window[:, None, :2], window[:, None, :2] + window[:, None, 2:]
    sides = np.minimum(high, boxes[:, 2:]) - np.maximum(low, boxes[:, :2])
    overlap = np.maximum(sides, 0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    iou = (overlap / (window[:, 2:].prod(-1)[:, None] + area - overlap)).max(1)
    for sampler, threshold in enumerate((0.1, 0.3, 0.5, 0.7, 0.9), start=1):
        of_sampler = iou[frames.sampler == sampler]
        assert len(of_sampler) > 30
        # Truncation to whole pixels moves the IoU by less than a hundredth here.
        assert of_sampler.min() > threshold - 0.01
        assert of_sampler.min() < threshold + 0.1
    assert iou[frames.sampler == 6].min() < 0.1


def test_whole_canvas_and_any_window_are_picked_most(many):
    share = np.bincount(many[1].sampler, minlength=7) / 2000
    # They always yield: at least a seventh each; the stricter a threshold, the rarer.
    assert share[0] > 1 / 7 - 0.03
    assert share[6] > 1 / 7 - 0.03
    assert (np.diff(share[1:6]) < 0).all()


def test_half_of_all_samples_are_mirrored(many):
    assert abs(many[1].mirrored.mean() - 0.5) < 0.04


def test_windows_and_rectangles_stay_inside(many):
    window, rectangle = many[1].window, many[1].rectangle
    assert (window[:, :2] >= 0).all()
    assert (window[:, 2:] >= 1).all()
    assert (window[:, 0] + window[:, 2] <= 375).all()
    assert (window[:, 1] + window[:, 3] <= 500).all()
    assert rectangle.min() >= 0
    assert rectangle.max() <= 300


def test_kept_boxes_have_their_centre_in_the_window_and_lie_in_the_rectangle(many):
    boxes, frames = many
    kept, rectangle = frames.kept, frames.rectangle[:, None, :] / 300
    assert 0.3 < kept.mean() < 0.95
    low = np.where(kept[..., None], frames.boxes[..., :2] - rectangle[..., :2], 0)
    high = np.where(kept[..., None], rectangle[..., 2:] - frames.boxes[..., 2:], 0)
    assert low.min() > -1e-6
    assert high.min() > -1e-6
    sides = frames.boxes[..., 2:] - frames.boxes[..., :2]
    assert (sides[kept] > 0).all()
    # An object whose centre lies in the shown part of the picture is kept, any other is not.
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 * [375, 500]
    window = frames.window[:, None, :]
    shown = (centers > window[..., :2] + 1).all(-1) & (
        centers < (window[..., :2] + window[..., 2:]) - 1
    ).all(-1)
    seen = rectangle[:, 0, 2:].max(-1) > 0
    assert kept[shown & seen[:, None]].all()
