"""Colours of a batch: SSD's photometric distortion, mirror, mean fill, mean subtraction.

Nothing here is random: the parameters are drawn elsewhere. There are two distortions, with the same
ranges and order of operations:

``original`` is Caffe SSD's (im_transforms.cpp) on 8-bit images: every operation rounds and
saturates to 0…255, and HSV is OpenCV's 8-bit one (H 0…179 in units of 2°, S and V 0…255), kept in
float32. Every number is whole or rounded once, so that no order of evaluation can change a level.
Each operation equals OpenCV's except for the halves of HSV2RGB, which are rounded down here and
either way by OpenCV's floats: a difference of one level, in 1 of 2,000 to 1 of 200 values. (OpenCV
4 truncates there, except in rows too short for its vectors, which it rounds, as it did everywhere
in Caffe's days.)

``fast`` changes hue and saturation in one step on real numbers and rounds once, at the end, for 2/3
of the CPU time of ``prepare``. On photographs it differs from ``original`` by 0.19 levels in the
mean and 2 at the 99th percentile, and by more than 4 for 2 values in 10,000.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ssd_tfrecord.backbones import MEAN_RGB
from ssd_tfrecord.options import ColorOptions

_DEFAULT = ColorOptions()

# Columns of the colour parameters, float32 [B, 5].
BRIGHTNESS, CONTRAST, SATURATION, HUE, CONTRAST_FIRST = range(5)
# The parameters that change nothing.
IDENTITY = (0.0, 1.0, 1.0, 0.0, 1.0)


# Compiled, because TensorFlow's own broadcast of three channels takes four times as long on a CPU.
@tf.function(jit_compile=True, autograph=False)
def subtract_mean(images: tf.Tensor) -> tf.Tensor:
    """RGB levels [B, H, W, 3] of any dtype minus the mean (123, 117, 104), as float32."""
    return tf.cast(images, tf.float32) - tf.constant(MEAN_RGB)


def prepare(
    images: tf.Tensor,
    rectangles: tf.Tensor,
    parameters: tf.Tensor,
    mirrored: tf.Tensor | None = None,
    options: ColorOptions = _DEFAULT,
) -> tf.Tensor:
    """A training batch as the network takes it: ``subtract_mean(paint(…))`` in one compiled call.

    The arguments are those of ``paint``.

    Returns:
        float32 [B, H, W, 3], RGB minus the mean; equal to the two calls to the bit.
    """
    return _prepared(images, rectangles, parameters, _flags(mirrored, images), options.color)


def paint(
    images: tf.Tensor,
    rectangles: tf.Tensor,
    parameters: tf.Tensor,
    mirrored: tf.Tensor | None = None,
    options: ColorOptions = _DEFAULT,
) -> tf.Tensor:
    """Mirrors, distorts, and sets every pixel outside the rectangle to the mean, as in zoom-out.

    Args:
        images: uint8 [B, H, W, 3] RGB.
        rectangles: int32 [B, 4] as ymin, xmin, ymax, xmax: the pixels that belong to the image,
            after mirroring. All others are (123, 117, 104) in the result, undistorted.
        parameters: float32 [B, 5]: brightness delta in levels, contrast factor, saturation factor,
            hue delta in OpenCV's units of 2° (-18…18), and 1 where contrast comes before saturation
            and hue, 0 where after them; brightness always comes first. Deltas of 0 and factors of 1
            leave an image unchanged under ``original``.
        mirrored: bool [B], the images to reverse left to right; None for none.
        options: ``color`` selects the distortion; ``color_on`` is up to the caller.

    Returns:
        uint8 [B, H, W, 3].
    """
    return _painted(images, rectangles, parameters, _flags(mirrored, images), options.color)


def _flags(mirrored: tf.Tensor | None, images: tf.Tensor) -> tf.Tensor:
    return tf.zeros(tf.shape(images)[:1], tf.bool) if mirrored is None else mirrored


# ``kind`` is a Python string, so each distortion is traced and compiled by itself.
@tf.function(jit_compile=True, autograph=False)
def _prepared(
    images: tf.Tensor,
    rectangles: tf.Tensor,
    parameters: tf.Tensor,
    mirrored: tf.Tensor,
    kind: str,
) -> tf.Tensor:
    return subtract_mean(_levels(images, rectangles, parameters, mirrored, kind))


@tf.function(jit_compile=True, autograph=False)
def _painted(
    images: tf.Tensor,
    rectangles: tf.Tensor,
    parameters: tf.Tensor,
    mirrored: tf.Tensor,
    kind: str,
) -> tf.Tensor:
    return tf.cast(_levels(images, rectangles, parameters, mirrored, kind), tf.uint8)


def _levels(
    images: tf.Tensor,
    rectangles: tf.Tensor,
    parameters: tf.Tensor,
    mirrored: tf.Tensor,
    kind: str,
) -> tf.Tensor:
    """The levels of ``paint``, int32 [B, H, W, 3].

    A pixel's three levels are packed into one number. Otherwise XLA would compute the whole history
    of a channel again for each channel that it is combined with (CPU of TensorFlow 2.15: 4 to 9 ms
    per image of 300 x 300 pixels instead of 0.6). For the same reason the mirroring is a ``cond``
    and not a ``where`` alone: XLA does not fuse across a ``cond``.
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


