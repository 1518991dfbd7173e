"""Resizing against exact arithmetic."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.pixels import resampling

SHAPES = [
    ((37, 50), (30, 30)),
    ((18, 24), (30, 41)),
    ((60, 81), (15, 7)),
    ((9, 8), (9, 8)),
    ((1, 1), (3, 2)),
    ((2, 30), (1, 1)),
]


def noise(shape):
    return np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3)).astype(np.uint8)


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
