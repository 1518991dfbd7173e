"""Anchors <-> objects for a whole batch at once (reference: Caffe SSD, bbox_util.cpp MatchBBox).

Axes: B images, M objects (padded with label 0), A anchors.

Every object first gets an anchor of its own: the pair of highest IoU among free anchors and free
objects is joined until none is left. Then every free anchor takes its best object at IoU >= 0.5.
IoU is compared as the integer round(IoU * 2^14), so that ties are exact in graph, XLA, CPU and GPU
alike; the lower anchor, then the lower object wins.
"""

import tensorflow as tf

from ssd_tfrecord.geometry import boxes as box_ops

IOU_LEVELS = 2**14
MATCH_LEVEL = IOU_LEVELS // 2  # IoU 0.5


def match(boxes_BM4, labels_BM, anchors_A4):
    """The object of each anchor: int32 [B, A], -1 for background.

    Args:
        boxes_BM4: float32 [B, M, 4] ground truth, padded.
        labels_BM: int32 [B, M], 0 where padded.
        anchors_A4: float32 [A, 4].

    A padded object matches nothing; an image without objects is all background.
    """
    # One padded row more: with no object at all there is still something to take a maximum over.
    boxes_BM4 = tf.pad(boxes_BM4, [[0, 0], [0, 1], [0, 0]])
    labels_BM = tf.pad(labels_BM, [[0, 0], [0, 1]])
    num_rows = tf.shape(labels_BM)[1]
    level_BMA = iou_levels(boxes_BM4, anchors_A4) * tf.cast(labels_BM > 0, tf.int32)[..., None]
    # An anchor's wishes as one integer an object: higher level first, then lower object.
    rank_BMA = level_BMA * num_rows + _descending(labels_BM, axis=1)[:, :, None]
    rank_BMA = tf.where(level_BMA > 0, rank_BMA, 0)
    owned_BA = _bipartite(level_BMA, rank_BMA)
    best_BA = tf.reduce_max(rank_BMA, axis=1)
    best_BA = tf.where(best_BA // num_rows >= MATCH_LEVEL, best_BA, 0)
    rank_BA = tf.where(owned_BA > 0, owned_BA, best_BA)
    return tf.where(rank_BA > 0, num_rows - 1 - rank_BA % num_rows, -1)


def iou_levels(boxes_BM4, anchors_A4):
    """round(IoU * 2^14) of every pair: int32 [B, M, A]."""
    iou_BMA = box_ops.pairwise_iou(boxes_BM4, anchors_A4)
    return tf.cast(tf.round(iou_BMA * float(IOU_LEVELS)), tf.int32)


def _descending(like, axis):
    """n - 1, …, 1, 0 along ``axis``, in the (static) shape of ``like``."""
    return tf.cumsum(tf.ones_like(like), axis=axis, exclusive=True, reverse=True)


def _bipartite(level_BMA, rank_BMA):
    """The rank by which each anchor is owned: int32 [B, A], 0 where it is free.

    Deferred acceptance: each free object asks the best anchor that would rather have it than what
    it holds; an anchor keeps the best object that asked. As both sides order pairs by the same
    (IoU, lower anchor, lower object), this stable matching is the one of the one-by-one greedy
    loop, in a few vectorised rounds (as many as objects at worst).
    """
    num_images, num_rows, num_anchors = tf.unstack(tf.shape(level_BMA))
    # An object's wishes: higher level first, then lower anchor; below 2^14 * 24564 + 24564 < 2^31.
    wish_BMA = level_BMA * num_anchors + _descending(level_BMA[:1, :1], axis=2)
    nobody_BM = tf.zeros_like(level_BMA[:, :, 0])
    image_BM = nobody_BM + tf.range(num_images)[:, None]

    def ask(_, held_BA, target_BM, own_BM):
        holds_BM = tf.gather(held_BA, target_BM, batch_dims=1) == own_BM
        open_BMA = rank_BMA > held_BA[:, None, :]
        wish_BM = tf.reduce_max(tf.where(open_BMA, wish_BMA, -1), axis=2)
        asks_BM = (wish_BM >= 0) & ~holds_BM
        asked_BM = num_anchors - 1 - wish_BM % num_anchors
        target_BM = tf.where(asks_BM, asked_BM, target_BM)
        offer_BM = wish_BM // num_anchors * num_rows + _descending(nobody_BM, axis=1)
        own_BM = tf.where(asks_BM, offer_BM, own_BM)
        held_BA = tf.tensor_scatter_nd_max(
            held_BA, tf.stack([image_BM, target_BM], axis=-1), tf.where(asks_BM, own_BM, 0)
        )
        return tf.reduce_any(asks_BM), held_BA, target_BM, own_BM

    _, held_BA, _, _ = tf.while_loop(
        lambda asking, *_: asking,
        ask,
        # own = -1 equals nothing held: at first no object holds an anchor.
        [tf.constant(True), tf.zeros_like(level_BMA[:, 0]), nobody_BM, nobody_BM - 1],
    )
    return held_BA
