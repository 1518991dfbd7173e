"""Rendering: window decoding equals the full decode, no shift, no border lost."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.data import rendering


def jpeg(pixels, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=92, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def photo():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return np.array(Image.fromarray(coarse).resize((161, 117), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    "window",
    [(0, 0, 117, 161), (5, 0, 30, 161), (7, 1, 20, 33), (50, 130, 67, 31), (116, 160, 1, 1)],
    ids=str,
)
@pytest.mark.parametrize("subsampling", [0, 2], ids=["4:4:4", "4:2:0"])
def test_window_equals_pillow_s_full_decode_to_the_bit(photo, window, subsampling):
    encoded = jpeg(photo, subsampling=subsampling)
    full = np.array(Image.open(io.BytesIO(encoded)))
    np.testing.assert_array_equal(rendering.decode_whole(encoded, full.shape[:2]), full)
    y, x, height, width = window
    got = rendering.decode_window(encoded, tf.constant(window), tf.constant(full.shape[:2]))
    np.testing.assert_array_equal(got, full[y : y + height, x : x + width])


def render(encoded, window, rectangle, *, output_size):
    plan = {"window": tf.constant([window]), "placed": tf.constant([rectangle])}
    size = tf.io.extract_jpeg_shape(encoded)[:2]
    images = rendering.render_batch(
        plan,
        lambda sample: rendering.decode_window(encoded, sample["window"], size),
        output_size=output_size,
    )
    return images.numpy()[0]


def test_pixels_land_in_the_rectangle_and_nowhere_else():
    encoded = jpeg(np.full((40, 60, 3), 180, np.uint8))
    got = render(encoded, [0, 0, 40, 60], [10, 20, 50, 90], output_size=100)
    assert (np.abs(got[10:50, 20:90].astype(int) - 180) <= 1).all()
    got[10:50, 20:90] = 0
    assert not got.any()


def test_an_empty_rectangle_is_a_sample_too():
    encoded = jpeg(np.full((40, 60, 3), 180, np.uint8))
    got = render(encoded, [39, 59, 1, 1], [0, 0, 0, 0], output_size=100)
    assert got.shape == (100, 100, 3)


def test_an_edge_stays_where_it_is_when_enlarged():
    # Left half 40, right half 200; 4:4:4 so that chroma does not blur it. At 3x the edge lies
    # exactly between columns 239 and 240: a half-pixel shift would move the middle grey.
    pixels = np.full((80, 160, 3), 40, np.uint8)
    pixels[:, 80:] = 200
    encoded = jpeg(pixels, subsampling=0)
    got = render(encoded, [0, 0, 80, 160], [0, 0, 240, 480], output_size=480)
    got = got[120, :, 0].astype(int)
    assert got[239] < 120 < got[240]
    assert abs((got[239] - 40) - (200 - got[240])) <= 4


def test_border_pixels_are_the_pictures_own():
    pixels = np.full((64, 64, 3), 60, np.uint8)
    pixels[:8] = 220
    encoded = jpeg(pixels, subsampling=0)
    got = rendering.render_whole(encoded, [64, 64], output_size=300).numpy()[:, :, 1].astype(int)
    assert (np.abs(got[:30] - 220) <= 3).all()
    assert (np.abs(got[50:] - 60) <= 3).all()


def test_grey_jpeg_becomes_rgb():
    encoded = jpeg(np.full((20, 20), 90, np.uint8))
    assert rendering.render_whole(encoded, [20, 20], output_size=30).shape == (30, 30, 3)
