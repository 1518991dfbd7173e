"""The multibox loss (SSD paper, section 2.2; Caffe multibox_loss_layer), and the focal one.

Axes: B images, A anchors, C classes without background, M objects (padded).

Sums, not means: the step divides by the number of positives in the global batch, so that the loss
does not depend on the number of replicas.
"""

import math
from collections.abc import Callable, Mapping

import tensorflow as tf

from ssd_tfrecord.geometry import boxes as box_ops
from ssd_tfrecord.geometry import coding
from ssd_tfrecord.options import LossOptions

# Lin et al., Focal Loss, arXiv 1708.02002, section 4.1: what an anchor's probability of being an
# object is to be in the first step, so that the many of the background do not drown the others.
_FOCAL_PRIOR = 0.01
# Below it, 1 - p is the rounding error of float32's cross-entropy.
_EPSILON = 1e-7


def multibox_sums(
    outputs: Mapping[str, tf.Tensor],
    targets: Mapping[str, tf.Tensor],
    anchors_A4: tf.Tensor,
    options: LossOptions,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Class loss, box loss (unweighted) and number of positives, summed over the batch.

    Args:
        outputs: {"offsets": [B, A, 4], "logits": [B, A, C + 1]}, float32.
        targets: {"boxes": [B, A, 4], "labels": integer [B, A]} as ``assign`` makes them.
        anchors_A4: float32 [A, 4].
        options: kind of box loss, and hard negatives per positive, or focal loss of all anchors.

    Returns:
        (class loss, box loss, positives), float32 scalars.
    """
    labels_BA = targets["labels"]
    positive_BA = labels_BA > 0
    entropy_BA = tf.nn.sparse_softmax_cross_entropy_with_logits(labels_BA, outputs["logits"])
    class_loss = (_focal_sum if options.focal else _mined_sum)(entropy_BA, positive_BA, options)
    box_loss_BA = BOX_LOSSES[options.box_loss](outputs["offsets"], targets["boxes"], anchors_A4)
    positives = tf.reduce_sum(tf.cast(positive_BA, tf.float32))
    return class_loss, _masked_sum(box_loss_BA, positive_BA), positives


def object_prior(options: LossOptions) -> float:
    """The probability of an object that ``ssd.build`` is to begin with; 0: leave it to chance."""
    return _FOCAL_PRIOR if options.focal else 0.0


def focal(entropy: tf.Tensor, gamma: float) -> tf.Tensor:
    """(1 - p)^gamma times ``entropy``, where p = exp(-entropy) is the probability of what is true.

    Source: Lin et al., Focal Loss, arXiv 1708.02002, equation 4, with softmax's p instead of the
    sigmoid's. Value and gradient are finite wherever ``entropy`` is, for every ``gamma`` from 0.

    Args:
        entropy: float32, of any shape; softmax cross-entropy.
        gamma: at 0, the result is ``entropy``.
    """
    # expm1 keeps the digits of a small 1 - p. The bound is for the gradient, which has
    # (1 - p)^(gamma - 1): infinite at p = 1 and gamma < 1.
    wrong = tf.maximum(-tf.math.expm1(-entropy), _EPSILON)
    return tf.pow(wrong, gamma) * entropy


def assign(match_BA: tf.Tensor, boxes_BM4: tf.Tensor, labels_BM: tf.Tensor) -> dict[str, tf.Tensor]:
    """Box and label of each anchor; background has label 0 and box 0.

    Args:
        match_BA: int32 [B, A] of ``matching.match``: the object of each anchor, -1 for background.
        boxes_BM4: float32 [B, M, 4].
        labels_BM: int32 [B, M] from 1.

    Returns:
        {"boxes": float32 [B, A, 4], "labels": int32 [B, A]}.
    """
    # Background -1 becomes row 0, which the padding adds.
    row_BA = match_BA + 1
    boxes = tf.gather(tf.pad(boxes_BM4, [[0, 0], [1, 0], [0, 0]]), row_BA, batch_dims=1)
    labels = tf.gather(tf.pad(labels_BM, [[0, 0], [1, 0]]), row_BA, batch_dims=1)
    return {"boxes": boxes, "labels": labels}


def hard_negatives(loss_BA: tf.Tensor, positive_BA: tf.Tensor, ratio: float) -> tf.Tensor:
    """The mined negatives: in each image, the ``ratio`` x positives anchors of highest loss.

    Of equal losses the lower anchor comes first. An image without positives has no negatives.

    Args:
        loss_BA: float32 [B, A], at least 0.
        positive_BA: bool [B, A].
        ratio: negatives per positive.

    Returns:
        bool [B, A].
    """
    # All others may be mined: matching leaves none free whose best IoU is 0.5 or more. Losses are
    # at least 0, so -1 sorts the positives last.
    loss_BA = tf.where(positive_BA, -1.0, tf.stop_gradient(loss_BA))
    # Counts are float32, which is exact here: TensorFlow runs a GPU's int32 arithmetic on the host.
    num_positives_B1 = _count(positive_BA)
    num_anchors = tf.shape(loss_BA)[1]
    # Rounded down, and no more than there are, as in Caffe's MineHardExamples.
    wanted_B1 = tf.floor(num_positives_B1 * ratio)
    wanted_B1 = tf.minimum(wanted_B1, tf.cast(num_anchors, tf.float32) - num_positives_B1)
    sorted_BA = tf.sort(loss_BA, axis=1, direction="DESCENDING")
    last_B1 = tf.gather(
        sorted_BA, tf.cast(tf.maximum(wanted_B1 - 1.0, 0.0), tf.int32), batch_dims=1
    )
    # All above the last wanted loss are taken; ties with it fill the room that is left, in order.
    above_BA = loss_BA > last_B1
    tied_BA = loss_BA == last_B1
    room_B1 = wanted_B1 - _count(above_BA)
    first_BA = tf.cumsum(tf.cast(tied_BA, tf.float32), axis=1) <= room_B1
    return (above_BA | (tied_BA & first_BA)) & (wanted_B1 > 0.0)


def _mined_sum(entropy_BA: tf.Tensor, positive_BA: tf.Tensor, options: LossOptions) -> tf.Tensor:
    """Cross-entropy of the positives and the hard negatives."""
    # Without an object the label is 0: hard negatives are mined by the background's cross-entropy.
    negative_BA = hard_negatives(entropy_BA, positive_BA, options.negative_ratio)
    return _masked_sum(entropy_BA, positive_BA | negative_BA)


def _focal_sum(entropy_BA: tf.Tensor, positive_BA: tf.Tensor, options: LossOptions) -> tf.Tensor:
    """Focal loss of all anchors, weighted by alpha (objects) or 1 - alpha (the background)."""
    alpha_BA = tf.where(positive_BA, options.focal_alpha, 1.0 - options.focal_alpha)
    return tf.reduce_sum(alpha_BA * focal(entropy_BA, options.focal_gamma))


def _count(mask_BA: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(mask_BA, tf.float32), axis=1, keepdims=True)


def _masked_sum(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    # where, not a product: a masked entry that is infinite would become 0 x inf = NaN.
    return tf.reduce_sum(tf.where(mask, values, 0.0))


def _smooth_l1(offsets: tf.Tensor, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Fast R-CNN's: 0.5 x² below 1, |x| - 0.5 above; summed over the four offsets: [B, A]."""
    distance = tf.abs(offsets - coding.encode(boxes, anchors))
    return tf.reduce_sum(
        tf.where(distance < 1.0, 0.5 * tf.square(distance), distance - 0.5), axis=-1
    )


def _iou_parts(
    offsets: tf.Tensor, boxes: tf.Tensor, anchors: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Predicted boxes, IoU, and (height, width) of the smallest enclosing box."""
    predicted = coding.decode(offsets, anchors)
    hull = tf.maximum(predicted[..., 2:], boxes[..., 2:]) - tf.minimum(
        predicted[..., :2], boxes[..., :2]
    )
    return predicted, box_ops.iou(predicted, boxes), hull


def _giou(offsets: tf.Tensor, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """1 - GIoU (Rezatofighi et al., CVPR 2019): [B, A]."""
    predicted, iou, hull = _iou_parts(offsets, boxes, anchors)
    overlap = box_ops.intersection(predicted, boxes)
    union = box_ops.area(predicted) + box_ops.area(boxes) - overlap
    hull_area = hull[..., 0] * hull[..., 1]
    return 1.0 - iou + tf.math.divide_no_nan(hull_area - union, hull_area)


def _diou(offsets: tf.Tensor, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
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


def _ciou(offsets: tf.Tensor, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """DIoU + alpha v for the aspect ratio; alpha is a weight without gradient (same paper)."""
    predicted, iou, _ = _iou_parts(offsets, boxes, anchors)
    v = (4.0 / math.pi**2) * tf.square(_angle(boxes) - _angle(predicted))
    alpha = tf.stop_gradient(tf.math.divide_no_nan(v, 1.0 - iou + v))
    return _diou(offsets, boxes, anchors) + alpha * v


def _angle(boxes: tf.Tensor) -> tf.Tensor:
    """arctan(width / height); a height below 1e-6 counts as 1e-6."""
    size = boxes[..., 2:] - boxes[..., :2]
    return tf.atan(size[..., 1] / tf.maximum(size[..., 0], 1e-6))


# {--box_loss: (offsets [B, A, 4], boxes [B, A, 4], anchors [A, 4]) -> loss [B, A]}.
BOX_LOSSES: dict[str, Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "smooth_l1": _smooth_l1,
    "giou": _giou,
    "diou": _diou,
    "ciou": _ciou,
}
