"""Boxes as tensors: float32 [ymin, xmin, ymax, xmax] in [0, 1] of the image (see WORKSPACE.md)."""

import tensorflow as tf

# A product of extents is clamped once more before it is added to anything. Otherwise XLA would fuse
# product and sum and round once (2 % of all IoUs differed in their last bit), while NumPy and plain
# TensorFlow round twice. With the clamp, IoU has the same bits in all of them.


def area(boxes: tf.Tensor) -> tf.Tensor:
    """Areas [...] of ``boxes`` [..., 4]; 0 where an extent is negative."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    return tf.maximum(tf.maximum(ymax - ymin, 0.0) * (xmax - xmin), 0.0)


def intersection(boxes_a: tf.Tensor, boxes_b: tf.Tensor) -> tf.Tensor:
    """Areas [...] of the overlap of ``boxes_a`` and ``boxes_b`` [..., 4], which may broadcast."""
    a_ymin, a_xmin, a_ymax, a_xmax = tf.unstack(boxes_a, axis=-1)
    b_ymin, b_xmin, b_ymax, b_xmax = tf.unstack(boxes_b, axis=-1)
    height = tf.minimum(a_ymax, b_ymax) - tf.maximum(a_ymin, b_ymin)
    width = tf.minimum(a_xmax, b_xmax) - tf.maximum(a_xmin, b_xmin)
    return tf.maximum(tf.maximum(height, 0.0) * width, 0.0)


def iou(boxes_a: tf.Tensor, boxes_b: tf.Tensor) -> tf.Tensor:
    """IoU [...] of ``boxes_a`` and ``boxes_b`` [..., 4], which may broadcast; 0 without area."""
    overlap = intersection(boxes_a, boxes_b)
    return tf.math.divide_no_nan(overlap, area(boxes_a) + area(boxes_b) - overlap)


def pairwise_iou(boxes_a: tf.Tensor, boxes_b: tf.Tensor) -> tf.Tensor:
    """IoU [..., N, M] of every pair of ``boxes_a`` [..., N, 4] and ``boxes_b`` [..., M, 4]."""
    return iou(boxes_a[..., :, tf.newaxis, :], boxes_b[..., tf.newaxis, :, :])


def centers(boxes: tf.Tensor) -> tf.Tensor:
    """Centres [..., 2] as (y, x) of ``boxes`` [..., 4]."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2.0


def flip_left_right(boxes: tf.Tensor) -> tf.Tensor:
    """``boxes`` [..., 4] in the mirrored image."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    return tf.stack([ymin, 1.0 - xmax, ymax, 1.0 - xmin], axis=-1)
