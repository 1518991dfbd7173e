"""One training step, a function of a batch that runs in replica context.

uint8 images -> colour -> matching -> network -> loss over the global batch -> gradients -> weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import losses
from ssd_tfrecord.model.targets import assign_targets
from ssd_tfrecord.options import ColorOptions, DeviceOptions, LossOptions, OptimizerOptions
from ssd_tfrecord.tracing import not_converted
from ssd_tfrecord.training.update import optimizers


@dataclass(frozen=True)
class StepOptions:
    """The options of a step.

    ``optimizer`` are those that the optimizer was made with, ``color`` those of the batches;
    ``devices`` say how gradients travel between replicas. ``xla``: loss and gradients are compiled.
    Everything that exchanges data between replicas, and the check for finite numbers, stays
    outside.
    """

    loss: LossOptions
    optimizer: OptimizerOptions
    color: ColorOptions = ColorOptions()
    devices: DeviceOptions = DeviceOptions()
    xla: bool = False


class TrainStep:
    """One training step; ``step`` is to be called with ``strategy.run``.

    Args:
        model: made by ``model.ssd.build``.
        optimizer: made and built by ``optimizers``.
        anchors_A4: float32 [A, 4].
        options: of the step.
        keep_fn: called in replica context, in the graph, with this replica's batch and whether the
            step is finite (bool).
        average_fn: called after the weights have changed, in replica context, with the number of
            finished steps (int64).
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        anchors_A4: np.ndarray,
        options: StepOptions,
        *,
        keep_fn: Callable[[Batch, tf.Tensor], None] | None = None,
        average_fn: Callable[[tf.Tensor], None] | None = None,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._anchors = tf.constant(anchors_A4)
        self._options = options
        self._keep_fn = keep_fn
        self._average_fn = average_fn
        self._averages = _moving_averages(model)
        self._gradients = self._loss_and_gradients
        if options.xla:
            self._gradients = tf.function(
                self._loss_and_gradients, jit_compile=True, autograph=False
            )

    @not_converted
    def step(self, batch: Batch, stop: tf.Tensor | float = 0.0) -> dict[str, tf.Tensor]:
        """Changes the weights by a batch.

        Args:
            batch: this replica's part of a batch of ``data.pipeline.batches``.
            stop: float32, more than 0 where this host has been asked to stop.

        Returns:
            Scalars, float32 and equal on every replica, of the global batch: ``loss`` and its parts
            ``class_loss`` and ``box_loss`` (weighted), each divided by the number of positives;
            ``positives_per_image``; ``unmatched_objects``, which overlap no anchor;
            ``bad_records``, damaged ones that were substituted; ``gradient_norm``; ``finite``, 1 or
            0; ``skipped_steps``, 1 if the weights were not updated; ``loss_scale`` that the step
            was made with, 1 without loss scaling; ``stop``, summed over all replicas.

            If ``finite`` is 0, every variable is left as it was before the step: weights, moving
            averages and all that the optimizer holds, except for its number of steps, which the
            learning rate follows. With loss scaling, ``finite`` covers the loss only: a gradient
            that overflows is skipped by the optimizer, which lowers the scale and counts the step.
        """
        optimizer = self._optimizer
        targets, counts = assign_targets(batch.boxes, batch.labels, self._anchors)
        # With the counts, so that one exchange does for all.
        bad_records = tf.math.count_nonzero(batch.substituted, [0], True, tf.float32)
        num_images, num_positives, num_unmatched, num_bad, stops = tf.unstack(
            _sum_over_replicas(tf.concat([counts, bad_records, [stop]], axis=0))
        )
        # The forward pass updates them before anything is known to be finite.
        before = [variable.read_value() for variable in self._averages]
        scale = optimizers.loss_scale(optimizer)
        class_loss, box_loss, gradients = self._accumulated(batch, targets, num_positives)
        gradients = optimizers.unscale(optimizer, self._reduced(gradients))
        class_loss, box_loss = tf.unstack(_sum_over_replicas(tf.stack([class_loss, box_loss])))
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(class_loss + box_loss)
        applied = finite & tf.math.is_finite(norm)
        if optimizers.scales(optimizer):
            # As the optimizer decides: a norm overflows before its gradients do.
            applied = finite & _all_finite(gradients)
        else:
            finite = applied
        optimizers.apply_or_undo(finite, self._apply, gradients, self._undo, before)
        if self._keep_fn:
            self._keep_fn(batch, finite)
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
            "stop": stops,
        }

    def _accumulated(
        self, batch: Batch, targets: dict[str, tf.Tensor], num_positives: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """The sums of ``_loss_and_gradients`` over the parts of ``batch``, one after the other."""
        count = self._options.optimizer.accumulate_steps
        total: list[tf.Tensor] = []
        for part in zip(*(tf.split(value, count) for value in (*batch, *targets.values()))):
            # Not before the last part is done, or there would have to be memory for all of them.
            with tf.control_dependencies(total):
                tensors = [tf.identity(value) for value in part]
            images = pipeline.network_images(Batch(*tensors[: len(batch)]), self._options.color)
            class_loss, box_loss, gradients = self._gradients(
                images, dict(zip(targets, tensors[len(batch) :])), num_positives
            )
            values = [class_loss, box_loss, *gradients]
            total = [a + b for a, b in zip(total, values)] if total else values
        return total[0], total[1], total[2:]

    def _loss_and_gradients(
        self, images: tf.Tensor, targets: dict[str, tf.Tensor], num_positives: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        return loss_and_gradients(
            self._model,
            images,
            targets,
            num_positives,
            anchors_A4=self._anchors,
            options=self._options.loss,
            scale_fn=lambda loss: optimizers.scale_loss(self._optimizer, loss),
        )

    def _reduced(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """The gradients, summed over all replicas, on the way in ``gradient_dtype``."""
        options = self._options.devices
        packs = tf.distribute.experimental.CommunicationOptions(
            bytes_per_pack=options.allreduce_mb * 2**20
        )
        sent = [tf.cast(gradient, options.gradient_dtype) for gradient in gradients]
        return [tf.cast(total, tf.float32) for total in _sum_over_replicas(sent, packs)]

    def _apply(self, gradients: list[tf.Tensor]) -> None:
        optimizers.apply_gradients(
            self._optimizer,
            gradients,
            self._model.trainable_variables,
            self._options.optimizer,
        )
        if self._average_fn:
            self._average_fn(self._optimizer.iterations)

    def _undo(self, before: list[tf.Tensor]) -> None:
        for variable, value in zip(self._averages, before):
            variable.assign(value)
        optimizers.count_step(self._optimizer)


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
        # Without any, nothing is mined; the focal loss still has its background.
        divisor = tf.maximum(num_positives, 1.0)
        class_loss = class_sum / divisor
        box_loss = options.box_loss_weight * box_sum / divisor
        scaled = scale_fn(class_loss + box_loss)
    return class_loss, box_loss, tape.gradient(scaled, model.trainable_variables)


def _sum_over_replicas(
    values: Any, options: tf.distribute.experimental.CommunicationOptions | None = None
) -> Any:
    """A tensor or a list of them, summed over all replicas; in replica context."""
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values, options)


def _all_finite(gradients: list[tf.Tensor]) -> tf.Tensor:
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in gradients])


def _moving_averages(model: keras.Model) -> list[tf.Variable]:
    """The variables that a forward pass in training mode changes."""
    # A frozen layer's weights count as non-trainable too, but nothing changes them.
    layers = [layer for layer in model.layers if layer.trainable]
    return [variable for layer in layers for variable in layer.non_trainable_variables]
