"""A run from its flags to its closing line: everything is made here, and joined by the loop."""

import pathlib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.config import TrainConfig, check_batch_size
from ssd_tfrecord.data import caching
from ssd_tfrecord.data.reading import first_damaged
from ssd_tfrecord.devices.strategy import check_xla, create_strategy, device_table
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import ssd, summary
from ssd_tfrecord.model.weights import pretrained, transfer
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs import checkpoints, run_folder
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.training import bad_batch, briefing, optimizers, signals
from ssd_tfrecord.training.event_journal import Journal
from ssd_tfrecord.training.loop import Loop, NonFiniteError
from ssd_tfrecord.training.runner import StepRunner
from ssd_tfrecord.training.samples import sample_pictures
from ssd_tfrecord.training.schedules import LearningRate
from ssd_tfrecord.training.step import make_train_step
from ssd_tfrecord.training.validation import Validator

# Pictures of each kind in TensorBoard, at each evaluation.
NUM_PICTURES = 4


@dataclass(frozen=True)
class State:
    """What a run trains, restored to ``step``; ``anchors`` float32 [A, 4]."""

    model: keras.Model
    optimizer: object
    anchors: np.ndarray
    checkpoints: Checkpoints
    step: int


def run(config: TrainConfig, train: tuple[Manifest, ...], evaluation: Manifest | None) -> None:
    """Trains from the step that the run folder stands at; Ctrl-C saves a checkpoint."""
    strategy = create_strategy(config.devices)
    check_batch_size(config.global_batch_size, strategy.num_replicas_in_sync)
    check_xla(config.xla, config.model, strategy.num_replicas_in_sync)
    print(device_table(strategy, config.devices.precision))
    print(briefing.data_table(train, evaluation))
    print(briefing.reading_lines(train, config.input.reading))
    source = caching.opened(train, config.input.reading)
    state = create_state(config, train[0].classes, strategy)
    journal = Journal(config, strategy.num_replicas_in_sync, state.step)
    validator = evaluation and Validator(state.model, state.anchors, evaluation, config, strategy)
    loop = Loop(
        config,
        runner=_runner(config, source, state, strategy),
        checkpoints=state.checkpoints,
        journal=journal,
        rate_fn=lambda step: float(LearningRate(config.optimizer, config.num_steps)(step)),
        evaluate_fn=(lambda step: (validator.metrics(), validator.loss())) if validator else None,
        show_fn=lambda step: _show(config, source, validator, journal, step),
    )
    try:
        with signals.caught() as stop:
            step = loop.run(state.step, stop)
    except NonFiniteError as error:
        raise bad_batch.report(config, source, error.step) from None
    except tf.errors.DataLossError:
        raise first_damaged([*train, *([evaluation] if evaluation else [])]) from None
    finally:
        journal.close()
    if step < config.num_steps and stop.signal:
        print(f"stopped at step {step}; the same command goes on from there")
        stop.end()
    print(_closing_lines(config, journal, step))


def create_state(config: TrainConfig, classes, strategy: tf.distribute.Strategy) -> State:
    """The network with its first weights, or all of the run's last checkpoint.

    Prints the layers and where the weights come from. The run folder begins here.
    """
    if not config.restart:
        checkpoints.check_classes(config.run_dir, classes)
    names = tuple(label.name for label in classes)
    with strategy.scope():
        model = ssd.build(config.model, config.anchors, len(classes), config.seed)
        optimizer = optimizers.create(config.optimizer, config.num_steps, config.devices.precision)
        optimizers.build(optimizer, model.trainable_variables)
        print(summary.summary_table(model, BACKBONES[config.model.backbone]))
        if config.restart or not _has_checkpoint(config.run_dir):
            print("\n".join(_first_weights(model, names, config)))
    run_folder.begin(config)
    keep = config.checkpoints.keep_checkpoints
    kept = Checkpoints(config.run_dir, model=model, optimizer=optimizer, keep=keep)
    kept.write_classes(classes)
    step = kept.restore()
    if step:
        print(f"going on from step {step}")
    anchors = anchor_boxes(config.anchors, config.model.maps)
    return State(model=model, optimizer=optimizer, anchors=anchors, checkpoints=kept, step=step)


def _has_checkpoint(run_dir):
    folder = pathlib.Path(run_dir) / run_folder.CHECKPOINTS
    return tf.train.latest_checkpoint(str(folder)) is not None


def _first_weights(model, class_names, config):
    if not config.init_checkpoint:
        return pretrained.load_backbone(model, config.model)
    source = checkpoints.load_run(*checkpoints.split_path(config.init_checkpoint))
    kind = BACKBONES[config.model.backbone]
    return transfer.transfer(source.model, source.class_names, model, class_names, kind)


def _runner(config, source, state, strategy):
    step_fn = make_train_step(
        state.model,
        state.optimizer,
        state.anchors,
        loss_options=config.loss,
        optimizer_options=config.optimizer,
        color_options=config.input.color,
        xla=config.xla,
    )
    batches = bad_batch.training_batches(config, source, state.step)
    return StepRunner(step_fn, batches, strategy)


def _show(config, source, validator, journal, step):
    samples = sample_pictures(config, source, step, NUM_PICTURES)
    journal.pictures("train", step, "samples", samples)
    if validator:
        journal.pictures("eval", step, "detections", validator.pictures(NUM_PICTURES))


def _closing_lines(config, journal, step):
    metric = config.checkpoints.best_metric
    lines = [f"done at step {step}; the run is in {config.run_dir}"]
    last, best = journal.history.last(metric), journal.history.best(metric)
    if best:
        lines.append(f"{metric}: last {last:.4f}, best at step {best[0]} (checkpoints/best)")
    return "\n".join([*lines, f"tensorboard --logdir {config.run_dir}"])
