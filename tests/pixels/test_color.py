"""Colour distortion judged by OpenCV, operation by operation and whole."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from original_twin import distort
from PIL import Image

from ssd_tfrecord.options import ColorOptions
from ssd_tfrecord.pixels import color

NAMES = {"brightness": 0, "contrast": 1, "saturation": 2, "hue": 3, "contrast_first": 4}
ORIGINAL = ColorOptions()
FAST = ColorOptions(color="fast")


def parameters(**values):
    row = np.float32(color.IDENTITY)
    for name, value in values.items():
        row[NAMES[name]] = value
    return row


def paint(images, rows, options=ORIGINAL):
    batch, height, width, _ = images.shape
    whole = tf.tile([[0, 0, height, width]], [batch, 1])
    return color.paint(images, whole, tf.constant(rows), options=options).numpy()


@pytest.fixture(scope="module")
def colours():
    """[N, 1, 3] uint8: every 3rd level of each channel, all greys, and random ones."""
    axis = np.arange(0, 256, 3, dtype=np.uint8)
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    others = np.random.default_rng(0).integers(0, 256, (100_000, 3)).astype(np.uint8)
    return np.concatenate([cube, greys, others])[:, None, :]


def test_hsv_equals_opencv(colours):
    planes = tf.unstack(tf.cast(colours, tf.float32), axis=-1)
    got = tf.stack(color.rgb_to_hsv(planes), axis=-1)
    np.testing.assert_array_equal(got, cv2.cvtColor(colours, cv2.COLOR_RGB2HSV))


@pytest.mark.parametrize(
    "values",
    [
        {"brightness": 31.7},
        {"brightness": -32.0},
        {"contrast": 0.5},
        {"contrast": 1.4999},
        {"saturation": 0.5},
        {"saturation": 1.37},
        {"hue": -17.6},
        {"hue": -1.0},
        {"hue": 12.3},
        {"hue": 18.0},
    ],
    ids=str,
)
def test_an_operation_is_within_a_level_of_distort(colours, values):
    row = parameters(**values)
    difference = np.abs(paint(colours[None], [row])[0].astype(int) - distort(colours, row))
    if values.keys() & {"saturation", "hue"}:
        # Halves, for which OpenCV's floats go either way; they abound on this grid.
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01
    else:
        assert difference.max() == 0


@pytest.mark.parametrize("first", [0.0, 1.0], ids=["contrast_last", "contrast_first"])
def test_the_whole_distortion_equals_opencv_but_for_halves(colours, first):
    rng = np.random.default_rng(1)
    for _ in range(4):
        drawn = rng.uniform([-32, 0.5, 0.5, -18], [32, 1.5, 1.5, 18])
        row = np.float32([*drawn, first])
        difference = np.abs(paint(colours[None], [row])[0].astype(int) - distort(colours, row))
        # A half that went the other way can turn the hue that is taken next, by a unit.
        assert (difference > 1).mean() < 2e-4
        assert (difference > 0).mean() < 0.01


def test_opencv_in_its_vectorised_path_is_a_level_darker_at_most(colours):
    row = parameters(hue=12.3)
    difference = paint(colours[None], [row])[0] - distort(colours.reshape(1, -1, 3), row).astype(
        int
    ).reshape(-1, 1, 3)
    assert set(np.unique(difference)) == {0, 1}


@pytest.mark.parametrize(
    ("values", "pixel", "want"),
    [
        ({"brightness": 20.4}, (100, 0, 250), (120, 20, 255)),
        ({"brightness": -32.0}, (10, 32, 40), (0, 0, 8)),
        ({"contrast": 0.5}, (101, 103, 1), (50, 52, 0)),  # halves go to even
        ({"brightness": 10.0, "contrast": 1.5}, (20, 0, 200), (45, 15, 255)),
        ({"brightness": 10.0, "contrast": 1.5, "contrast_first": 0.0}, (20,) * 3, (45,) * 3),
        # Red, which is hue 0, stays red below 0; green, 60, goes 10 units towards yellow.
        ({"hue": -10.0}, (255, 0, 0), (255, 0, 0)),
        ({"hue": -10.0}, (0, 255, 0), (85, 255, 0)),
        # As does what rounds to 0 from below.
        ({"hue": -10.0}, (200, 50, 51), (200, 50, 50)),
        # 170 goes round: 170 + 15 = 185, which is 5: a sixth of the way to yellow, 42.5.
        ({"hue": 15.0}, (255, 0, 85), (255, 42, 0)),
        # First contrast: (255, 60, 60), S 195 -> 98 (97.5 to even): V (1 - 98/255) = 157.
        ({"contrast": 1.5, "saturation": 0.5}, (200, 40, 40), (255, 157, 157)),
        # First saturation: S 204 -> 102: (200, 120, 120), then x 1.5.
        (
            {"contrast": 1.5, "saturation": 0.5, "contrast_first": 0.0},
            (200, 40, 40),
            (255, 180, 180),
        ),
    ],
    ids=str,
)
def test_by_hand(values, pixel, want):
    image = np.uint8([[[pixel]]])
    np.testing.assert_array_equal(paint(image, [parameters(**values)]), [[[want]]])
    # fast rounds once, at the end.
    fast = paint(image, [parameters(**values)], FAST).astype(int)
    assert np.abs(fast - [[[want]]]).max() <= 1


@pytest.mark.parametrize("options", [ORIGINAL, FAST], ids=["original", "fast"])
def test_identity_is_exact(colours, options):
    np.testing.assert_array_equal(paint(colours[None], [color.IDENTITY], options)[0], colours)


@pytest.mark.parametrize("options", [ORIGINAL, FAST], ids=["original", "fast"])
def test_mirrored_then_filled(options):
    images = np.zeros((3, 2, 4, 3), np.uint8)
    images[:, :, :] = np.uint8([0, 50, 100, 150])[:, None]
    rows = [parameters(brightness=10.0), parameters(), parameters()]
    rectangles = [[0, 1, 1, 4], [0, 0, 0, 0], [0, 0, 2, 4]]
    mirrored = tf.constant([True, True, False])
    got = color.paint(images, tf.constant(rectangles), tf.constant(rows), mirrored, options).numpy()
    want = np.tile(np.uint8(color.MEAN_RGB), (3, 2, 4, 1))
    # 150 100 50 0, of which the first is outside, and brighter by 10.
    want[0, 0, 1:] = np.uint8([110, 60, 10])[:, None]
    want[2] = np.uint8([0, 50, 100, 150])[:, None]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", ["original", "fast"])
def test_host_and_device_give_the_same_bits(kind):
    rng = np.random.default_rng(4)
    options = ColorOptions(color=kind)
    images = rng.integers(0, 256, (4, 33, 47, 3)).astype(np.uint8)
    rows = np.float32([[5.3, 1.2, 0.7, -9, 1], [-20, 0.6, 1.4, 15, 0], color.IDENTITY, [0] * 5])
    rectangles = np.int32([[0, 0, 33, 47], [5, 7, 20, 40], [1, 0, 33, 46], [0, 0, 0, 0]])
    batch = (images, rectangles, rows, np.array([True, False, True, False]))

    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(4, drop_remainder=True)
    dataset = dataset.map(lambda *batch: color.paint(*batch, options), tf.data.AUTOTUNE)
    host = color.subtract_mean(next(iter(dataset))).numpy()
    plain = tf.function(lambda *batch: color.prepare(*batch, options))
    joined = tf.function(lambda *batch: color.prepare(*batch, options), jit_compile=True)
    assert host.dtype == np.float32
    np.testing.assert_array_equal(plain(*batch), host)
    np.testing.assert_array_equal(joined(*batch), host)


def test_original_is_the_same_uncompiled(colours):
    rows = np.float32([[5.3, 1.21, 0.693, -9.2, 1], [-20, 0.618, 1.414, 15.1, 0]])
    images = np.stack([colours[::17]] * 2)
    compiled = paint(images, rows)
    tf.config.run_functions_eagerly(True)
    try:
        uncompiled = paint(images, rows)
    finally:
        tf.config.run_functions_eagerly(False)
    np.testing.assert_array_equal(compiled, uncompiled)


def test_fast_is_close_to_the_original_on_photographs(real_data):
    files = sorted((real_data / "VOCdevkit/VOC2012/JPEGImages").glob("*.jpg"))[:32]
    photos = [Image.open(file).convert("RGB").resize((150, 150)) for file in files]
    images = np.stack([np.array(photo) for photo in photos])
    rng = np.random.default_rng(5)
    drawn = rng.uniform([-32, 0.5, 0.5, -18], [32, 1.5, 1.5, 18], (32, 4))
    drawn = np.where(rng.uniform(size=(32, 4)) < 0.5, drawn, color.IDENTITY[:4])
    rows = np.float32(np.concatenate([drawn, rng.integers(0, 2, (32, 1))], axis=1))
    difference = np.abs(paint(images, rows).astype(int) - paint(images, rows, FAST))
    assert difference.mean() < 0.25
    assert np.percentile(difference, 99) <= 2
    assert (difference > 4).mean() < 1e-3
