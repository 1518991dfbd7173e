"""``geometry.suppression.select`` without XLA, for graphs that must run where there is none.

TensorFlow Serving is built without XLA, so no compiled function may be in what it loads.

Legend: B images, A anchors, C classes, M anchors with a candidate, K candidates of a class, R = B·C
rows, D detections of an image.
"""

import math

import numpy as np
import tensorflow as tf

from ssd_tfrecord.options import DetectionOptions

# Of ``geometry.suppression``: IoU is compared as the integer round(IoU * 2^14).
_IOU_STEPS = 2**14


# On the CPU, also where there is a GPU: the tie rule is that of the CPU's kernel.
def select(boxes: tf.Tensor, scores: tf.Tensor, options: DetectionOptions) -> dict[str, tf.Tensor]:
    """As ``geometry.suppression.select``, equal to the bit, and with the anchor of each detection.

    Two things make the built-in kernel of one class and image the same as ours: its threshold lies
    where ours changes (``kernel_threshold``), and its IoU is computed in the order of ours. Of
    equal scores it takes the lower index first, as we do.

    CPU ms of TensorFlow 2.15, D = 100, 400 candidates, of 1 and of 8 images: photographs with 340
    scores above the threshold, and the worst case, where all 8732 anchors are candidates of all
    classes:

                                          20 classes               80 classes
                                    photographs    worst     photographs    worst
        the compiled loop             3.5   23    12    80     9.5   77    43   313
        this                          3.2   10    12    87     3.8   21    32   338
        the same loop, uncompiled      11   84    53   286      25  358   166  1538
        the best of all classes, one
        after another, D steps         11   29    20    82      12   42    40   227
        the best of each class at
        once, as many steps as the
        fullest class keeps             4   11    29   256       6   28   110   647
        IoU matrix, fixed point         3   20    43   376       6   78   386  3195

    ``tf.image.combined_non_max_suppression`` (1.1 to 183 ms) has neither our limit of candidates,
    nor a rule for ties, nor the anchors.

    Args:
        boxes: float32 [B, A, 4], shared by the classes; no side is negative.
        scores: float32 [B, A, C].
        options: thresholds and counts.

    Returns:
        ``boxes``, ``scores`` and ``labels`` as there, and ``anchors`` int32 [B, D]: the index of
        each detection among the A, 0 in rows of padding.
    """
    with tf.device("CPU:0"):
        scores_BCK, anchors_BCK = _candidates(scores, options)
        boxes_BCK = tf.gather(boxes, anchors_BCK, batch_dims=1)
        kept_BCK = tf.where(_keep(boxes_BCK, scores_BCK, options), scores_BCK, 0.0)
        return _best(boxes_BCK, kept_BCK, anchors_BCK, options.max_detections)


def kernel_threshold(nms_iou: float) -> float:
    """The float32 t for which IoU > t is ``round(IoU * 2^14) > nms_iou * 2^14``.

    With n the integer part of the right side, the left one must be n + 1 or more: IoU * 2^14 above
    n + 1/2, or exactly that if n is odd, because halves are rounded to even. So t lies half a step
    beside all simple fractions, and as there, no rounding of an IoU can move a pair across it.
    """
    # float32, as it is compared there.
    whole = math.floor(np.float32(nms_iou * _IOU_STEPS))
    middle = np.float32((whole + 0.5) / _IOU_STEPS)
    threshold = middle if whole % 2 == 0 else np.nextafter(middle, np.float32(0.0))
    # The kernel takes no more; no IoU is above 1.
    return min(float(threshold), 1.0)


