"""The random parameters of SSD's photometric distortion (Caffe im_transforms.cpp, ApplyDistort)."""

import tensorflow as tf

from ssd_tfrecord.pixels import color

# Four decide which changes are made, four how large they are, one the place of the contrast.
NUM_UNIFORMS = 9


def draw(uniforms_B9: tf.Tensor) -> tf.Tensor:
    """Colour parameters float32 [B, 5], as ``pixels.color.paint`` takes them.

    Each of brightness + U(-32, 32), contrast x U(0.5, 1.5), saturation x U(0.5, 1.5) and
    hue + U(-18, 18) is applied with probability 1/2; contrast comes before the other two with
    probability 1/2.

    Args:
        uniforms_B9: float32 [B, 9] in [0, 1).
    """
    low = tf.constant([-32.0, 0.5, 0.5, -18.0])
    high = tf.constant([32.0, 1.5, 1.5, 18.0])
    drawn = low + uniforms_B9[:, 4:8] * (high - low)
    drawn = tf.where(uniforms_B9[:, :4] < 0.5, drawn, color.IDENTITY[:4])
    first = tf.cast(uniforms_B9[:, 8:] < 0.5, tf.float32)
    return tf.concat([drawn, first], axis=1)
