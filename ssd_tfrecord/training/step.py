"""One training step, a function of a batch that runs in replica context.

uint8 images -> colour -> matching -> network -> loss over the global batch -> gradients -> weights.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import losses
from ssd_tfrecord.model.targets import assign_targets
from ssd_tfrecord.options import ColorOptions, LossOptions, OptimizerOptions
from ssd_tfrecord.tracing import not_converted
from ssd_tfrecord.training.update import optimizers


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    anchors_A4: np.ndarray,
    *,
    loss_options: LossOptions,
    optimizer_options: OptimizerOptions,
    color_options: ColorOptions = ColorOptions(),
    xla: bool = False,
    keep_fn: Callable[[Batch, tf.Tensor], None] | None = None,
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
        keep_fn: called in replica context, in the graph, with this replica's batch and whether the
            step is finite (bool).

    Returns:
        ``step(batch) -> scalars``. ``batch`` is this replica's part of a batch of
        ``data.pipeline.batches``. The scalars, float32 and equal on every replica, are those of the
        global batch: ``loss`` and its parts ``class_loss`` and ``box_loss`` (weighted), each
        divided by the number of positives; ``positives_per_image``; ``unmatched_objects``, which
        overlap no anchor; ``bad_records``, damaged ones that were substituted; ``gradient_norm``;
        ``finite``, 1 or 0; ``skipped_steps``, 1 if the weights were not updated; ``loss_scale``
        that the step was made with, 1 without loss scaling. If ``finite`` is 0, every variable is
        left as it was before the step: weights, moving averages and all that the optimizer holds.
        With loss scaling, ``finite`` covers the loss only: a gradient that overflows is skipped by
        the optimizer, which lowers the scale and counts the step.
    """
    anchors = tf.constant(anchors_A4)
    averages = _moving_averages(model)

    def gradients_of(
        images: tf.Tensor, targets: dict[str, tf.Tensor], num_positives: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        return loss_and_gradients(
            model,
            images,
            targets,
            num_positives,
            anchors_A4=anchors,
            options=loss_options,
            scale_fn=lambda loss: optimizers.scale_loss(optimizer, loss),
        )

    if xla:
        gradients_of = tf.function(gradients_of, jit_compile=True, autograph=False)

    def apply(gradients: list[tf.Tensor]) -> None:
        optimizers.apply_gradients(
            optimizer, gradients, model.trainable_variables, optimizer_options
        )

    def restore(before: list[tf.Tensor]) -> None:
        for variable, value in zip(averages, before):
            variable.assign(value)

    @not_converted
    def step(batch: Batch) -> dict[str, tf.Tensor]:
        images = pipeline.network_images(batch, color_options)
        targets, counts = assign_targets(batch.boxes, batch.labels, anchors)
        # With the counts, so that one exchange does for both.
        bad_records = tf.math.count_nonzero(batch.substituted, [0], True, tf.float32)
        num_images, num_positives, num_unmatched, num_bad = tf.unstack(
            _sum_over_replicas(tf.concat([counts, bad_records], axis=0))
        )
        # The forward pass updates them before anything is known to be finite.
        before = [variable.read_value() for variable in averages]
        scale = optimizers.loss_scale(optimizer)
        class_loss, box_loss, gradients = gradients_of(images, targets, num_positives)
        gradients = optimizers.unscale(optimizer, _sum_over_replicas(gradients))
        class_loss, box_loss = tf.unstack(_sum_over_replicas(tf.stack([class_loss, box_loss])))
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(class_loss + box_loss)
        applied = finite & tf.math.is_finite(norm)
        if optimizers.scales(optimizer):
            # As the optimizer decides: a norm overflows before its gradients do.
            applied = finite & _all_finite(gradients)
        else:
            finite = applied
        optimizers.apply_or_undo(finite, apply, gradients, restore, before)
        if keep_fn:
            keep_fn(batch, finite)
        return {
            "loss": class_loss + box_loss,
            "class_loss": class_loss,
            "box_loss": box_loss,
            "positives_per_image": num_positives / num_images,
            "unmatched_objects": num_unmatched,
            "bad_records": num_bad,
            "gradient_norm": norm,
            "finite": tf.cast(finite, tf.float32),
            "skipped_steps": 1.0 - tf.cast(applied, tf.float32),
            "loss_scale": scale,
        }

    return step


def loss_and_gradients(
    model: keras.Model,
    images: tf.Tensor,
    targets: dict[str, tf.Tensor],
    num_positives: tf.Tensor,
    *,
    anchors_A4: tf.Tensor,
    options: LossOptions,
    scale_fn: Callable[[tf.Tensor], tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """The loss of one replica's images, and the gradients of what ``scale_fn`` makes of it.

    Args:
        model: made by ``model.ssd.build``; called in training mode.
        images: float32 [B, S, S, 3] of ``pipeline.network_images``.
        targets: of ``assign_targets``.
        num_positives: float32 scalar, of the global batch: so that the number of replicas does not
            change the gradients.
        anchors_A4: float32 [A, 4].
        options: of the loss.
        scale_fn: scales the loss.

    Returns:
        (class loss, weighted box loss, a gradient for each trainable variable).
    """
    with tf.GradientTape() as tape:
        outputs = model(images, training=True)
        class_sum, box_sum, _ = losses.multibox_sums(outputs, targets, anchors_A4, options)
        class_loss = tf.math.divide_no_nan(class_sum, num_positives)
        box_loss = options.box_loss_weight * tf.math.divide_no_nan(box_sum, num_positives)
        scaled = scale_fn(class_loss + box_loss)
    return class_loss, box_loss, tape.gradient(scaled, model.trainable_variables)


def _sum_over_replicas(values: Any) -> Any:
    """A tensor or a list of them, summed over all replicas."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _all_finite(gradients: list[tf.Tensor]) -> tf.Tensor:
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in gradients])


def _moving_averages(model: keras.Model) -> list[tf.Variable]:
    """The variables that a forward pass in training mode changes."""
    # A frozen layer's weights count as non-trainable too, but nothing changes them.
    layers = [layer for layer in model.layers if layer.trainable]
    return [variable for layer in layers for variable in layer.non_trainable_variables]
