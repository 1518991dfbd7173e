"""From the network's outputs to detections: the only post-processing, shared by all programs.

Legend: B images, A anchors, C classes, K candidates of a class in N blocks of T, D detections of an
image.
"""

import tensorflow as tf

from ssd_tfrecord.geometry import boxes as box_ops
from ssd_tfrecord.geometry.coding import decode
from ssd_tfrecord.options import DetectionOptions

# IoU is compared as the integer round(IoU * 2^14), as in matching: so fused arithmetic (XLA, GPU)
# cannot move a pair that lies on the threshold.
_IOU_STEPS = 2.0**14

# Candidates that suppress at a time on a GPU. The pairs in a block are all that is held in memory.
_BLOCK = 64


def detect(
    offsets: tf.Tensor, logits: tf.Tensor, anchors: tf.Tensor, options: DetectionOptions
) -> dict[str, tf.Tensor]:
    """Detections of a batch (reference: SSD's DetectionOutput layer). Runs in a graph and in XLA.

    Args:
        offsets: float32 [B, A, 4] as ``geometry.coding`` reads them.
        logits: float32 [B, A, C + 1]; class 0 is the background.
        anchors: float32 [A, 4].
        options: thresholds and counts.

    Returns:
        As ``select``; boxes are clipped to [0, 1].
    """
    scores = tf.nn.softmax(logits, axis=-1)[..., 1:]
    # Clipped last: suppression compares the boxes as they were decoded, as in Caffe's layer. That
    # returns them so, too (detection_output_layer.cpp: clip_bbox = false), and clips only what it
    # writes to result files (bbox_util.cpp: OutputBBox).
    found = select(decode(offsets, anchors), scores, options)
    return {**found, "boxes": tf.clip_by_value(found["boxes"], 0.0, 1.0)}


# Always compiled: outside XLA TensorFlow keeps a GPU's int32 arithmetic on the host, which would be
# one copy per step of the loop; on the CPU it takes 33 ms instead of 195 (case of ``_greedy``).
@tf.function(jit_compile=True, autograph=False)
def select(boxes: tf.Tensor, scores: tf.Tensor, options: DetectionOptions) -> dict[str, tf.Tensor]:
    """The best boxes of each image after greedy non-maximum suppression in each class.

    The ``nms_candidates`` best scores of each class that are above ``score_threshold`` enter. A box
    is discarded if its IoU with a better one that was kept is above ``nms_iou``; of the rest, the
    ``max_detections`` best of all classes are returned. Of equal scores the lower class wins, then
    the lower anchor.

    Args:
        boxes: float32 [B, A, 4], shared by the classes.
        scores: float32 [B, A, C].
        options: thresholds and counts.

    Returns:
        ``boxes`` float32 [B, D, 4], ``scores`` float32 [B, D] descending, ``labels`` int32 [B, D]
        from 1, with D = ``max_detections``. Rows whose label, score and box are 0 fill up the end.
    """
    scores_BCA = tf.transpose(scores, [0, 2, 1])
    scores_BCA = tf.where(scores_BCA > options.score_threshold, scores_BCA, 0.0)
    num_candidates = tf.minimum(options.nms_candidates, tf.shape(scores_BCA)[2])
    # top_k puts the lower index first among equals: that is the tie rule, here and in ``_best``.
    scores_BCK, anchors_BCK = tf.math.top_k(scores_BCA, num_candidates)
    boxes_BCK = tf.gather(boxes, anchors_BCK, batch_dims=1)
    # Decided when a graph is traced, by whether TensorFlow sees a GPU; both give the same bits.
    suppress = _greedy_in_blocks if tf.config.list_logical_devices("GPU") else _greedy
    keep_BCK = suppress(boxes_BCK, scores_BCK > 0.0, options.nms_iou)
    return _best(boxes_BCK, tf.where(keep_BCK, scores_BCK, 0.0), options.max_detections)


