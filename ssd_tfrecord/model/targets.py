"""What each anchor should predict: the objects of a batch, matched to the anchors."""

import tensorflow as tf

from ssd_tfrecord.geometry import matching
from ssd_tfrecord.model import losses


# Always compiled: without XLA, TensorFlow keeps int32 arithmetic of a GPU on the host (hence the
# labels are returned as int64), and on the CPU it takes three times as long.
@tf.function(jit_compile=True, autograph=False)
def assign_targets(
    boxes_BM4: tf.Tensor, labels_BM: tf.Tensor, anchors_A4: tf.Tensor
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Matches anchors to objects.

    Args:
        boxes_BM4: float32 [B, M, 4], padded.
        labels_BM: int32 [B, M], 0 for padding.
        anchors_A4: float32 [A, 4].

    Returns:
        Box and label of each anchor, {"boxes": float32 [B, A, 4], "labels": int64 [B, A]}, label 0
        for background; and the counts, float32 [3]: images, positives, unmatched objects.
    """
    match_BA = matching.match(boxes_BM4, labels_BM, anchors_A4)
    targets = losses.assign(match_BA, boxes_BM4, labels_BM)
    # 1 for each object that has an anchor. Segment 0 collects the background.
    matched_BM = tf.math.unsorted_segment_max(
        tf.ones_like(match_BA), _segments(match_BA, labels_BM), tf.size(labels_BM) + 1
    )
    num_matched = tf.reduce_sum(tf.cast(matched_BM[1:] > 0, tf.int32))
    num_objects = tf.math.count_nonzero(labels_BM, dtype=tf.int32)
    num_positives = tf.math.count_nonzero(match_BA >= 0, dtype=tf.int32)
    counts = [tf.shape(labels_BM)[0], num_positives, num_objects - num_matched]
    targets["labels"] = tf.cast(targets["labels"], tf.int64)
    return targets, tf.cast(tf.stack(counts), tf.float32)


def _segments(match_BA: tf.Tensor, labels_BM: tf.Tensor) -> tf.Tensor:
    """1 + the object's index in the flattened batch, 0 for background: int32 [B, A]."""
    num_images, num_objects = tf.unstack(tf.shape(labels_BM))
    place_BA = match_BA + 1 + tf.range(num_images)[:, tf.newaxis] * num_objects
    return tf.where(match_BA >= 0, place_BA, 0)
