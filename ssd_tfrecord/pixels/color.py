"""Colours of a batch: SSD's photometric distortion, mean fill, mean subtraction. No randomness.

``distort`` follows Caffe SSD (im_transforms.cpp) on 8-bit images: every operation rounds and
saturates to 0…255, and HSV is OpenCV's 8-bit one (H 0…179 in units of 2°, S and V 0…255), kept in
float32, which holds these integers exactly.
"""

import tensorflow as tf

MEAN_RGB = (123.0, 117.0, 104.0)

# Columns of the colour parameters, float32 [B, 5].
BRIGHTNESS, CONTRAST, SATURATION, HUE, CONTRAST_FIRST = range(5)
IDENTITY = (0.0, 1.0, 1.0, 0.0, 1.0)


def subtract_mean(images):
    """RGB levels [B, H, W, 3] of any dtype minus the mean (123, 117, 104), as float32."""
    return tf.cast(images, tf.float32) - tf.constant(MEAN_RGB)


def prepare(images, rectangles, parameters):
    """A training batch as the network takes it: float32 [B, H, W, 3], RGB minus the mean.

    Args:
        images: uint8 [B, H, W, 3] RGB.
        rectangles: int32 [B, 4] as ymin, xmin, ymax, xmax: the pixels that hold picture. All
            others take the mean, which is 0 here, after the distortion, as in zoom-out.
        parameters: float32 [B, 5] as ``distort`` takes them.
    """
    return _fill(*_distorted_planes(images, parameters), rectangles)


def distort(images, parameters):
    """Brightness, then contrast, saturation, hue, or saturation, hue, contrast.

    Args:
        images: [B, H, W, 3] of any dtype, whole RGB levels 0…255.
        parameters: float32 [B, 5]: brightness delta in levels, contrast factor, saturation factor,
            hue delta in OpenCV units of 2°, and 1 where contrast comes before saturation and hue.

    Returns:
        float32 [B, H, W, 3], whole levels. A delta of 0 and a factor of 1 leave an image
        untouched, to the last bit.
    """
    return tf.stack(_distorted_planes(images, parameters), axis=-1)


def _distorted_planes(images, parameters):
    """Red, green and blue [B, H, W].

    In planes and in stages, each compiled by itself: XLA would else compute the past of a channel
    anew for each channel that it is joined with (CPU of TensorFlow 2.15: 11 ms an image, not 2).
    """
    columns = tf.unstack(parameters[:, tf.newaxis, tf.newaxis, :], axis=3)
    contrast, first = columns[CONTRAST], columns[CONTRAST_FIRST] > 0.5
    before, after = tf.where(first, contrast, 1.0), tf.where(first, 1.0, contrast)
    planes = _brighten_and_saturate(images, columns[BRIGHTNESS], before, columns[SATURATION])
    return _rotate_hue(*planes, columns[HUE], after)


@tf.function(jit_compile=True)
def _brighten_and_saturate(images, brightness, contrast, factor):
    planes = [tf.cast(plane, tf.float32) for plane in tf.unstack(images, axis=-1)]
    planes = [_levels(_levels(plane + brightness) * contrast) for plane in planes]
    hue, saturation, value = rgb_to_hsv(*planes)
    changed = hsv_to_rgb(hue, _levels(saturation * factor), value)
    return [tf.where(factor == 1.0, *pair) for pair in zip(planes, changed)]


@tf.function(jit_compile=True)
def _rotate_hue(red, green, blue, delta, contrast):
    hue, saturation, value = rgb_to_hsv(red, green, blue)
    # Saturates at 0 like a byte; above 179 hsv_to_rgb goes round.
    changed = hsv_to_rgb(_levels(hue + delta), saturation, value)
    planes = [tf.where(delta == 0.0, *pair) for pair in zip((red, green, blue), changed)]
    return [_levels(plane * contrast) for plane in planes]


@tf.function(jit_compile=True)
def _fill(red, green, blue, rectangles):
    pixels = subtract_mean(tf.stack([red, green, blue], axis=-1))
    return tf.where(_inside(rectangles, tf.shape(pixels)), pixels, 0.0)


def _levels(values):
    return tf.clip_by_value(tf.round(values), 0.0, 255.0)


def rgb_to_hsv(red, green, blue):
    """OpenCV's 8-bit RGB2HSV: planes of levels -> planes H, S, V (color_hsv.simd.hpp).

    H and S are fixed-point quotients by 12-bit tables, here round(180·4096 / 6·range) and
    round(255·4096 / V); all products stay below 2^24, where float32 is exact.
    """
    value = tf.maximum(tf.maximum(red, green), blue)
    spread = value - tf.minimum(tf.minimum(red, green), blue)
    hue = tf.where(
        value == red,
        green - blue,
        tf.where(value == green, blue - red + 2.0 * spread, red - green + 4.0 * spread),
    )
    hue = _shift_12(hue * _table(122880.0, spread))
    saturation = _shift_12(spread * _table(1044480.0, value))
    return tf.where(hue < 0.0, hue + 180.0, hue), saturation, value


def _table(numerator, level):
    return tf.round(tf.math.divide_no_nan(numerator, level))


def _shift_12(values):
    return tf.floor((values + 2048.0) / 4096.0)


def hsv_to_rgb(hue, saturation, value):
    """OpenCV's 8-bit HSV2RGB: planes H, S, V -> planes red, green, blue, rounded.

    A channel is V (1 - S/255 · share), its share rising and falling over the six sectors of 30
    units; in one quotient of whole numbers, below 2^24, so that fusing cannot move a tie.
    """

    def channel(turn):
        place = hue + turn  # below 2.5 turns; a true modulo would be a call a pixel under XLA
        place -= 180.0 * (tf.cast(place >= 180.0, tf.float32) + tf.cast(place >= 360.0, tf.float32))
        share = tf.clip_by_value(tf.minimum(place, 120.0 - place), 0.0, 30.0)
        return tf.round((value * 7650.0 - value * saturation * share) / 7650.0)

    return channel(150.0), channel(90.0), channel(30.0)


def _inside(rectangles, shape):
    """bool [B, H, W, 1]: the pixels within ``rectangles``."""
    ymin, xmin, ymax, xmax = tf.unstack(rectangles[:, :, tf.newaxis], axis=1)
    rows, columns = tf.range(shape[1])[tf.newaxis], tf.range(shape[2])[tf.newaxis]
    inside_rows = (rows >= ymin) & (rows < ymax)
    inside_columns = (columns >= xmin) & (columns < xmax)
    return (inside_rows[:, :, tf.newaxis] & inside_columns[:, tf.newaxis, :])[..., tf.newaxis]
