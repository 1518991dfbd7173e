"""Colour distortion against 8-bit arithmetic on integers, operation by operation."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.pixels import color

IDENTITY = np.float32(color.IDENTITY)


def colours():
    """A dense sample of the colour cube, [1, N, 1, 3] uint8: every 15th level, and all greys."""
    axis = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    return np.concatenate([cube, greys])[None, :, None, :]


def parameters(**values):
    names = {"brightness": 0, "contrast": 1, "saturation": 2, "hue": 3, "contrast_first": 4}
    row = IDENTITY.copy()
    for name, value in values.items():
        row[names[name]] = value
    return row[None]


def distort(images, **values):
    return color.distort(images, tf.constant(parameters(**values))).numpy()


def twin_hsv(pixel):
    """OpenCV's 8-bit HSV of one pixel, in integers with 12-bit division tables."""
    r, g, b = (int(c) for c in pixel)
    v, low = max(r, g, b), min(r, g, b)
    diff = v - low
    s_table = round((255 << 12) / v) if v else 0
    h_table = round((180 << 12) / (6 * diff)) if diff else 0
    if v == r:
        h = g - b
    elif v == g:
        h = b - r + 2 * diff
    else:
        h = r - g + 4 * diff
    h = (h * h_table + (1 << 11)) >> 12
    return h + 180 if h < 0 else h, (diff * s_table + (1 << 11)) >> 12, v


def twin_rgb(h, s, v):
    """Back by the six sectors of the hue."""
    sector, part = divmod(h * 6 / 180, 1.0)
    s, v = s / 255, v / 255
    table = [v, v * (1 - s), v * (1 - s * part), v * (1 - s * (1 - part))]
    # rows: which of the table is (b, g, r) in the sector
    rows = [(1, 3, 0), (1, 0, 2), (3, 0, 1), (0, 2, 1), (0, 1, 3), (2, 1, 0)]
    b, g, r = (table[i] for i in rows[int(sector) % 6])
    return [int(np.clip(np.rint(c * 255), 0, 255)) for c in (r, g, b)]


def test_hsv_equals_the_integer_twin():
    image = colours()
    planes = tf.unstack(tf.cast(image, tf.float32), axis=-1)
    got = np.stack([plane.numpy() for plane in color.rgb_to_hsv(*planes)], axis=-1)
    want = np.array([twin_hsv(pixel) for pixel in image.reshape(-1, 3)])
    np.testing.assert_array_equal(got.reshape(-1, 3), want)


def test_rgb_equals_the_sector_twin_to_a_level():
    rng = np.random.default_rng(2)
    hsv = rng.integers(0, 256, (5000, 3))
    planes = color.hsv_to_rgb(*tf.unstack(tf.cast(hsv, tf.float32), axis=-1))
    got = np.stack(planes, axis=-1)
    want = np.array([twin_rgb(*row) for row in hsv])
    assert np.abs(got - want).max() <= 1
    assert (got != want).mean() < 1e-3


@pytest.mark.parametrize("factor", [0.5, 1.37])
def test_saturation(factor):
    image = colours()
    want = []
    for pixel in image.reshape(-1, 3):
        h, s, v = twin_hsv(pixel)
        want.append(twin_rgb(h, int(np.clip(np.rint(s * np.float32(factor)), 0, 255)), v))
    got = distort(image, saturation=factor).reshape(-1, 3)
    assert np.abs(got - want).max() <= 1


@pytest.mark.parametrize("delta", [-17.6, -1.0, 12.3])
def test_hue_saturates_below_and_goes_round_above(delta):
    image = colours()
    want = []
    for pixel in image.reshape(-1, 3):
        h, s, v = twin_hsv(pixel)
        want.append(twin_rgb(int(np.clip(np.rint(h + np.float32(delta)), 0, 255)), s, v))
    got = distort(image, hue=delta).reshape(-1, 3)
    assert np.abs(got - want).max() <= 1


def test_pure_red_stays_red_below_zero():
    red = np.uint8([[[[255, 0, 0]]]])
    np.testing.assert_array_equal(distort(red, hue=-10.0), np.float32(red))


@pytest.mark.parametrize(
    ("values", "level", "want"),
    [
        ({"brightness": 20.4}, 100, 120),
        ({"brightness": -32.0}, 10, 0),
        ({"contrast": 1.5}, 201, 255),
        ({"contrast": 0.5}, 101, 50),  # 50.5 rounds to even
        ({"brightness": 10.0, "contrast": 1.5}, 20, 45),  # brightness comes first
        ({"brightness": 10.0, "contrast": 1.5, "contrast_first": 0.0}, 20, 45),
    ],
)
def test_brightness_and_contrast_by_hand(values, level, want):
    got = distort(np.full((1, 1, 1, 3), level, np.uint8), **values)
    np.testing.assert_array_equal(got, np.full((1, 1, 1, 3), want))


def test_order_of_contrast_and_saturation_matters_and_is_obeyed():
    pixel = np.uint8([[[[200, 40, 40]]]])
    values = {"contrast": 1.5, "saturation": 0.5}
    # First contrast: (255, 60, 60), S 195 -> 98 (97.5 to even): V (1 - 98/255) = 157.
    np.testing.assert_array_equal(distort(pixel, **values), [[[[255, 157, 157]]]])
    # First saturation: S 204 -> 102: (200, 120, 120), then x 1.5.
    last = distort(pixel, contrast_first=0.0, **values)
    np.testing.assert_array_equal(last, [[[[255, 180, 180]]]])


def test_identity_is_exact():
    image = colours()
    np.testing.assert_array_equal(distort(image), np.float32(image))


def test_prepare_fills_outside_the_rectangle_with_the_mean_after_distortion():
    images = tf.fill([2, 4, 4, 3], tf.constant(200, tf.uint8))
    rectangles = tf.constant([[1, 0, 3, 2], [0, 0, 0, 0]])
    rows = np.concatenate([parameters(brightness=10.0), parameters()])
    got = color.prepare(images, rectangles, tf.constant(rows)).numpy()
    want = np.zeros((2, 4, 4, 3), np.float32)
    want[0, 1:3, 0:2] = np.float32([210 - 123, 210 - 117, 210 - 104])
    np.testing.assert_array_equal(got, want)


def test_compiled_equals_eager():
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    rows = np.float32(
        [[5.3, 1.21, 0.693, -9.2, 1], [-20, 0.618, 1.414, 15.1, 0], IDENTITY, [0, 1, 1.307, 0, 1]]
    )
    compiled = color.distort(images, tf.constant(rows))
    tf.config.run_functions_eagerly(True)
    try:
        eager = color.distort(images, tf.constant(rows))
    finally:
        tf.config.run_functions_eagerly(False)
    difference = np.abs(compiled - eager)
    # Fused arithmetic may round a tie the other way: a level, and hardly ever.
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3