def _pack(planes: Sequence[tf.Tensor] | Sequence[float]) -> tf.Tensor:
    """Red, green and blue, three tensors or numbers, as one int32."""
    red, green, blue = planes  # below 2^24, where float32 is exact
    return tf.cast(red + 256.0 * green + 65536.0 * blue, tf.int32)


def _contrasts(columns: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Contrast factors before and after saturation and hue; one of them is 1."""
    contrast, first = columns[CONTRAST], columns[CONTRAST_FIRST] > 0.5
    return tf.where(first, contrast, 1.0), tf.where(first, 1.0, contrast)


def _distort_original(planes: Sequence[tf.Tensor], columns: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    before, after = _contrasts(columns)
    factor, delta = columns[SATURATION], columns[HUE]
    planes = [_byte(tf.maximum(plane + columns[BRIGHTNESS], 0.0)) for plane in planes]
    planes = [_byte(plane * before) for plane in planes]
    # Saturation and hue each convert to HSV and back, as in Caffe, and so round twice.
    hue, saturation, value = rgb_to_hsv(planes)
    changed = hsv_to_rgb(hue, _byte(saturation * factor), value)
    # Converting to HSV and back loses levels, so the result is used only where something changes.
    planes = [tf.where(factor == 1.0, *pair) for pair in zip(planes, changed)]
    hue, saturation, value = rgb_to_hsv(planes)
    # A hue below 0 saturates, as a byte does: pure red stays red.
    hue = _turn(tf.maximum(tf.round(hue + delta), 0.0))
    changed = hsv_to_rgb(hue, saturation, value)
    planes = [tf.where(delta == 0.0, *pair) for pair in zip(planes, changed)]
    return [_byte(plane * after) for plane in planes]


def _distort_fast(planes: Sequence[tf.Tensor], columns: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    before, after = _contrasts(columns)
    planes = [tf.maximum(plane + columns[BRIGHTNESS], 0.0) * before for plane in planes]
    value, spread, hue = _value_spread_hue([tf.minimum(plane, 255.0) for plane in planes])
    # Grey has no spread, and then a hue of 0.
    hue = hue * 30.0 / tf.maximum(spread, 1e-6)
    # What rounds to 0 is not wrapped to 180: there a negative delta saturates, as in ``original``.
    hue = tf.where(hue < -0.5, hue + 180.0, hue)
    hue = tf.maximum(hue + columns[HUE], tf.minimum(hue, 0.0))
    shares = _shares(_turn(_positive(hue)))
    spread = tf.minimum(spread * columns[SATURATION], value)
    return [_byte((value - spread * share / 30.0) * after) for share in shares]


_DISTORTIONS = {"original": _distort_original, "fast": _distort_fast}


def _byte(values: tf.Tensor) -> tf.Tensor:
    """Rounds half to even and saturates at 255; nothing here is negative."""
    return tf.minimum(tf.round(values), 255.0)


def rgb_to_hsv(planes: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """OpenCV's 8-bit RGB2HSV: three planes of levels -> planes H, S, V (color_hsv.simd.hpp).

    H and S are fixed-point quotients by 12-bit tables, here round(180·4096 / 6·spread) and
    round(255·4096 / V); all products stay below 2^24, where float32 is exact.
    """
    value, spread, hue = _value_spread_hue(planes)
    hue = _shift_12(hue * tf.round(122880.0 / tf.maximum(spread, 1.0)))
    saturation = _shift_12(spread * tf.round(1044480.0 / tf.maximum(value, 1.0)))
    return _positive(hue), saturation, value


def _value_spread_hue(planes: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Maximum, maximum - minimum, and the hue from -1 to 5 sectors, times the spread."""
    red, green, blue = planes
    value = tf.maximum(tf.maximum(red, green), blue)
    spread = value - tf.minimum(tf.minimum(red, green), blue)
    # Of equal channels red decides, then green, as in OpenCV.
    hue = tf.where(
        value == red,
        green - blue,
        tf.where(value == green, blue - red + 2.0 * spread, red - green + 4.0 * spread),
    )
    return value, spread, hue


def _shift_12(values: tf.Tensor) -> tf.Tensor:
    """OpenCV's rounding shift of a fixed-point number by 12 bits."""
    return tf.floor((values + 2048.0) / 4096.0)


def _positive(hue: tf.Tensor) -> tf.Tensor:
    return tf.where(hue < 0.0, hue + 180.0, hue)


def _turn(hue: tf.Tensor) -> tf.Tensor:
    """A changed hue, wrapped to below 180."""
    return tf.where(hue >= 180.0, hue - 180.0, hue)


def hsv_to_rgb(hue: tf.Tensor, saturation: tf.Tensor, value: tf.Tensor) -> list[tf.Tensor]:
    """OpenCV's 8-bit HSV2RGB: planes H 0…179, S, V -> red, green, blue, rounded, ties down.

    A channel is V - V·S·share / (255·30). The half in 3825.5 keeps the quotient further away from
    the next whole number than the error of float32.
    """
    # 7650 is 255·30, and 3825 half of it.
    product = value * saturation
    return [
        value - tf.floor((product * share + 3825.5) * np.float32(1 / 7650))
        for share in _shares(hue)
    ]


def _shares(hue: tf.Tensor) -> list[tf.Tensor]:
    """What red, green and blue lack of V, in 30ths of the spread.

    Over the six sectors of 30 units of hue, each of them is 0 in two, rises in one, is 30 in two
    and falls in one.
    """
    red, green, blue = 60.0 - abs(hue - 90.0), abs(hue - 60.0) - 30.0, abs(hue - 120.0) - 30.0
    return [tf.clip_by_value(share, 0.0, 30.0) for share in (red, green, blue)]


def _inside(rectangles: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Bool [B, H, W]: the pixels within ``rectangles``."""
    ymin, xmin, ymax, xmax = tf.unstack(rectangles[:, :, tf.newaxis], axis=1)
    rows, columns = tf.range(shape[1])[tf.newaxis], tf.range(shape[2])[tf.newaxis]
    inside_rows = (rows >= ymin) & (rows < ymax)
    inside_columns = (columns >= xmin) & (columns < xmax)
    return inside_rows[:, :, tf.newaxis] & inside_columns[:, tf.newaxis, :]
