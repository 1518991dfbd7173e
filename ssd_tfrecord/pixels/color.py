"""Colours of a batch: SSD's photometric distortion, mirror, mean fill, mean subtraction.

No randomness: the parameters come drawn. Two distortions, of the same ranges and order:

``original`` is Caffe SSD's (im_transforms.cpp) on 8-bit images: every operation rounds and
saturates to 0…255, and HSV is OpenCV's 8-bit one (H 0…179 in units of 2°, S and V 0…255), kept in
float32. Every number is whole or rounded once, so that no order of evaluation can change a level.
Each operation equals OpenCV's but for the halves of HSV2RGB, which go down here and either way in
OpenCV's floats: a level, in 1 of 2,000 to 200 values. (OpenCV 4 cuts off all fractions there, but
in rows too short for its vectors, which it rounds, as it did everywhere in Caffe's days.)

``fast`` changes hue and saturation in one go on real numbers and rounds once, at the end, for 2/3
of the CPU time of ``prepare``. On photographs it differs from ``original`` by 0.19 levels in the
mean and 2 in the 99th percentile; by more than 4 for 2 values in 10,000.
"""

import numpy as np
import tensorflow as tf

from ssd_tfrecord.backbones import MEAN_RGB
from ssd_tfrecord.options import ColorOptions

_DEFAULT = ColorOptions()

# Columns of the colour parameters, float32 [B, 5].
BRIGHTNESS, CONTRAST, SATURATION, HUE, CONTRAST_FIRST = range(5)
IDENTITY = (0.0, 1.0, 1.0, 0.0, 1.0)


# Compiled, for TensorFlow's own broadcast of three channels takes four times as long on a CPU.
@tf.function(jit_compile=True, autograph=False)
def subtract_mean(images):
    """RGB levels [B, H, W, 3] of any dtype minus the mean (123, 117, 104), as float32."""
    return tf.cast(images, tf.float32) - tf.constant(MEAN_RGB)


def prepare(images, rectangles, parameters, mirrored=None, options=_DEFAULT):
    """A training batch as the network takes it: ``subtract_mean(paint(…))`` in one go.

    Returns:
        float32 [B, H, W, 3], RGB minus the mean, the same to the bit.
    """
    return _prepared(images, rectangles, parameters, _flags(mirrored, images), options.color)


def paint(images, rectangles, parameters, mirrored=None, options=_DEFAULT):
    """Mirrors, distorts, and gives every pixel outside the picture the mean, as in zoom-out.

    Args:
        images: uint8 [B, H, W, 3] RGB.
        rectangles: int32 [B, 4] as ymin, xmin, ymax, xmax: the pixels that hold picture, after
            the mirroring. All others are (123, 117, 104) in the result, undistorted.
        parameters: float32 [B, 5]: brightness delta in levels, contrast factor, saturation factor,
            hue delta in OpenCV's units of 2° (-18…18), and 1 where contrast comes before saturation
            and hue, 0 where after them; brightness always comes first. A delta of 0 and a factor
            of 1 leave an image untouched under ``original``.
        mirrored: bool [B], the images to reverse left to right; None for none.
        options: ``ColorOptions``; where it is computed is the caller's affair.

    Returns:
        uint8 [B, H, W, 3].
    """
    return _painted(images, rectangles, parameters, _flags(mirrored, images), options.color)


def _flags(mirrored, images):
    return tf.zeros(tf.shape(images)[:1], tf.bool) if mirrored is None else mirrored


@tf.function(jit_compile=True, autograph=False)
def _prepared(images, rectangles, parameters, mirrored, kind):
    return subtract_mean(_levels(images, rectangles, parameters, mirrored, kind))


@tf.function(jit_compile=True, autograph=False)
def _painted(images, rectangles, parameters, mirrored, kind):
    return tf.cast(_levels(images, rectangles, parameters, mirrored, kind), tf.uint8)


def _levels(images, rectangles, parameters, mirrored, kind):
    """int32 [B, H, W, 3].

    A pixel's three levels are packed into one number: XLA would else compute the past of a channel
    anew for each channel that it is joined with (CPU of TensorFlow 2.15: 4 to 9 ms an image of 300
    x 300 pixels, not 0.6). For the same reason the mirror is a condition, and not a choice alone:
    XLA does not fuse across it.
    """
    planes = [tf.cast(plane, tf.float32) for plane in tf.unstack(images, axis=-1)]
    columns = tf.unstack(parameters[:, tf.newaxis, tf.newaxis, :], axis=3)
    packed = _pack(_DISTORTIONS[kind](planes, columns))
    packed = tf.cond(
        tf.reduce_any(mirrored),
        lambda: tf.where(mirrored[:, tf.newaxis, tf.newaxis], tf.reverse(packed, [2]), packed),
        lambda: packed,
    )
    packed = tf.where(_inside(rectangles, tf.shape(packed)), packed, _pack(MEAN_RGB))
    return tf.bitwise.bitwise_and(
        tf.bitwise.right_shift(packed[..., tf.newaxis], tf.constant([0, 8, 16])), 255
    )


def _pack(planes):
    red, green, blue = planes  # below 2^24, where float32 is exact
    return tf.cast(red + 256.0 * green + 65536.0 * blue, tf.int32)


