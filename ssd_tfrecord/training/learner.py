"""What learns: a network, its optimizer, its anchors and the step that joins them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ssd_tfrecord.config import BenchmarkConfig, TrainConfig
from ssd_tfrecord.devices.strategy import check_xla
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import ssd
from ssd_tfrecord.training import optimizers
from ssd_tfrecord.training.step import make_train_step


@dataclass(frozen=True)
class Learner:
    """A network with fresh weights and all that trains it, made in the scope of a strategy.

    ``anchors`` float32 [A, 4]; ``step_fn`` takes a replica's batch, as ``strategy.run`` does.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    anchors: np.ndarray
    step_fn: Callable


def build(
    config: TrainConfig | BenchmarkConfig,
    num_classes: int,
    strategy: tf.distribute.Strategy,
    *,
    num_steps: int,
    seed: int,
) -> Learner:
    """The Learner of a run, or of a benchmark, with ``config``.

    Args:
        config: its options of model, anchors, loss, optimizer, colours and devices.
        num_classes: without the background.
        strategy: in whose scope variables are made.
        num_steps: end of the learning rate's schedule.
        seed: of the weights.

    Raises:
        InputError: the options do not fit each other, or this stack lacks the optimizer.
    """
    check_xla(config.xla, config.model, strategy.num_replicas_in_sync)
    with strategy.scope():
        model = ssd.build(config.model, config.anchors, num_classes, seed)
        optimizer = optimizers.create(config.optimizer, num_steps, config.devices.precision)
        optimizers.build(optimizer, model.trainable_variables)
    anchors = anchor_boxes(config.anchors, config.model.maps)
    step_fn = make_train_step(
        model,
        optimizer,
        anchors,
        loss_options=config.loss,
        optimizer_options=config.optimizer,
        color_options=config.input.color,
        xla=config.xla,
    )
    return Learner(model, optimizer, anchors, step_fn)
