"""From the network's outputs to detections: the one post-processing path of every program.

Legend: B images, A anchors, C classes, K candidates of a class, D detections of an image.
"""

import tensorflow as tf

from ssd_tfrecord.geometry import boxes as box_ops
from ssd_tfrecord.geometry.coding import decode
from ssd_tfrecord.options import DetectionOptions

# IoU is compared as the integer round(IoU * 2^14), as in matching: fused arithmetic (XLA, GPU)
# cannot move a pair that lies on the threshold.
_IOU_STEPS = 2.0**14


def detect(offsets, logits, anchors, options: DetectionOptions):
    """Detections of a batch (reference: SSD's DetectionOutput layer). Runs in a graph and in XLA.

    Args:
        offsets: float32 [B, A, 4] as ``geometry.coding`` reads them.
        logits: float32 [B, A, C + 1], 0 the background.
        anchors: float32 [A, 4].
        options: thresholds and counts.

    Returns:
        as ``select``; boxes are compared as they are decoded and clipped to [0, 1] at the end, as
        in Caffe.
    """
    scores = tf.nn.softmax(logits, axis=-1)[..., 1:]
    found = select(decode(offsets, anchors), scores, options)
    return {**found, "boxes": tf.clip_by_value(found["boxes"], 0.0, 1.0)}


# Always compiled: outside XLA TensorFlow keeps int32 arithmetic of a GPU on the host, which would
# be a copy a step of the loop; on the CPU it takes 33 ms instead of 195 (case of ``_greedy``).
@tf.function(jit_compile=True, autograph=False)
def select(boxes, scores, options: DetectionOptions):
    """The best boxes of each image after greedy non-maximum suppression in each class.

    Of each class the ``nms_candidates`` best scores above ``score_threshold`` enter; a box goes if
    its IoU with a kept better one is above ``nms_iou``; the ``max_detections`` best of all classes
    stay. Equal scores: the lower class, then the lower anchor.

    Args:
        boxes: float32 [B, A, 4], shared by the classes.
        scores: float32 [B, A, C].
        options: thresholds and counts.

    Returns:
        boxes float32 [B, D, 4], scores float32 [B, D] descending, labels int32 [B, D] from 1, with
        D = ``max_detections``. Rows of label 0, score 0 and box 0 fill up the end.
    """
    scores_BCA = tf.transpose(scores, [0, 2, 1])
    scores_BCA = tf.where(scores_BCA > options.score_threshold, scores_BCA, 0.0)
    num_candidates = tf.minimum(options.nms_candidates, tf.shape(scores_BCA)[2])
    scores_BCK, anchors_BCK = tf.math.top_k(scores_BCA, num_candidates)
    boxes_BCK = tf.gather(boxes, anchors_BCK, batch_dims=1)
    keep_BCK = _greedy(boxes_BCK, scores_BCK > 0.0, options.nms_iou)
    return _best(boxes_BCK, tf.where(keep_BCK, scores_BCK, 0.0), options.max_detections)


def _greedy(boxes_BCK, valid_BCK, nms_iou):
    """Which candidates stay, bool [B, C, K]; candidates are in falling order of score.

    Step i lets the i-th candidate of every class of every image suppress the later ones at once;
    there are as many steps as the fullest class has candidates. Against the alternatives, same
    result, 8 images x 20 classes x 400 candidates, compiled, on 2 CPU cores: this loop 19 ms, the
    whole IoU matrix with fixed-point iteration 75 and 100 MB,
    ``tf.image.non_max_suppression_padded`` 721.
    """
    ranks_K = tf.range(tf.shape(valid_BCK)[2])
    counts_BC = tf.reduce_sum(tf.cast(valid_BCK, tf.int32), axis=2)
    # 0 first: the maximum over no class at all is the lowest integer.
    num_steps = tf.maximum(0, tf.reduce_max(counts_BC))

    def step(i, keep_BCK):
        iou_BCK = box_ops.iou(boxes_BCK[:, :, i, tf.newaxis], boxes_BCK)
        close_BCK = tf.round(iou_BCK * _IOU_STEPS) > nms_iou * _IOU_STEPS
        gone_BCK = keep_BCK[:, :, i, tf.newaxis] & close_BCK & (ranks_K > i)
        return i + 1, keep_BCK & ~gone_BCK

    _, keep_BCK = tf.while_loop(lambda i, _: i < num_steps, step, [0, valid_BCK])
    return keep_BCK


def _best(boxes_BCK, scores_BCK, max_detections):
    """The best candidates of all classes, padded to ``max_detections``: see ``select``."""
    shape = tf.shape(scores_BCK)
    batch, per_class, total = shape[0], shape[2], shape[1] * shape[2]
    num_kept = tf.minimum(max_detections, total)
    scores_BD, indices_BD = tf.math.top_k(tf.reshape(scores_BCK, [batch, total]), num_kept)
    boxes_BD = tf.gather(tf.reshape(boxes_BCK, [batch, total, 4]), indices_BD, batch_dims=1)
    found_BD = scores_BD > 0.0
    labels_BD = tf.where(found_BD, indices_BD // per_class + 1, 0)
    missing = max_detections - num_kept
    return {
        "boxes": tf.pad(
            tf.where(found_BD[..., tf.newaxis], boxes_BD, 0.0), [[0, 0], [0, missing], [0, 0]]
        ),
        "scores": tf.pad(scores_BD, [[0, 0], [0, missing]]),
        "labels": tf.pad(labels_BD, [[0, 0], [0, missing]]),
    }
