"""A run from its flags to its last line: makes everything, and hands it to the loop."""

import pathlib
from dataclasses import dataclass

import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.config import TrainConfig, check_batch_size
from ssd_tfrecord.data import caching
from ssd_tfrecord.data.reading import RecordSource, first_damaged
from ssd_tfrecord.devices.strategy import create_strategy, device_table
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import summary
from ssd_tfrecord.model.weights import pretrained, transfer
from ssd_tfrecord.records.manifest import ClassLabel, Manifest
from ssd_tfrecord.runs import checkpoints, run_folder
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.training import bad_batch, briefing, learner, signals
from ssd_tfrecord.training.learner import Learner
from ssd_tfrecord.training.logs.event_journal import Journal
from ssd_tfrecord.training.logs.voice import Voice
from ssd_tfrecord.training.loop import Loop, NonFiniteError
from ssd_tfrecord.training.runner import StepRunner
from ssd_tfrecord.training.samples import sample_pictures
from ssd_tfrecord.training.schedules import LearningRate
from ssd_tfrecord.training.validation import Validator

# Pictures of each kind in TensorBoard: training samples, and detections at each evaluation.
NUM_PICTURES = 4


@dataclass(frozen=True)
class State:
    """A Learner after ``step`` finished steps, and its checkpoints."""

    learner: Learner
    checkpoints: Checkpoints
    step: int


def run(config: TrainConfig, train: tuple[Manifest, ...], evaluation: Manifest | None) -> None:
    """Trains from the last checkpoint in the run folder on; Ctrl-C and SIGTERM save one.

    Args:
        config: of the run.
        train: the training sets, as ``preflight.check`` returns them.
        evaluation: the evaluation set, if any.

    Raises:
        InputError: the config does not fit the devices or the run folder, a record is damaged, or a
            loss or gradient is not finite.
        tf.errors.DataLossError: TensorFlow reports damage that a second reading does not find.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint is saved.
        SystemExit: after SIGTERM, likewise.
    """
    try:
        _run(config, train, evaluation)
    except tf.errors.DataLossError as error:
        # TensorFlow's error does not say which record of which shard.
        sets = [*train, *([evaluation] if evaluation else [])]
        raise (first_damaged(sets) or error) from None


def _run(config: TrainConfig, train: tuple[Manifest, ...], evaluation: Manifest | None) -> None:
    voice = Voice()
    strategy = create_strategy(config.devices)
    # The config could not know how many GPUs there are.
    check_batch_size(config.global_batch_size, strategy.num_replicas_in_sync)
    voice.say(device_table(strategy, config.devices.precision))
    voice.say(briefing.data_table(train, evaluation))
    voice.say(briefing.reading_lines(train, config.input.reading))
    source = caching.opened(train, config.input.reading)
    state = create_state(config, train[0].classes, strategy, voice)
    journal = Journal(config, strategy.num_replicas_in_sync, state.step, voice)
    validator = (
        Validator(state.learner.model, state.learner.anchors, evaluation, config, strategy)
        if evaluation
        else None
    )
    batches = bad_batch.training_batches(config, source, state.step)
    loop = Loop(
        config,
        runner=StepRunner(state.learner.step_fn, batches, strategy),
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
    finally:
        # After an error, too: what has been reported so far is kept.
        journal.close()
    # A signal during the last step comes too late to stop anything.
    if step < config.num_steps and stop.signal:
        voice.say(f"stopped at step {step}; run the same command to resume")
        stop.end()
    voice.say(_closing_lines(config, journal, step))


def create_state(
    config: TrainConfig,
    classes: tuple[ClassLabel, ...],
    strategy: tf.distribute.Strategy,
    voice: Voice,
) -> State:
    """Makes a Learner with initial weights, or restores it from the run's last checkpoint.

    The run folder is made here, after everything has proved usable.

    Args:
        config: of the run.
        classes: of the training sets.
        strategy: the variables are made in its scope.
        voice: says where the weights come from.

    Raises:
        InputError: the classes are not those of the run, or the weights do not fit the network.
    """
    if not config.restart:
        checkpoints.check_classes(config.run_dir, classes)
    made = learner.build(
        config, len(classes), strategy, num_steps=config.num_steps, seed=config.seed
    )
    voice.say(summary.summary_table(made.model, BACKBONES[config.model.backbone]))
    # Otherwise the checkpoint is to replace them.
    if config.restart or not _has_checkpoint(config.run_dir):
        with strategy.scope():
            voice.say("\n".join(_first_weights(made.model, classes, config)))
    run_folder.begin(config)
    kept = Checkpoints(
        config.run_dir,
        model=made.model,
        optimizer=made.optimizer,
        keep=config.checkpoints.keep_checkpoints,
    )
    kept.write_classes(classes)
    step = kept.restore()
    if step:
        voice.say(f"resuming at step {step}")
    return State(made, kept, step)


def _has_checkpoint(run_dir: str) -> bool:
    folder = pathlib.Path(run_dir) / run_folder.CHECKPOINTS
    return tf.train.latest_checkpoint(str(folder)) is not None


def _first_weights(
    model: keras.Model, classes: tuple[ClassLabel, ...], config: TrainConfig
) -> list[str]:
    """Puts the initial weights into ``model``; returns lines that say where they come from."""
    if not config.init_checkpoint:
        return pretrained.load_backbone(model, config.model)
    source = checkpoints.load_run(*checkpoints.split_path(config.init_checkpoint))
    names = tuple(label.name for label in classes)
    kind = BACKBONES[config.model.backbone]
    return transfer.transfer(source.model, source.class_names, model, names, kind)


def _show(
    config: TrainConfig,
    source: RecordSource,
    validator: Validator | None,
    journal: Journal,
    step: int,
) -> None:
    samples = sample_pictures(config, source, step, NUM_PICTURES)
    journal.pictures("train", step, "samples", samples)
    if validator:
        journal.pictures("eval", step, "detections", validator.pictures(NUM_PICTURES))


def _closing_lines(config: TrainConfig, journal: Journal, step: int) -> str:
    metric = config.checkpoints.best_metric
    lines = [f"done at step {step}; the run is in {config.run_dir}"]
    last, best = journal.history.last(metric), journal.history.best(metric)
    if best:
        lines.append(f"{metric}: last {last:.4f}, best at step {best[0]} (checkpoints/best)")
    return "\n".join([*lines, f"tensorboard --logdir {config.run_dir}"])
