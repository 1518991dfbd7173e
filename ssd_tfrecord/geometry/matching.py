"""Anchors <-> objects for a whole batch at once (reference: Caffe SSD, bbox_util.cpp MatchBBox).

Axes: B images, M objects each (padded with label 0), A anchors; all N = B M objects, K of these.

Every object first gets an anchor of its own: the pair of highest IoU among free anchors and free
objects is joined until none is left. Then every free anchor takes its best object if their IoU is
at least 0.5. IoU is compared as the integer round(IoU * 2^14), its *level*, so that ties are exact
in a graph, in XLA, on CPU and GPU alike; then the lower anchor wins, then the lower object.

Both sides order their pairs by one integer: an object by its *wishes*, higher level first, then
lower anchor; an anchor by its *ranks*, higher level first, then lower object.
"""

import tensorflow as tf

from ssd_tfrecord.geometry import boxes as box_ops

IOU_LEVELS = 2**14
MATCH_LEVEL = IOU_LEVELS // 2  # IoU 0.5

# Pairs (object, anchor) whose levels are held at a time: 4 MB, so that a CPU's cache keeps them.
# In one piece they make matching twice as dear, four times on a machine with a small cache.
_MAX_PAIRS = 2**20
# On a GPU, each group costs launches instead: 1 % of a step of 64 images (H200, bfloat16).
_MAX_PAIRS_ON_GPU = 2**24

# Objects that look for another anchor at a time: of 32 x 56 objects, about 160 lose their first
# one, then 90, 50, 20, 10, …
_MAX_SEEKERS = 32


def match(boxes_BM4: tf.Tensor, labels_BM: tf.Tensor, anchors_A4: tf.Tensor) -> tf.Tensor:
    """The object of each anchor: int32 [B, A], -1 for background.

    A padded object matches nothing; an image without objects is all background. Any dimension may
    be unknown until the graph runs.

    Args:
        boxes_BM4: float32 [B, M, 4] ground truth, padded.
        labels_BM: int32 [B, M], 0 where padded.
        anchors_A4: float32 [A, 4]; A is at most 131,064, so that wishes fit into int32.
    """
    num_objects = tf.shape(labels_BM)[1]
    # A padded object becomes a box without area, which overlaps nothing.
    boxes_BM4 = tf.where(labels_BM[..., tf.newaxis] > 0, boxes_BM4, 0.0)
    best_BA, wish_BM = _favourites(boxes_BM4, anchors_A4)
    owned_BA = _bipartite(boxes_BM4, anchors_A4, wish_BM)
    rank_BA = tf.where(owned_BA > 0, owned_BA, best_BA)
    match_BA = tf.where(rank_BA > 0, num_objects - rank_BA % (num_objects + 1), -1)
    return tf.ensure_shape(match_BA, [labels_BM.shape[0], anchors_A4.shape[0]])


def iou_levels(boxes_BM4: tf.Tensor, anchors_A4: tf.Tensor) -> tf.Tensor:
    """round(IoU * 2^14) of every pair: int32 [B, M, A]."""
    iou_BMA = box_ops.pairwise_iou(boxes_BM4, anchors_A4)
    return tf.cast(tf.round(iou_BMA * float(IOU_LEVELS)), tf.int32)


