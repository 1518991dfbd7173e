"""Resizing against exact arithmetic and against OpenCV."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.pixels import resampling

SHAPES = [
    ((37, 50), (30, 30)),
    ((18, 24), (30, 41)),
    ((60, 81), (15, 7)),
    ((9, 8), (9, 8)),
    ((1, 1), (3, 2)),
    ((2, 30), (1, 1)),
]
OPENCV = {
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
# Largest mean absolute difference from OpenCV, in levels.
CLOSENESS = {"linear": 0.15, "area": 0.5, "nearest": 0.8, "cubic": 0.8, "lanczos": 0.4}


def noise(shape):
    return np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3)).astype(np.uint8)


def resample_as(pixels, shape, name):
    kind = tf.constant(resampling.KINDS.index(name))
    return resampling.resample_as(pixels, tf.constant(shape), kind).numpy()


def bilinear(pixels, shape):
    """Exact, one axis after the other; pixel i has its centre at i + 1/2."""
    values = pixels.astype(np.float64)
    for size in shape:
        old = values.shape[0]
        centres = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = np.floor(centres).astype(int)
        share = (centres - low)[:, None, None]
        values = values[low] * (1 - share) + values[np.minimum(low + 1, old - 1)] * share
        values = values.swapaxes(0, 1)
    return values


@pytest.mark.parametrize(("old", "new"), SHAPES, ids=str)
def test_bilinear_is_exact_to_its_rounding(old, new):
    pixels = noise(old)
    got = resampling.resample(pixels, tf.constant(new)).numpy()
    assert got.dtype == np.uint8
    assert np.abs(got - bilinear(pixels, new)).max() < 0.501


def test_bilinear_by_hand():
    pixels = np.uint8([[[0, 8, 255], [100, 8, 0]]])
    # Twice as wide, the centres lie at -1/4, 1/4, 3/4, 5/4: the first and last are the borders'.
    want = np.uint8([[[0, 8, 255], [25, 8, 191], [75, 8, 64], [100, 8, 0]]])
    np.testing.assert_array_equal(resampling.resample(pixels, [1, 4]), want)


def test_many_pixels_give_the_very_levels_of_few(monkeypatch):
    """Whether all pixels become floats or only those that are read, in a graph and outside."""
    random = np.random.default_rng(0)
    shapes = [*random.integers(1, 400, (40, 2)).tolist(), (1, 900), (900, 1), (1200, 1600)]
    in_graph = tf.function(
        resampling.resample,
        input_signature=[tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([2], tf.int32)],
    )
    for shape in shapes:
        pixels = random.integers(0, 256, (*shape, 3)).astype(np.uint8)
        for new in ([30, 30], [64, 17]):
            found = []
            for many in (0, 10**6):
                monkeypatch.setattr(resampling, "_MANY", many)
                found.append(resampling.resample(pixels, new).numpy())
            np.testing.assert_array_equal(*found)
            np.testing.assert_array_equal(in_graph(pixels, new), found[0])


@pytest.mark.parametrize("name", resampling.KINDS)
@pytest.mark.parametrize(("old", "new"), SHAPES, ids=str)
def test_any_shape_comes_out_as_levels(old, new, name):
    got = resample_as(noise(old), new, name)
    assert got.dtype == np.uint8
    assert got.shape == (*new, 3)
    if old == new:
        np.testing.assert_array_equal(got, noise(old))


@pytest.mark.parametrize("name", resampling.KINDS)
def test_overshoot_saturates(name):
    edge = np.zeros((8, 8, 3), np.uint8)
    edge[:, 4:] = 255
    got = resample_as(edge, (20, 20), name)
    assert got.min() == 0
    assert got.max() == 255
    # Neither side wraps: the left stays dark and the right bright.
    assert got[:, :8].max() < 64
    assert got[:, 12:].min() > 192


@pytest.mark.parametrize("name", resampling.KINDS)
def test_close_to_opencv_on_a_drawn_picture(name):
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8))
    _assert_close(np.array(coarse.resize((240, 180), Image.Resampling.BICUBIC)), name)


@pytest.mark.parametrize("name", resampling.KINDS)
def test_close_to_opencv_on_photographs(real_data, name):
    for file in sorted((real_data / "VOCdevkit/VOC2012/JPEGImages").glob("*.jpg"))[:4]:
        _assert_close(np.array(Image.open(file).convert("RGB")), name)


def _assert_close(pixels, name):
    # Another kind is off by 1.2 levels and more, in one of these sizes at least.
    for height, width in [(300, 300), (150, 180), (600, 700)]:
        want = cv2.resize(pixels, (width, height), interpolation=OPENCV[name])
        difference = np.abs(resample_as(pixels, (height, width), name).astype(int) - want)
        assert difference.mean() < CLOSENESS[name], (height, width)


def test_in_a_dataset_by_a_drawn_kind():
    pixels = noise((20, 30))
    dataset = tf.data.Dataset.range(5).map(
        lambda kind: resampling.resample_as(pixels, tf.constant([10, 12]), tf.cast(kind, tf.int32))
    )
    got = list(dataset.as_numpy_iterator())
    for name, image in zip(resampling.KINDS, got, strict=True):
        np.testing.assert_array_equal(image, resample_as(pixels, (10, 12), name))
    assert len({image.tobytes() for image in got}) == 5
