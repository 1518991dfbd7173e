"""Boxes <-> offsets from anchors (SSD paper, section 2.2; variances as in Caffe's PriorBox)."""

import tensorflow as tf

CENTER_VARIANCE = 0.1
SIZE_VARIANCE = 0.2
# Keeps exp within float32, which ends at e^88; no box is e^8 times as wide or high as its anchor.
MAX_LOG_SIZE = 8.0


def encode(boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Offsets [..., A, 4] as (ty, tx, th, tw) of ``boxes`` [..., A, 4] from ``anchors`` [A, 4].

    ty = (cy - anchor cy) / anchor height / 0.1 and th = log(height / anchor height) / 0.2; tx and
    tw likewise. A side of less than 1e-6 counts as 1e-6, so that the logarithm stays finite.
    """
    centers, sizes = _center_size(boxes)
    anchor_centers, anchor_sizes = _center_size(anchors)
    shifts = (centers - anchor_centers) / anchor_sizes / CENTER_VARIANCE
    logs = tf.math.log(tf.maximum(sizes, 1e-6) / anchor_sizes) / SIZE_VARIANCE
    return tf.concat([shifts, logs], axis=-1)


def decode(offsets: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Boxes [..., A, 4] that ``offsets`` [..., A, 4] describe; the inverse of ``encode``."""
    anchor_centers, anchor_sizes = _center_size(anchors)
    centers = offsets[..., :2] * CENTER_VARIANCE * anchor_sizes + anchor_centers
    logs = tf.minimum(offsets[..., 2:] * SIZE_VARIANCE, MAX_LOG_SIZE)
    half = tf.exp(logs) * anchor_sizes / 2.0
    return tf.concat([centers - half, centers + half], axis=-1)


def _center_size(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2.0, high - low
