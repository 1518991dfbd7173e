"""Zoom-out as it is distributed, and what the options of a frame change, by hand."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.data import framing, pipeline
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.options import FramingOptions, InputOptions
from ssd_tfrecord.records.manifest import Manifest

COUNT = 20_000
SIZE = (375, 500)
ONE_TRIAL = {"crop_trials": 1, "crop_min_ious": (0.5,)}
FLIP = 4  # the column of the uniforms


def draw(boxes, uniforms, size=SIZE, output_size=300, reduces=False, **options):
    """The frames of as many pictures as ``uniforms`` has rows."""
    boxes = np.tile(np.reshape(np.float32(boxes), [1, -1, 4]), [len(uniforms), 1, 1])
    plan = framing.frame(
        tf.constant(boxes),
        tf.ones(boxes.shape[:2], tf.bool),
        tf.constant([size] * len(uniforms)),
        tf.constant(uniforms, tf.float32),
        output_size=output_size,
        options=FramingOptions(**options),
        reduces=reduces,
    )
    return framing.Frame(*(value.numpy() for value in plan))


def random_uniforms(count, **options):
    shape = [count, framing.num_uniforms(FramingOptions(**options))]
    return np.random.default_rng(1).random(shape)


@functools.cache
def zoomed_out(max_expansion):
    """Canvases and offsets in pixels, float [M, 2] each."""
    options = {**ONE_TRIAL, "max_expansion": max_expansion}
    uniforms = random_uniforms(COUNT, **options)
    uniforms[:, FLIP] = 0.9  # not mirrored
    # Without objects the window is the canvas, and so fine a sample shows whole pixels of it.
    rectangle = draw([], uniforms, output_size=1_000_000, **options).rectangle / 1_000_000
    canvas = SIZE / (rectangle[:, 2:] - rectangle[:, :2])
    return canvas, rectangle[:, :2] * canvas


def unevenness(values):
    """Kolmogorov's distance from U(0, 1), as a multiple of what chance exceeds at 5 sigma."""
    ranks = np.arange(len(values) + 1) / len(values)
    values = np.sort(values)
    distance = max(np.abs(values - ranks[1:]).max(), np.abs(values - ranks[:-1]).max())
    return distance / np.sqrt(np.log(2 / 5.7e-7) / 2 / len(values))


@pytest.mark.parametrize("max_expansion", [4.0, 2.0])
def test_half_the_pictures_are_zoomed_out_evenly_at_whole_pixels(max_expansion):
    canvas, offset = zoomed_out(max_expansion)
    for values in (canvas, offset):
        assert np.abs(values - np.round(values)).max() < 0.02
    zoomed = canvas[:, 1] > 500.5
    # 5 standard errors; and ratios below 1.002, 0.2 % of them at most, do not gain a pixel.
    assert abs(zoomed.mean() - 0.5) < 5 * 0.5 / np.sqrt(COUNT) + 0.002
    ratio = canvas[zoomed, 1] / 500
    assert max_expansion - 0.01 < ratio.max() < max_expansion
    # Half a pixel, for the truncation, is at most 0.1 % of the range of ratios.
    assert unevenness((ratio + 0.001 - 1) / (max_expansion - 1)) < 1


def test_the_picture_lies_evenly_on_the_canvas_in_both_directions():
    canvas, offset = zoomed_out(4.0)
    roomy = canvas[:, 0] > 2 * 375
    places = (offset[roomy] + 0.5) / (canvas - SIZE)[roomy]
    assert unevenness(places[:, 0]) < 1
    assert unevenness(places[:, 1]) < 1
    assert abs(np.corrcoef(places.T)[0, 1]) < 5 / np.sqrt(len(places))


def test_an_expansion_of_1_zooms_out_never():
    canvas, offset = zoomed_out(1.0)
    np.testing.assert_array_equal(canvas, [SIZE] * COUNT)
    assert not offset.any()


