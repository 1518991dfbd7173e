"""Resizes images, levels in, levels out: bilinear, or in one of the original's five ways.

``resample_as`` uses the TensorFlow kernels that are closest to ``cv2.resize``. Mean absolute
difference in levels on photographs (VOC2012, to 300 x 300, 150 x 180, 90 x 60 and 600 x 700), and
its cause:

    linear     0.1    OpenCV computes in fixed point
    area       0.1    (0.4 where one side grows and the other shrinks)
    nearest    0.7    float32 positions are truncated at other pixels (0.02 at 300 x 300)
    cubic      0.6    Keys' kernel with a = -0.5, OpenCV's has -0.75
    Lanczos    0.3    five lobes, OpenCV's has four

As in OpenCV, linear, cubic and Lanczos do not widen their kernels when they shrink.
"""

from collections.abc import Sequence

import tensorflow as tf

# The order of Caffe SSD's interp_mode and of ``resample_as``.
KINDS = ("linear", "area", "nearest", "cubic", "lanczos")

# TensorFlow's bilinear kernel is vectorised for floats only: from 375 x 500 to 300 x 300 it takes
# 0.74 ms of CPU with a cast of all pixels, 0.88 without. But the cast costs by what goes in, and
# the kernel by what comes out: from 4000 x 3000 it takes 140 ms with, 3 without. The cast does not
# pay from so many pixels in for one out. (The quantized kernel errs by 2 levels.)
_MANY = 4


def resample(pixels: tf.Tensor, shape: tf.Tensor | Sequence[int]) -> tf.Tensor:
    """Bilinear without antialiasing, pixel centres aligned; within half a level of exact.

    Args:
        pixels: uint8 [h, w, 3].
        shape: int32 [2], height and width of the result, at least 1 each.

    Returns:
        uint8 [height, width, 3].
    """
    height, width, _ = tf.unstack(tf.shape(pixels))
    # Float arithmetic on the same four neighbours either way, so the levels are equal to the bit.
    values = tf.cond(
        height * width > _MANY * shape[0] * shape[1],
        lambda: tf.image.resize(pixels, shape),
        lambda: tf.image.resize(tf.cast(pixels, tf.float32), shape),
    )
    return tf.cast(tf.round(values), tf.uint8)


def resample_as(pixels: tf.Tensor, shape: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """As ``resample``, but interpolates as ``KINDS[kind]``.

    Args:
        pixels: uint8 [h, w, 3].
        shape: int32 [2], height and width of the result, at least 1 each.
        kind: int32 scalar, 0 to 4.

    Returns:
        uint8 [height, width, 3].
    """
    kernels = (resample, _area, _nearest, _cubic, _lanczos)
    # The default binds this loop's kernel; a bare closure would see the last one.
    branches = [lambda kernel=kernel: kernel(pixels, shape) for kernel in kernels]
    return tf.ensure_shape(tf.switch_case(kind, branches), [None, None, 3])


def _area(pixels: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    return _levels(tf.raw_ops.ResizeArea(images=pixels[tf.newaxis], size=shape))


def _nearest(pixels: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    # Measured from the corner, as in OpenCV: pixel i comes from floor(i · scale).
    return tf.raw_ops.ResizeNearestNeighbor(images=pixels[tf.newaxis], size=shape)[0]


def _cubic(pixels: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    images = pixels[tf.newaxis]
    return _levels(tf.raw_ops.ResizeBicubic(images=images, size=shape, half_pixel_centers=True))


def _lanczos(pixels: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    scale = tf.cast(shape, tf.float32) / tf.cast(tf.shape(pixels)[:2], tf.float32)
    values = tf.raw_ops.ScaleAndTranslate(
        images=tf.cast(pixels, tf.float32)[tf.newaxis],
        size=shape,
        scale=scale,
        translation=[0.0, 0.0],
        kernel_type="lanczos5",
        antialias=False,
    )
    return _levels(values)


def _levels(values_1HW3: tf.Tensor) -> tf.Tensor:
    # Cubic and Lanczos kernels have negative lobes: they overshoot at edges.
    return tf.cast(tf.clip_by_value(tf.round(values_1HW3[0]), 0.0, 255.0), tf.uint8)
