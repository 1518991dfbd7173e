"""What is trained: a network with its optimizer, its anchors and its training step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.config import BenchmarkConfig, TrainConfig
from ssd_tfrecord.devices.strategy import check_xla
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import losses, ssd
from ssd_tfrecord.model.weights import pretrained, transfer
from ssd_tfrecord.model.weights.published.published_network import network_of
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.runs import published_start
from ssd_tfrecord.runs.loaded_run import load_run, split_path
from ssd_tfrecord.training.cluster import synchrony
from ssd_tfrecord.training.nonfinite.bad_batch import BatchKeeper
from ssd_tfrecord.training.step import StepOptions, TrainStep
from ssd_tfrecord.training.update import freezing, optimizers
from ssd_tfrecord.training.update.averages import Averages


@dataclass(frozen=True)
class Learner:
    """A network with fresh weights and all that trains it, made in the scope of a strategy.

    ``anchors`` are float32 [A, 4] as [ymin, xmin, ymax, xmax]; ``step_fn`` is
    ``TrainStep.step``, to be called with ``strategy.run``; ``keeper`` then holds the batches of
    steps that were not finite. ``averages`` are those of ``--ema_decay``, ``frozen`` the names of
    the layers of ``--freeze``.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    anchors: np.ndarray
    step_fn: Callable[..., dict[str, tf.Tensor]]
    keeper: BatchKeeper
    averages: Averages | None
    frozen: tuple[str, ...]

    @property
    def variables(self) -> list[tf.Variable]:
        """All that a checkpoint holds, in an order that is equal on all workers."""
        state = self.averages.state if self.averages else None
        return synchrony.variables_of(self.model, self.optimizer, state)


def build(
    config: TrainConfig | BenchmarkConfig,
    num_classes: int,
    strategy: tf.distribute.Strategy,
    *,
    num_steps: int,
    seed: int,
) -> Learner:
    """Makes the Learner of a run or a benchmark.

    Args:
        config: holds the options of model, anchors, loss, optimizer, colours and devices.
        num_classes: number of classes without the background.
        strategy: the variables are made in its scope.
        num_steps: end of the learning rate schedule.
        seed: of the initial weights.

    Raises:
        InputError: the options do not fit together, or this stack does not have the optimizer.
    """
    check_xla(config.xla, config.model, strategy.num_replicas_in_sync)
    decay = config.optimizer.ema_decay
    with strategy.scope(), tf.variable_creator_scope(_first_replicas):
        prior = losses.object_prior(config.loss)
        model = ssd.build(config.model, config.anchors, num_classes, seed, prior=prior)
        kind = BACKBONES[config.model.backbone]
        frozen = freezing.freeze(model, config.optimizer.freeze, kind)
        averages = Averages(model, decay) if decay else None
        optimizer = optimizers.create(config.optimizer, num_steps, config.devices.precision)
        optimizers.build(optimizer, model.trainable_variables)
    anchors = anchor_boxes(config.anchors, config.model.maps)
    keeper = BatchKeeper()
    options = StepOptions(
        config.loss, config.optimizer, config.input.color, config.devices, config.xla
    )
    step = TrainStep(
        model,
        optimizer,
        anchors,
        options,
        keep_fn=keeper.keep,
        average_fn=averages.update if averages else None,
    )
    return Learner(model, optimizer, anchors, step.step, keeper, averages, tuple(frozen))


def _first_replicas(next_creator: Callable[..., tf.Variable], **kwargs: Any) -> tf.Variable:
    """Makes a variable of which each replica has its own, but all the same: the first's is read.

    The moving averages of batch normalisation are such, as its statistics are synchronised. By
    default their mean over all replicas is read: to save a checkpoint, every worker would have to
    take part.
    """
    if kwargs.get("synchronization") == tf.VariableSynchronization.ON_READ:
        kwargs["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return next_creator(**kwargs)


def first_weights(
    model: keras.Model, classes: Sequence[ClassLabel], config: TrainConfig
) -> list[str]:
    """Puts the weights of step 0 into ``model``; returns lines that say where they come from.

    Args:
        model: made by ``build`` with the run's seed.
        classes: of the training sets.
        config: of the run.

    Raises:
        InputError: the weights cannot be read, or do not fit the network.
    """
    if not config.init_checkpoint:
        return pretrained.load_backbone(model, config.model)
    names = tuple(label.name for label in classes)
    kind = BACKBONES[config.model.backbone]
    if published_start.is_published(config.init_checkpoint):
        published = published_start.read(config.init_checkpoint)
        lines = [f"init checkpoint: {line}" for line in published.lines]
        source, known = network_of(published), published.class_names
        anchors = published.anchor_options
    else:
        run = load_run(*split_path(config.init_checkpoint))
        lines, source, known, anchors = [], run.model, run.class_names, run.config.anchors
    lines += transfer.transfer(source, known, model, names, kind)
    return lines + published_start.other_anchors(anchors, config.anchors)