@pytest.mark.parametrize(("augmentation", "mirrored"), [("none", 0.0), ("flip", 0.5)])
def test_without_crop_the_whole_picture_is_shown(augmentation, mirrored):
    boxes = np.float32([[0.25, 0.125, 0.5, 1.0], [0.0, 0.0, 0.01, 0.01]])
    uniforms = random_uniforms(2000, augmentation=augmentation)
    assert uniforms.shape[1] == 5  # no crop's among them
    frames = draw(boxes, uniforms, augmentation=augmentation)
    np.testing.assert_array_equal(frames.window, [[0, 0, *SIZE]] * 2000)
    np.testing.assert_array_equal(frames.rectangle, [[0, 0, 300, 300]] * 2000)
    assert frames.kept.all()
    assert abs(frames.mirrored.mean() - mirrored) < 5 * 0.5 / np.sqrt(2000) * (mirrored > 0) + 1e-9
    flipped = np.stack([boxes[:, 0], 1 - boxes[:, 3], boxes[:, 2], 1 - boxes[:, 1]], axis=1)
    expected = np.where(frames.mirrored[:, None, None], flipped, boxes)
    np.testing.assert_allclose(frames.boxes, expected, atol=1e-6)


def kept(min_box_size, boxes, **changes):
    """Which objects of a picture of 200 x 400 remain: whole, or of its middle rows 50…150."""
    # Scale 0.3 + 0.7 · 2/7 = 0.5, aspect 0.5 + 1.5 · 1/3 = 1, in the middle, by the last sampler.
    windows = [[0, 2 / 7], [0, 1 / 3], [0, 0.5], [0, 0.5]]
    uniforms = [0.9, 0.0, 0.0, 0.0, 0.9, 0.999, *np.ravel(windows)]
    options = {**ONE_TRIAL, "min_box_size": min_box_size, **changes}
    if "augmentation" in changes:
        uniforms = uniforms[:5]
    frames = draw(boxes, [uniforms], size=(200, 400), **options)
    return frames.kept[0].tolist()


def test_boxes_are_dropped_where_either_side_is_too_small():
    # 1/32 of 300 pixels is 9.375.
    boxes = [[0, 0, 1 / 32, 0.5], [0, 0, 0.5, 1 / 32], [0, 0, 0.5, 0.5]]
    assert kept(0.0, boxes, augmentation="none") == [True, True, True]
    assert kept(9.375, boxes, augmentation="none") == [True, True, True]
    assert kept(9.5, boxes, augmentation="none") == [False, False, True]
    assert kept(150.5, boxes, augmentation="none") == [False, False, False]


def test_what_the_crop_leaves_of_a_box_decides():
    # Rows 40…68 of 200 are 42 pixels of the whole picture; of the crop's rows 50…150 they are
    # 50…68, its first 18 of 100: 54 pixels.
    boxes = [[0.2, 0.25, 0.34, 0.75]]
    assert kept(42.5, boxes, augmentation="none") == [False]
    assert kept(53.9, boxes) == [True]
    assert kept(54.1, boxes) == [False]


def test_a_box_that_is_too_small_is_no_target(tiny_records):
    manifest = Manifest.load(tiny_records)
    options = InputOptions(framing=FramingOptions(augmentation="none", min_box_size=64.0))
    dataset = pipeline.batches(
        RecordReader([manifest]), options, input_size=64, batch_size=manifest.num_records, seed=1
    )
    batch = next(dataset.as_numpy_iterator())
    # One object of seven fills its picture, the cat of the first.
    assert batch.labels[batch.labels > 0].tolist() == [1]
    np.testing.assert_array_equal(batch.boxes[batch.labels > 0], [[0, 0, 1, 1]])
    assert not batch.boxes[batch.labels == 0].any()


def test_a_strip_too_narrow_for_reduced_decoding_is_decoded_whole():
    # A picture of 101 x 101 on 202 x 202, and a window of half of that from row 99 on: it shows
    # rows 99 and 100, as one row of a sample of 30; at half the size a pixel is rows 98 and 99.
    windows = [[0, 2 / 7], [0, 1 / 3], [0, 99.5 / 101], [0, 0]]
    uniforms = [0.1, 1 / 3, 0.0, 0.0, 0.9, 0.999, *np.ravel(windows)]
    frames = draw([[0, 0, 1, 1]], [uniforms], (101, 101), 30, reduces=True, **ONE_TRIAL)
    np.testing.assert_array_equal(frames.window, [[99, 0, 2, 101]])
    np.testing.assert_array_equal(frames.rectangle, [[0, 0, 1, 30]])
    assert frames.reduction == [1]