def _candidates(scores: tf.Tensor, options: DetectionOptions) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores and anchors [B, C, K] of the candidates of each class, best first; 0 is none."""
    # Of thousands of anchors some hundreds have a score above the threshold. Sorting those alone
    # takes a third of the time. top_k puts the lower index first among equals: so they stay in
    # order, which is the tie rule.
    seen_BA = tf.reduce_any(scores > options.score_threshold, axis=2)
    num_seen = tf.reduce_max(tf.reduce_sum(tf.cast(seen_BA, tf.int32), axis=1))
    # At least one, because the maximum over no images is the lowest integer.
    _, anchors_BM = tf.math.top_k(tf.cast(seen_BA, tf.float32), tf.maximum(1, num_seen))
    scores_BCM = tf.transpose(tf.gather(scores, anchors_BM, batch_dims=1), [0, 2, 1])
    scores_BCM = tf.where(scores_BCM > options.score_threshold, scores_BCM, 0.0)
    counts_BC = tf.reduce_sum(tf.cast(scores_BCM > 0.0, tf.int32), axis=2)
    fullest = tf.maximum(1, tf.reduce_max(counts_BC))
    num_candidates = tf.minimum(options.nms_candidates, fullest)
    scores_BCK, places_BCK = tf.math.top_k(scores_BCM, num_candidates)
    return scores_BCK, tf.gather(anchors_BM, places_BCK, batch_dims=1)


def _keep(boxes_BCK: tf.Tensor, scores_BCK: tf.Tensor, options: DetectionOptions) -> tf.Tensor:
    """Which candidates stay, bool [B, C, K]: the kernel, on each class that has any."""
    shape = tf.shape(scores_BCK)
    per_class = shape[2]
    boxes_RK = tf.reshape(boxes_BCK, [-1, per_class, 4])
    scores_RK = tf.reshape(scores_BCK, [-1, per_class])
    rows = tf.cast(tf.where(scores_RK[:, 0] > 0.0)[:, 0], tf.int32)
    threshold = kernel_threshold(options.nms_iou)

    def step(i: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        row = rows[i]
        kept = tf.image.non_max_suppression(
            tf.gather(boxes_RK, row),
            tf.gather(scores_RK, row),
            options.max_detections,
            iou_threshold=threshold,
            # Padding has 0.
            score_threshold=0.0,
        )
        return i + 1, found.write(i, row * per_class + kept)

    num_rows = tf.size(rows)
    found = tf.TensorArray(tf.int32, num_rows, infer_shape=False, element_shape=[None])
    _, found = tf.while_loop(lambda i, _: i < num_rows, step, [0, found])
    kept_N = found.concat()
    marks = tf.scatter_nd(kept_N[:, tf.newaxis], tf.ones_like(kept_N), [tf.size(scores_RK)])
    return tf.reshape(marks > 0, shape)


def _best(
    boxes_BCK: tf.Tensor, scores_BCK: tf.Tensor, anchors_BCK: tf.Tensor, max_detections: int
) -> dict[str, tf.Tensor]:
    """The best of all classes, padded to ``max_detections``; see ``select``."""
    shape = tf.shape(scores_BCK)
    batch, per_class, total = shape[0], shape[2], shape[1] * shape[2]
    num_kept = tf.minimum(max_detections, total)
    scores_BD, indices_BD = tf.math.top_k(tf.reshape(scores_BCK, [batch, total]), num_kept)
    found_BD = scores_BD > 0.0
    boxes_BD = tf.gather(tf.reshape(boxes_BCK, [batch, total, 4]), indices_BD, batch_dims=1)
    anchors_BD = tf.gather(tf.reshape(anchors_BCK, [batch, total]), indices_BD, batch_dims=1)
    missing = max_detections - num_kept

    def padded(values: tf.Tensor) -> tf.Tensor:
        further = [[0, 0]] * (values.shape.rank - 2)
        # What is saved tells clients the number of rows.
        shape = [None, max_detections, *values.shape[2:]]
        return tf.ensure_shape(tf.pad(values, [[0, 0], [0, missing], *further]), shape)

    return {
        "boxes": padded(tf.where(found_BD[..., tf.newaxis], boxes_BD, 0.0)),
        "scores": padded(scores_BD),
        "labels": padded(tf.where(found_BD, indices_BD // per_class + 1, 0)),
        "anchors": padded(tf.where(found_BD, anchors_BD, 0)),
    }