def _greedy(boxes_BCK: tf.Tensor, valid_BCK: tf.Tensor, nms_iou: float) -> tf.Tensor:
    """Which candidates stay, bool [B, C, K]; candidates are in descending order of score.

    In step i the i-th candidates of all classes of all images suppress the later ones at once;
    there are as many steps as the fullest class has candidates. Compared with alternatives of equal
    result (8 images x 20 classes x 400 candidates, compiled, 2 CPU cores): this loop takes 19 ms,
    the whole IoU matrix with fixed-point iteration 75 ms and 100 MB, and
    ``tf.image.non_max_suppression_padded`` 721 ms.
    """
    ranks_K = tf.range(tf.shape(valid_BCK)[2])
    num_steps = _fullest(valid_BCK)

    def step(i: tf.Tensor, keep_BCK: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        close_BCK = _close(boxes_BCK[:, :, i, tf.newaxis], boxes_BCK, nms_iou)
        gone_BCK = keep_BCK[:, :, i, tf.newaxis] & close_BCK & (ranks_K > i)
        return i + 1, keep_BCK & ~gone_BCK

    _, keep_BCK = tf.while_loop(lambda i, _: i < num_steps, step, [0, valid_BCK])
    return keep_BCK


def _greedy_in_blocks(boxes_BCK: tf.Tensor, valid_BCK: tf.Tensor, nms_iou: float) -> tf.Tensor:
    """As ``_greedy``, equal to the bit, in fewer and larger steps: each costs a GPU 30 us.

    A block of candidates is first settled by itself: who stays is found by suppressing with those
    that stay by the last guess until no guess changes, a few times for boxes of a network, at most
    T times. Then those that stay suppress all later candidates at once.

    ``select`` of 32 images x 20 classes x 400 candidates takes 1.8 ms so, 9 to 13 with the loop
    (H200); where each box overlaps just the next, about as much as the loop. On a CPU the loop is
    faster: 35 ms instead of 65 (case of ``_greedy``, another machine).
    """
    num_images, num_classes, num_candidates = tf.unstack(tf.shape(valid_BCK))
    num_blocks = -(-num_candidates // _BLOCK)
    missing = num_blocks * _BLOCK - num_candidates
    boxes_BCK = tf.pad(boxes_BCK, [[0, 0], [0, 0], [0, missing], [0, 0]])
    shape_BCNT = [num_images, num_classes, num_blocks, _BLOCK]
    boxes_BCNT = tf.reshape(boxes_BCK, [*shape_BCNT, 4])
    ranks_K, ranks_T = tf.range(num_blocks * _BLOCK), tf.range(_BLOCK)
    num_steps = -(-_fullest(valid_BCK) // _BLOCK)

    def step(i: tf.Tensor, keep_BCK: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        boxes_BCT = boxes_BCNT[:, :, i]
        close_BCTT = _close(boxes_BCT[:, :, :, tf.newaxis], boxes_BCT[:, :, tf.newaxis], nms_iou)
        later_TT = ranks_T > ranks_T[:, tf.newaxis]
        keep_BCT = _settle(close_BCTT & later_TT, tf.reshape(keep_BCK, shape_BCNT)[:, :, i])
        close_BCTK = _close(boxes_BCT[:, :, :, tf.newaxis], boxes_BCK[:, :, tf.newaxis], nms_iou)
        later_TK = ranks_K > (i * _BLOCK + ranks_T)[:, tf.newaxis]
        gone_BCTK = keep_BCT[..., tf.newaxis] & close_BCTK & later_TK
        keep_BCK = keep_BCK & ~tf.reduce_any(gone_BCTK, axis=2)
        return i + 1, tf.ensure_shape(keep_BCK, padded_BCK.shape)

    padded_BCK = tf.pad(valid_BCK, [[0, 0], [0, 0], [0, missing]])
    _, keep_BCK = tf.while_loop(lambda i, _: i < num_steps, step, [0, padded_BCK])
    return keep_BCK[:, :, :num_candidates]


def _settle(suppresses_BCTT: tf.Tensor, valid_BCT: tf.Tensor) -> tf.Tensor:
    """Which candidates of a block stay, bool [B, C, T].

    After n rounds the first n of each class are settled, as only earlier ones suppress.

    Args:
        suppresses_BCTT: whether a candidate (third axis) would suppress a later one (last axis).
        valid_BCT: those that no earlier block suppressed.
    """

    def guess(_: tf.Tensor, keep_BCT: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        gone_BCT = tf.reduce_any(keep_BCT[..., tf.newaxis] & suppresses_BCTT, axis=2)
        new_BCT = valid_BCT & ~gone_BCT
        return tf.reduce_any(new_BCT != keep_BCT), new_BCT

    _, keep_BCT = tf.while_loop(lambda changed, _: changed, guess, [tf.constant(True), valid_BCT])
    return keep_BCT


def _close(boxes_a: tf.Tensor, boxes_b: tf.Tensor, nms_iou: float) -> tf.Tensor:
    """Whether the IoU of boxes, which may broadcast, is above ``nms_iou``."""
    return tf.round(box_ops.iou(boxes_a, boxes_b) * _IOU_STEPS) > nms_iou * _IOU_STEPS


def _fullest(valid_BCK: tf.Tensor) -> tf.Tensor:
    """The largest number of candidates of a class."""
    counts_BC = tf.reduce_sum(tf.cast(valid_BCK, tf.int32), axis=2)
    # At least 0: the maximum over no classes is the lowest integer.
    return tf.maximum(0, tf.reduce_max(counts_BC))


def _best(boxes_BCK: tf.Tensor, scores_BCK: tf.Tensor, max_detections: int) -> dict[str, tf.Tensor]:
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
