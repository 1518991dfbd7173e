"""A run from its flags to its last line: makes everything, and hands it to the loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.config import TrainConfig, check_batch_size
from ssd_tfrecord.data import caching
from ssd_tfrecord.data.passes import Wait
from ssd_tfrecord.data.reading import RecordSource
from ssd_tfrecord.devices.inventory import versions_and_devices
from ssd_tfrecord.devices.strategy import create_strategy, device_table
from ssd_tfrecord.errors import (
    DamagedRecordError,
    InputError,
    InputTimeoutError,
    OutOfMemoryError,
)
from ssd_tfrecord.model import summary
from ssd_tfrecord.records.manifest import ClassLabel, Manifest
from ssd_tfrecord.runs import checkpoints, provenance, run_folder
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.runs.identity import Identity
from ssd_tfrecord.training import briefing, learner
from ssd_tfrecord.training.learner import Learner
from ssd_tfrecord.training.logs.event_journal import Journal
from ssd_tfrecord.training.logs.voice import Voice
from ssd_tfrecord.training.loop import Loop, StepNotFiniteError
from ssd_tfrecord.training.nonfinite import bad_batch
from ssd_tfrecord.training.runner import StepRunner
from ssd_tfrecord.training.samples import Samples
from ssd_tfrecord.training.stopping.failures import awaited, explained
from ssd_tfrecord.training.stopping.guard import Guard, Patience, early_look
from ssd_tfrecord.training.stopping.signals import StopRequest
from ssd_tfrecord.training.update.schedules import LearningRate
from ssd_tfrecord.training.validation import Validator

# Pictures of each kind in TensorBoard: training samples, and detections at each evaluation.
NUM_PICTURES = 4


@dataclass(frozen=True)
class State:
    """A Learner after ``step`` finished steps, and its checkpoints."""

    learner: Learner
    checkpoints: Checkpoints
    step: int


@dataclass(frozen=True)
class Parts:
    """All that a run is made of, before its first step."""

    state: State
    source: RecordSource
    journal: Journal
    loop: Loop
    start: provenance.Run
    waits: Sequence[Callable[[], float]]

    def ended(self, reason: str, exit_code: int) -> None:
        """Writes to runs.jsonl how this start ended; the first time counts."""
        seconds = self.journal.step_seconds
        self.start.ended(reason, self.loop.saved, exit_code=exit_code, step_seconds=seconds)


def run(
    config: TrainConfig,
    train: tuple[Manifest, ...],
    evaluation: Manifest | None,
    identity: Identity,
    stop: StopRequest,
) -> None:
    """Trains from the last checkpoint in the run folder on; a signal or an error saves one.

    Args:
        config: of the run.
        train: the training sets, as ``preflight.check`` returns them.
        evaluation: the evaluation set, if any.
        identity: of the run, as ``identity.identify`` returns it.
        stop: watched for signals.

    Raises:
        InputError: the config does not fit the devices or the run folder, or the run ended as
            ``errors`` says: a record is damaged, a loss is not finite, no batch comes …
        tf.errors.OpError: TensorFlow reports something that is not known.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint is saved.
        SystemExit: after another signal, likewise.
    """
    voice = Voice()
    sets = [*train, *([evaluation] if evaluation else [])]
    parts: Parts | None = None
    filling = Wait()
    patience = Patience(
        [filling.seconds],
        "record",
        timeout=config.input_timeout,
        waits_for=lambda: awaited(config, train),
        say=voice.say,
    )
    stop.look_with(early_look(stop, patience))
    try:
        with stop.interruptible():
            parts = _prepare(config, train, evaluation, identity, voice, filling)
        _run(config, parts, sets, stop, voice)
    except Exception as error:
        known = explained(error, config, sets)
        code = known.exit_code if isinstance(known, InputError) else 1
        if parts:
            if isinstance(known, DamagedRecordError | OutOfMemoryError | InputTimeoutError):
                known = type(known)(f"{known}; step {parts.loop.saved} is saved")
            parts.ended(str(known) or repr(known), code)
        if known is error:
            raise
        raise known from error


def _run(
    config: TrainConfig,
    parts: Parts,
    sets: Sequence[Manifest],
    stop: StopRequest,
    voice: Voice,
) -> None:
    loop, checkpoints = parts.loop, parts.state.checkpoints
    stop.on_signal(loop.runner.stop)
    guard = Guard(
        stop,
        loop,
        checkpoints,
        waits=parts.waits,
        timeout=config.input_timeout,
        waits_for=lambda: awaited(config, sets),
        say=voice.say,
        ended=lambda reason, code: parts.ended(reason, code),
    )
    stop.look_with(guard.look)
    try:
        step = loop.run(parts.state.step, stop)
    except StepNotFiniteError as error:
        batch = parts.state.learner.keeper.take()
        good = f"{config.run_dir}/{run_folder.CHECKPOINTS}/ckpt-{loop.saved}" if loop.saved else ""
        raise bad_batch.report(config, parts.source, error.step, batch, checkpoint=good) from None
    finally:
        # After an error, too: what has been reported so far is kept.
        parts.journal.close()
    # A signal during the last step comes too late to stop anything.
    if stop.signal and not loop.complete:
        parts.ended(f"stopped by {stop.name}", stop.exit_code)
        voice.say(f"stopped by {stop.name} at step {step}; run the same command to resume")
        stop.end()
    parts.ended("done", 0)
    voice.say(_closing_lines(config, parts.journal, step))


def _prepare(
    config: TrainConfig,
    train: tuple[Manifest, ...],
    evaluation: Manifest | None,
    identity: Identity,
    voice: Voice,
    filling: Wait,
) -> Parts:
    strategy = create_strategy(config.devices)
    # The config could not know how many GPUs there are.
    check_batch_size(config.global_batch_size, strategy.num_replicas_in_sync)
    voice.say(device_table(strategy, config.devices.precision))
    voice.say(briefing.data_table(train, evaluation))
    voice.say(briefing.reading_lines(train, config.input.reading))
    source = caching.opened(train, config.input.reading, filling)
    state = create_state(config, train[0].classes, strategy, voice, identity)
    journal = Journal(config, strategy.num_replicas_in_sync, state.step, voice)
    validator = (
        Validator(state.learner.model, state.learner.anchors, evaluation, config, strategy)
        if evaluation
        else None
    )
    if validator and not validator.has_objects:
        voice.say(
            f"--eval_records={config.eval_records}: no object counts, so there will be no metric, "
            "no best checkpoint and no --patience"
        )
    batches = bad_batch.training_batches(config, source, state.step)
    runner = StepRunner(state.learner.step_fn, batches, strategy)
    samples = Samples(config, source, state.step, NUM_PICTURES)
    loop = Loop(
        config,
        runner=runner,
        checkpoints=state.checkpoints,
        journal=journal,
        rate_fn=lambda step: float(LearningRate(config.optimizer, config.num_steps)(step)),
        evaluate_fn=(lambda step: _evaluate(validator, step)) if validator else None,
        show_fn=lambda step: _show(samples, validator, journal, step),
        leave_out_fn=lambda step: bad_batch.left_out(
            config,
            source,
            step,
            keeper=state.learner.keeper,
            optimizer=state.learner.optimizer,
            say_fn=voice.say,
        ),
    )
    start = provenance.started(
        config.run_dir,
        config,
        step=state.step,
        past=journal.history.past,
        facts=versions_and_devices(),
        digests=identity.digests(),
        began=psutil.Process().create_time(),
        writing=journal.dispensable(provenance.RUNS_FILE),
    )
    waits = [samples.waiting, *([validator.waiting] if validator else [])]
    return Parts(state, source, journal, loop, start, waits)


def create_state(
    config: TrainConfig,
    classes: tuple[ClassLabel, ...],
    strategy: tf.distribute.Strategy,
    voice: Voice,
    identity: Identity | None = None,
) -> State:
    """Makes a Learner with initial weights, or restores it from the run's last checkpoint.

    The run folder is made here, after everything has proved usable.

    Args:
        config: of the run.
        classes: of the training sets.
        strategy: the variables are made in its scope.
        voice: says where the weights come from.
        identity: of the run; by default that of its flags.

    Raises:
        InputError: the classes are not those of the run, or the weights do not fit the network.
    """
    resumes = run_folder.resumes(config)
    if resumes:
        checkpoints.check_classes(config.run_dir, classes)
    made = learner.build(
        config, len(classes), strategy, num_steps=config.num_steps, seed=config.seed
    )
    voice.say(summary.summary_table(made.model, BACKBONES[config.model.backbone]))
    # Otherwise the checkpoint is to replace them.
    if not resumes:
        with strategy.scope():
            voice.say("\n".join(learner.first_weights(made.model, classes, config)))
    for line in run_folder.begin(config, identity):
        voice.say(line)
    kept = Checkpoints(
        config.run_dir,
        model=made.model,
        optimizer=made.optimizer,
        keep=config.checkpoints.keep_checkpoints,
        say=voice.say,
    )
    kept.write_classes(classes)
    step = kept.restore()
    if step:
        voice.say(f"resuming at step {step}")
    return State(made, kept, step)


def _evaluate(validator: Validator, step: int) -> tuple[dict[str, Any], float]:
    return validator.metrics() | {"measured": validator.measured(step)}, validator.loss()


def _show(samples: Samples, validator: Validator | None, journal: Journal, step: int) -> None:
    journal.pictures("train", step, "samples", samples.pictures())
    if validator:
        validator.show(journal, step, NUM_PICTURES)


def _closing_lines(config: TrainConfig, journal: Journal, step: int) -> str:
    metric = config.checkpoints.best_metric
    lines = [f"done at step {step}; the run is in {config.run_dir}"]
    last, best = journal.history.last(metric), journal.history.best(metric)
    if best:
        lines.append(f"{metric}: last {last:.4f}, best at step {best[0]} (checkpoints/best)")
    return "\n".join([*lines, f"tensorboard --logdir {config.run_dir}"])
