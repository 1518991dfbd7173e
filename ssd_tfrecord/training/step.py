"""One training step, a function of a batch that runs in replica context.

uint8 images -> colour -> matching -> network -> loss over the global batch -> gradients -> weights.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.geometry import matching
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import losses
from ssd_tfrecord.options import ColorOptions, LossOptions, OptimizerOptions
from ssd_tfrecord.tracing import not_converted
from ssd_tfrecord.training import optimizers


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    anchors_A4: np.ndarray,
    *,
    loss_options: LossOptions,
    optimizer_options: OptimizerOptions,
    color_options: ColorOptions = ColorOptions(),
    xla: bool = False,
) -> Callable[[Batch], dict[str, tf.Tensor]]:
    """Makes the step function, to be called with ``strategy.run``.

    Args:
        model: made by ``model.ssd.build``.
        optimizer: made and built by ``optimizers``.
        anchors_A4: float32 [A, 4].
        loss_options: of the loss.
        optimizer_options: those that ``optimizer`` was made with.
        color_options: those that the batches were made with.
        xla: compile loss and gradients. Everything that exchanges data between replicas, and the
            check for finite numbers, stays outside.

    Returns:
        ``step(batch) -> scalars``. ``batch`` is this replica's part of a batch of
        ``data.pipeline.batches``. The scalars, float32 and equal on every replica, are those of the
        global batch: ``loss`` and its parts ``class_loss`` and ``box_loss`` (weighted), each
        divided by the number of positives; ``positives_per_image``; ``unmatched_objects``, which
        overlap no anchor; ``bad_records``, damaged ones that were substituted; ``gradient_norm``;
        ``finite``, 1 or 0. If ``finite`` is 0, gradients of 0 are applied (with loss scaling, the
        optimizer skips the step instead), so that the weights stay finite; the caller stops the
        run. With loss scaling, ``finite`` covers the loss only.
    """
    anchors = tf.constant(anchors_A4)

    def loss_and_gradients(
        images: tf.Tensor, targets: dict[str, tf.Tensor], num_positives: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            class_sum, box_sum, _ = losses.multibox_sums(outputs, targets, anchors, loss_options)
            # By the positives of all replicas, so that the number of replicas does not change the
            # gradients.
            class_loss = tf.math.divide_no_nan(class_sum, num_positives)
            box_loss = loss_options.box_loss_weight * tf.math.divide_no_nan(box_sum, num_positives)
            scaled = optimizers.scale_loss(optimizer, class_loss + box_loss)
        return class_loss, box_loss, tape.gradient(scaled, model.trainable_variables)

    if xla:
        loss_and_gradients = tf.function(loss_and_gradients, jit_compile=True, autograph=False)

    @not_converted
    def step(batch: Batch) -> dict[str, tf.Tensor]:
        images = pipeline.network_images(batch, color_options)
        targets, counts = assign_targets(batch.boxes, batch.labels, anchors)
        # With the counts, so that one exchange does for both.
        bad_records = tf.math.count_nonzero(batch.substituted, [0], True, tf.float32)
        num_images, num_positives, num_unmatched, num_bad = tf.unstack(
            _sum_over_replicas(tf.concat([counts, bad_records], axis=0))
        )
        class_loss, box_loss, gradients = loss_and_gradients(images, targets, num_positives)
        gradients = optimizers.unscale(optimizer, _sum_over_replicas(gradients))
        class_loss, box_loss = tf.unstack(_sum_over_replicas(tf.stack([class_loss, box_loss])))
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(class_loss + box_loss)
        if not optimizers.scales(optimizer):  # loss scaling skips an overflow by itself
            finite &= tf.math.is_finite(norm)
            gradients = [tf.where(finite, gradient, 0.0) for gradient in gradients]
        optimizers.apply_gradients(
            optimizer, gradients, model.trainable_variables, optimizer_options
        )
        return {
            "loss": class_loss + box_loss,
            "class_loss": class_loss,
            "box_loss": box_loss,
            "positives_per_image": num_positives / num_images,
            "unmatched_objects": num_unmatched,
            "bad_records": num_bad,
            "gradient_norm": norm,
            "finite": tf.cast(finite, tf.float32),
        }

    return step


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


def _sum_over_replicas(values: Any) -> Any:
    """A tensor or a list of them, summed over all replicas."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)