def _favourites(boxes_BM4: tf.Tensor, anchors_A4: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Each anchor's best object and each object's best anchor, a few images at a time.

    Returns:
        int32 [B, A], the anchor's highest rank where that is of IoU 0.5 or more, else 0; and
        int32 [B, M], the object's highest wish.
    """
    num_images, num_objects = tf.unstack(tf.shape(boxes_BM4)[:2])
    num_anchors = tf.shape(anchors_A4)[0]
    fitting = _max_pairs() // tf.maximum(num_objects * num_anchors, 1)
    group = tf.maximum(tf.minimum(num_images, fitting), 1)
    # At least one group, even of an empty batch: map_fn could not tell the shape of nothing.
    num_groups = tf.maximum(-(-num_images // group), 1)
    padded = tf.pad(boxes_BM4, [[0, num_groups * group - num_images], [0, 0], [0, 0]])

    def of_group(boxes_BM4: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        level_BMA = iou_levels(boxes_BM4, anchors_A4)
        rank_BMA = _ranks(level_BMA, tf.range(num_objects)[:, tf.newaxis], num_objects)
        best_BA = tf.reduce_max(rank_BMA, axis=1)
        # Without any object it is the maximum of nothing: the lowest integer.
        best_BA = tf.where(best_BA >= MATCH_LEVEL * (num_objects + 1), best_BA, 0)
        return best_BA, tf.reduce_max(_wishes(level_BMA), axis=2)

    best_GBA, wish_GBM = tf.map_fn(
        of_group,
        tf.reshape(padded, [num_groups, group, num_objects, 4]),
        fn_output_signature=(
            tf.TensorSpec([None, anchors_A4.shape[0]], tf.int32),
            tf.TensorSpec([None, boxes_BM4.shape[1]], tf.int32),
        ),
    )
    best_BA = tf.reshape(best_GBA, [-1, num_anchors])[:num_images]
    return best_BA, tf.reshape(wish_GBM, [num_groups * group, num_objects])[:num_images]


def _max_pairs() -> int:
    """Decided when a graph is traced, by whether TensorFlow sees a GPU."""
    return _MAX_PAIRS_ON_GPU if tf.config.list_logical_devices("GPU") else _MAX_PAIRS


def _ranks(level: tf.Tensor, object_index: tf.Tensor, num_objects: tf.Tensor) -> tf.Tensor:
    """Level and object as one integer: above ``num_objects`` where they overlap, else above 0."""
    return level * (num_objects + 1) + num_objects - object_index


def _wishes(level: tf.Tensor) -> tf.Tensor:
    """Level and anchor as one integer, from levels [..., A].

    Below A where the pair does not overlap; at most 2^14 * A + A - 1.
    """
    num_anchors = tf.shape(level)[-1]
    return level * num_anchors + tf.range(num_anchors - 1, -1, -1)


def _bipartite(boxes_BM4: tf.Tensor, anchors_A4: tf.Tensor, wish_BM: tf.Tensor) -> tf.Tensor:
    """The rank of the pair by which each anchor is owned: int32 [B, A], 0 where it is free.

    Deferred acceptance: each object asks the best anchor that prefers it to the object that the
    anchor holds; an anchor keeps the best object that asked. Both sides order pairs by the same
    (IoU, lower anchor, lower object), so the only stable matching is that of the one-by-one greedy
    loop, whoever asks first. Only objects that lost their anchor look at the anchors again, a few
    in each round; asking again for an anchor that one already holds changes nothing.

    Args:
        boxes_BM4: float32 [B, M, 4], without area where padded.
        anchors_A4: float32 [A, 4].
        wish_BM: int32 [B, M], each object's highest wish among all anchors.
    """
    num_images, num_objects = tf.unstack(tf.shape(wish_BM))
    num_anchors = tf.shape(anchors_A4)[0]
    boxes_N4 = tf.reshape(boxes_BM4, [-1, 4])
    object_N = tf.tile(tf.range(num_objects), [num_images])
    image_N = tf.repeat(tf.range(num_images), num_objects)
    num_seekers = tf.minimum(num_images * num_objects, _MAX_SEEKERS)

    def ask(
        _: tf.Tensor, held_BA: tf.Tensor, wish_N: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # A wish is taken apart: into the anchor to ask, and the level for the rank to offer.
        place_N2 = tf.stack([image_N, num_anchors - 1 - wish_N % num_anchors], axis=-1)
        offer_N = _ranks(wish_N // num_anchors, object_N, num_objects)
        offer_N = tf.where(wish_N >= num_anchors, offer_N, 0)
        held_BA = tf.tensor_scatter_nd_max(held_BA, place_N2, offer_N)
        # Padded objects and those out of wishes offer 0, and so lose nothing.
        lost_N = (offer_N > 0) & (tf.gather_nd(held_BA, place_N2) > offer_N)

        wish_K, seeker_K = tf.math.top_k(tf.where(lost_N, wish_N, 0), num_seekers)
        level_KA = iou_levels(tf.gather(boxes_N4, seeker_K), anchors_A4)
        rank_KA = _ranks(level_KA, tf.gather(object_N, seeker_K)[:, tf.newaxis], num_objects)
        open_KA = rank_KA > tf.gather(held_BA, tf.gather(image_N, seeker_K))
        next_K = tf.reduce_max(tf.where(open_KA, _wishes(level_KA), 0), axis=1)
        # Wishes only fall. top_k may return objects that lost nothing: their wishes stay.
        next_K = tf.where(wish_K > 0, next_K, next_K.dtype.max)
        wish_N = tf.tensor_scatter_nd_min(wish_N, seeker_K[:, tf.newaxis], next_K)
        return tf.reduce_any(lost_N), held_BA, wish_N

    held_BA = tf.zeros([num_images, num_anchors], tf.int32)
    _, held_BA, _ = tf.while_loop(
        lambda asking, *_: asking,
        ask,
        [tf.constant(True), held_BA, tf.reshape(wish_BM, [-1])],
    )
    return held_BA