def _contrasts(columns):
    """Contrast factors before and after saturation and hue; one of them is 1."""
    contrast, first = columns[CONTRAST], columns[CONTRAST_FIRST] > 0.5
    return tf.where(first, contrast, 1.0), tf.where(first, 1.0, contrast)


def _distort_original(planes, columns):
    before, after = _contrasts(columns)
    factor, delta = columns[SATURATION], columns[HUE]
    planes = [_byte(tf.maximum(plane + columns[BRIGHTNESS], 0.0)) for plane in planes]
    planes = [_byte(plane * before) for plane in planes]
    hue, saturation, value = rgb_to_hsv(planes)
    changed = hsv_to_rgb(hue, _byte(saturation * factor), value)
    # The way to HSV and back loses levels, and is not gone where nothing is to be changed.
    planes = [tf.where(factor == 1.0, *pair) for pair in zip(planes, changed)]
    hue, saturation, value = rgb_to_hsv(planes)
    # Below 0 a hue saturates as a byte does; pure red stays red.
    hue = _turn(tf.maximum(tf.round(hue + delta), 0.0))
    changed = hsv_to_rgb(hue, saturation, value)
    planes = [tf.where(delta == 0.0, *pair) for pair in zip(planes, changed)]
    return [_byte(plane * after) for plane in planes]


def _distort_fast(planes, columns):
    before, after = _contrasts(columns)
    planes = [tf.maximum(plane + columns[BRIGHTNESS], 0.0) * before for plane in planes]
    value, spread, hue = _value_spread_hue([tf.minimum(plane, 255.0) for plane in planes])
    hue = hue * 30.0 / tf.maximum(spread, 1e-6)
    # What rounds to 0 stays by 0, where a negative delta saturates, and is not sent round.
    hue = tf.where(hue < -0.5, hue + 180.0, hue)
    hue = tf.maximum(hue + columns[HUE], tf.minimum(hue, 0.0))
    shares = _shares(_turn(_positive(hue)))
    spread = tf.minimum(spread * columns[SATURATION], value)
    return [_byte((value - spread * share / 30.0) * after) for share in shares]


_DISTORTIONS = {"original": _distort_original, "fast": _distort_fast}


def _byte(values):
    """Rounds half to even and saturates above; nothing here is negative."""
    return tf.minimum(tf.round(values), 255.0)


def rgb_to_hsv(planes):
    """OpenCV's 8-bit RGB2HSV: three planes of levels -> planes H, S, V (color_hsv.simd.hpp).

    H and S are fixed-point quotients by 12-bit tables, here round(180·4096 / 6·spread) and
    round(255·4096 / V); all products stay below 2^24, where float32 is exact.
    """
    value, spread, hue = _value_spread_hue(planes)
    hue = _shift_12(hue * tf.round(122880.0 / tf.maximum(spread, 1.0)))
    saturation = _shift_12(spread * tf.round(1044480.0 / tf.maximum(value, 1.0)))
    return _positive(hue), saturation, value


def _value_spread_hue(planes):
    """Maximum, maximum - minimum, and the hue from -1 to 5 sectors, times the spread."""
    red, green, blue = planes
    value = tf.maximum(tf.maximum(red, green), blue)
    spread = value - tf.minimum(tf.minimum(red, green), blue)
    hue = tf.where(
        value == red,
        green - blue,
        tf.where(value == green, blue - red + 2.0 * spread, red - green + 4.0 * spread),
    )
    return value, spread, hue


def _shift_12(values):
    return tf.floor((values + 2048.0) / 4096.0)


def _positive(hue):
    return tf.where(hue < 0.0, hue + 180.0, hue)


def _turn(hue):
    """A changed hue back below 180: above it goes round."""
    return tf.where(hue >= 180.0, hue - 180.0, hue)


def hsv_to_rgb(hue, saturation, value):
    """OpenCV's 8-bit HSV2RGB: planes H 0…179, S, V -> red, green, blue, rounded, ties down.

    A channel is V - V·S·share / (255·30). The half in 3825.5 keeps the quotient further from the
    next whole number than float32 errs.
    """
    product = value * saturation
    return [
        value - tf.floor((product * share + 3825.5) * np.float32(1 / 7650))
        for share in _shares(hue)
    ]


def _shares(hue):
    """What red, green and blue lack of V, in 30ths of the spread: over the six sectors of 30
    units it falls, is 0 for two, rises, and is 30 for two.
    """
    red, green, blue = 60.0 - abs(hue - 90.0), abs(hue - 60.0) - 30.0, abs(hue - 120.0) - 30.0
    return [tf.clip_by_value(share, 0.0, 30.0) for share in (red, green, blue)]


def _inside(rectangles, shape):
    """Bool [B, H, W]: the pixels within ``rectangles``."""
    ymin, xmin, ymax, xmax = tf.unstack(rectangles[:, :, tf.newaxis], axis=1)
    rows, columns = tf.range(shape[1])[tf.newaxis], tf.range(shape[2])[tf.newaxis]
    inside_rows = (rows >= ymin) & (rows < ymax)
    inside_columns = (columns >= xmin) & (columns < xmax)
    return inside_rows[:, :, tf.newaxis] & inside_columns[:, tf.newaxis, :]
