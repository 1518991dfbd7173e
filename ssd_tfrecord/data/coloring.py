"""The draw of SSD's photometric distortion (Caffe im_transforms.cpp, ApplyDistort)."""

import tensorflow as tf

from ssd_tfrecord.pixels import color

NUM_UNIFORMS = 9


def draw(uniforms):
    """Colour parameters float32 [5], as ``pixels.color.distort`` takes them.

    Each of brightness + U(-32, 32), contrast x U(0.5, 1.5), saturation x U(0.5, 1.5) and
    hue + U(-18, 18) is applied with probability 1/2; contrast comes before the other two with
    probability 1/2.

    Args:
        uniforms: float32 [9] in [0, 1).
    """
    applied = tf.concat([uniforms[:4] < 0.5, [True]], axis=0)
    low = tf.constant([-32.0, 0.5, 0.5, -18.0])
    high = tf.constant([32.0, 1.5, 1.5, 18.0])
    drawn = low + uniforms[4:8] * (high - low)
    first = tf.cast(uniforms[8:] < 0.5, tf.float32)
    return tf.where(applied, tf.concat([drawn, first], axis=0), tf.constant(color.IDENTITY))
