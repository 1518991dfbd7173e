"""The multibox loss (SSD paper, section 2.2; Caffe multibox_loss_layer).

Axes: B images, A anchors, C classes without background, M objects (padded).

Sums, not means: the step divides by the positives of the global batch, so that the loss does not
depend on the number of replicas.
"""

import math

import tensorflow as tf

from ssd_tfrecord.geometry import boxes as box_ops
from ssd_tfrecord.geometry import coding


def multibox_sums(outputs, targets, anchors_A4, options):
    """(class loss, box loss, positives), each a float32 scalar summed over the batch.

    Args:
        outputs: {"offsets": [B, A, 4], "logits": [B, A, C + 1]}, float32.
        targets: {"boxes": [B, A, 4], "labels": integer [B, A]} as ``assign`` makes them.
        anchors_A4: float32 [A, 4].
        options: ``LossOptions``.
    """
    labels_BA = targets["labels"]
    positive_BA = labels_BA > 0
    entropy_BA = tf.nn.sparse_softmax_cross_entropy_with_logits(labels_BA, outputs["logits"])
    # Where the label is background, the cross-entropy is the background's, by which to mine.
    negative_BA = hard_negatives(entropy_BA, positive_BA, options.negative_ratio)
    class_loss = _masked_sum(entropy_BA, positive_BA | negative_BA)
    box_loss_BA = BOX_LOSSES[options.box_loss](outputs["offsets"], targets["boxes"], anchors_A4)
    positives = tf.reduce_sum(tf.cast(positive_BA, tf.float32))
    return class_loss, _masked_sum(box_loss_BA, positive_BA), positives


def assign(match_BA, boxes_BM4, labels_BM):
    """Box and label of each anchor from ``matching.match``; background has label 0 and box 0."""
    row_BA = match_BA + 1
    boxes = tf.gather(tf.pad(boxes_BM4, [[0, 0], [1, 0], [0, 0]]), row_BA, batch_dims=1)
    labels = tf.gather(tf.pad(labels_BM, [[0, 0], [1, 0]]), row_BA, batch_dims=1)
    return {"boxes": boxes, "labels": labels}


def hard_negatives(loss_BA, positive_BA, ratio):
    """The mined negatives: bool [B, A], in each image the ``ratio`` x positives of highest loss.

    Of equal losses the lower anchor comes first. An image without positives has none.
    """
    # An unmatched anchor's best IoU is below 0.5: matching leaves none above it free.
    loss_BA = tf.where(positive_BA, -1.0, tf.stop_gradient(loss_BA))
    # Counts are float32: exact here, and TensorFlow keeps int32 arithmetic of a GPU on the host.
    num_positives_B1 = _count(positive_BA)
    num_anchors = tf.shape(loss_BA)[1]
    wanted_B1 = tf.floor(num_positives_B1 * ratio)
    wanted_B1 = tf.minimum(wanted_B1, tf.cast(num_anchors, tf.float32) - num_positives_B1)
    sorted_BA = tf.sort(loss_BA, axis=1, direction="DESCENDING")
    last_B1 = tf.gather(
        sorted_BA, tf.cast(tf.maximum(wanted_B1 - 1.0, 0.0), tf.int32), batch_dims=1
    )
    above_BA = loss_BA > last_B1
    tied_BA = loss_BA == last_B1
    room_B1 = wanted_B1 - _count(above_BA)
    first_BA = tf.cumsum(tf.cast(tied_BA, tf.float32), axis=1) <= room_B1
    return (above_BA | (tied_BA & first_BA)) & (wanted_B1 > 0.0)


def _count(mask_BA):
    return tf.reduce_sum(tf.cast(mask_BA, tf.float32), axis=1, keepdims=True)


def _masked_sum(values, mask):
    # where, not a product: 0 x inf of a masked entry would be NaN.
    return tf.reduce_sum(tf.where(mask, values, 0.0))


def _smooth_l1(offsets, boxes, anchors):
    """Fast R-CNN's: 0.5 x² below 1, |x| - 0.5 above; summed over the four offsets: [B, A]."""
    distance = tf.abs(offsets - coding.encode(boxes, anchors))
    return tf.reduce_sum(
        tf.where(distance < 1.0, 0.5 * tf.square(distance), distance - 0.5), axis=-1
    )


def _iou_parts(offsets, boxes, anchors):
    """Predicted boxes, IoU and the smallest enclosing box's (height, width)."""
    predicted = coding.decode(offsets, anchors)
    hull = tf.maximum(predicted[..., 2:], boxes[..., 2:]) - tf.minimum(
        predicted[..., :2], boxes[..., :2]
    )
    return predicted, box_ops.iou(predicted, boxes), hull


def _giou(offsets, boxes, anchors):
    """1 - GIoU (Rezatofighi et al., CVPR 2019): [B, A]."""
    predicted, iou, hull = _iou_parts(offsets, boxes, anchors)
    overlap = box_ops.intersection(predicted, boxes)
    union = box_ops.area(predicted) + box_ops.area(boxes) - overlap
    hull_area = hull[..., 0] * hull[..., 1]
    return 1.0 - iou + tf.math.divide_no_nan(hull_area - union, hull_area)


def _diou(offsets, boxes, anchors):
    """1 - IoU + squared centre distance / squared hull diagonal (Zheng et al., AAAI 2020)."""
    predicted, iou, hull = _iou_parts(offsets, boxes, anchors)
    apart = box_ops.centers(predicted) - box_ops.centers(boxes)
    return (
        1.0
        - iou
        + tf.math.divide_no_nan(
            tf.reduce_sum(tf.square(apart), axis=-1), tf.reduce_sum(tf.square(hull), axis=-1)
        )
    )


def _ciou(offsets, boxes, anchors):
    """DIoU + alpha v for the aspect ratio; alpha is a weight, without gradient (same paper)."""
    predicted, iou, _ = _iou_parts(offsets, boxes, anchors)
    v = (4.0 / math.pi**2) * tf.square(_angle(boxes) - _angle(predicted))
    alpha = tf.stop_gradient(tf.math.divide_no_nan(v, 1.0 - iou + v))
    return _diou(offsets, boxes, anchors) + alpha * v


def _angle(boxes):
    """arctan(width / height); a box without extent counts as 1e-6 high."""
    size = boxes[..., 2:] - boxes[..., :2]
    return tf.atan(size[..., 1] / tf.maximum(size[..., 0], 1e-6))


BOX_LOSSES = {"smooth_l1": _smooth_l1, "giou": _giou, "diou": _diou, "ciou": _ciou}
