"""A run from its flags to its last line: makes everything, and hands it to the loop."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import tensorflow as tf

from ssd_tfrecord.config import TrainConfig, check_batch_size
from ssd_tfrecord.data import caching
from ssd_tfrecord.data.passes import Wait
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.data.reading import RecordSource
from ssd_tfrecord.devices import processor
from ssd_tfrecord.devices.inventory import versions_and_devices
from ssd_tfrecord.devices.strategy import create_strategy, device_table, num_local_replicas
from ssd_tfrecord.errors import (
    DamagedRecordError,
    InputError,
    InputTimeoutError,
    OutOfMemoryError,
)
from ssd_tfrecord.evaluation.set_loss import mean_loss
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs import provenance, run_folder
from ssd_tfrecord.runs.identity import Identity, with_flags_of
from ssd_tfrecord.training import briefing, run_state
from ssd_tfrecord.training.cluster import synchrony
from ssd_tfrecord.training.cluster.crew import Crew
from ssd_tfrecord.training.logs.event_journal import Journal
from ssd_tfrecord.training.logs.voice import Voice
from ssd_tfrecord.training.loop import Loop, StepNotFiniteError
from ssd_tfrecord.training.memory import batch_trial
from ssd_tfrecord.training.nonfinite import bad_batch
from ssd_tfrecord.training.nonfinite.bad_batch import BatchKeeper
from ssd_tfrecord.training.run_state import RunState
from ssd_tfrecord.training.runner import StepRunner
from ssd_tfrecord.training.samples import Samples
from ssd_tfrecord.training.stopping import teardown
from ssd_tfrecord.training.stopping.failures import awaited, explained
from ssd_tfrecord.training.stopping.guard import Guard, Patience, early_look
from ssd_tfrecord.training.stopping.signals import Stopped, StopRequest
from ssd_tfrecord.training.stopping.time_limit import TimeLimit
from ssd_tfrecord.training.update.schedules import LearningRate
from ssd_tfrecord.training.validation import Validator

# Errors before which the finished steps are saved.
_SAVED_BEFORE = (DamagedRecordError, OutOfMemoryError, InputTimeoutError)
# Pictures of each kind in TensorBoard: training samples, and detections at each evaluation.
NUM_PICTURES = 4


@dataclass(frozen=True)
class Parts:
    """All that a run is made of, before its first step."""

    state: RunState
    source: RecordSource
    journal: Journal
    loop: Loop
    start: provenance.Run
    waits: Sequence[Callable[[], float]]
    crew: Crew
    take_batch: Callable[[], Batch | None]
    limit: TimeLimit

    def ended(self, reason: str, exit_code: int) -> None:
        """Writes to runs.jsonl how this start ended, and ends the others; the first time counts."""
        seconds = self.journal.step_seconds
        self.start.ended(reason, self.loop.saved, exit_code=exit_code, step_seconds=seconds)
        self.crew.end(exit_code, reason)


def run(
    config: TrainConfig,
    train: tuple[Manifest, ...],
    evaluation: Manifest | None,
    identity: Identity,
    stop: StopRequest,
    crew: Crew | None = None,
) -> None:
    """Trains from the last checkpoint in the run folder on; a signal or an error saves one.

    Args:
        config: of the run.
        train: the training sets, as ``preflight.check`` returns them.
        evaluation: the evaluation set, if any.
        identity: of the run, as ``identity.identify`` returns it.
        stop: watched for signals.
        crew: the other workers; by default there are none.

    Raises:
        InputError: the config does not fit the devices or the run folder, or the run ended as
            ``errors`` says: a record is damaged, a loss is not finite, no batch comes …
        tf.errors.OpError: TensorFlow reports something that is not known.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint is saved.
        SystemExit: after another signal, likewise.
    """
    voice, crew = Voice(), crew or Crew()
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
    stop.look_with(early_look(stop, patience, crew.failure))
    strategy: tf.distribute.Strategy | None = None

    def which_fits() -> str:
        """Which batch would have fitted, in words."""
        if strategy is None or not config.global_batch_size:
            return ""
        with contextlib.suppress(Stopped), stop.interruptible():
            return batch_trial.would_fit(config, train, strategy, voice.say)
        return ""

    try:
        with stop.interruptible():
            strategy = _devices(config, crew, voice)
            # TensorFlow, where there are other workers, has taken SIGTERM for itself.
            stop.catch()
            if not config.global_batch_size:
                size = batch_trial.largest(config, train, strategy, voice.say)
                config = dataclasses.replace(config, global_batch_size=size)
                identity = with_flags_of(identity, config)
            parts = _prepare(config, train, evaluation, identity, voice, filling, crew, strategy)
            teardown.release()
            teardown.spare(parts)
        _run(config, parts, sets, stop, voice)
    except Exception as error:
        # Where others are gone, TensorFlow has errors of many kinds.
        broken = crew.failure(error) if isinstance(error, synchrony.BROKEN) else crew.failure()
        known = broken or explained(error, config, sets, which_fits)
        code = known.exit_code if isinstance(known, InputError) else 1
        if parts:
            if isinstance(known, InputError) and (broken or isinstance(known, _SAVED_BEFORE)):
                known = type(known)(f"{known}; step {parts.loop.saved} is saved")
                known.exit_code = code
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
    patience = Patience(
        [loop.runner.waiting, *parts.waits],
        "batch",
        timeout=config.input_timeout,
        waits_for=lambda: awaited(config, sets),
        say=voice.say,
    )
    guard = Guard(
        stop,
        loop,
        checkpoints,
        patience,
        say=voice.say,
        ended=parts.ended,
        failure_fn=parts.crew.failure,
    )
    stop.look_with(guard.look)
    try:
        step = loop.run(parts.state.step, stop, parts.limit)
    except StepNotFiniteError as error:
        batch = parts.take_batch()
        good = f"{config.run_dir}/{run_folder.CHECKPOINTS}/ckpt-{loop.saved}" if loop.saved else ""
        raise bad_batch.report(config, parts.source, error.step, batch, checkpoint=good) from None
    finally:
        # After an error, too: what has been reported so far is kept.
        parts.journal.close()
    # All is saved; other workers may take some seconds to end.
    stop.look_with(lambda: None)
    # A signal during the last step comes too late to stop anything.
    if stop.signal and not loop.complete:
        voice.say(f"stopped by {stop.name} at step {step}; run the same command to resume")
        parts.ended(f"stopped by {stop.name}", stop.exit_code)
        stop.end()
    parts.ended("out of time" if loop.out_of_time else "done", 0)
    how = "out of time" if loop.out_of_time else "done"
    voice.say(_closing_lines(config, parts.journal, step, how))


def _devices(config: TrainConfig, crew: Crew, voice: Voice) -> tf.distribute.Strategy:
    """The devices of all workers, which make them at the same time."""
    # The config could not know how many GPUs there are.
    num_replicas = num_local_replicas(config.devices)
    check_batch_size(
        config.global_batch_size,
        num_replicas * crew.host.count,
        accumulate_steps=config.optimizer.accumulate_steps,
    )
    if crew.group:
        crew.begin(config, num_replicas)
    strategy = create_strategy(config.devices, crew.group)
    voice.say(device_table(strategy, config.devices, crew.group))
    gpus = tf.config.list_physical_devices("GPU")
    on_gpus = bool(gpus) and not config.devices.num_virtual_devices
    for line in briefing.slow_choices(config, on_gpus=on_gpus, units=processor.vector_units()):
        voice.say(line)
    return strategy


def _prepare(
    config: TrainConfig,
    train: tuple[Manifest, ...],
    evaluation: Manifest | None,
    identity: Identity,
    voice: Voice,
    filling: Wait,
    crew: Crew,
    strategy: tf.distribute.Strategy,
) -> Parts:
    voice.say(briefing.data_table(train, evaluation))
    voice.say(briefing.reading_lines(train, config.input.reading))
    source = caching.opened(train, config.input.reading, filling)
    state = run_state.create(config, train[0].classes, strategy, voice, identity)
    crew.start(state.step)
    journal = Journal(config, strategy.num_replicas_in_sync, state.step, voice)
    validator = (
        Validator(
            state.learner.model,
            state.learner.anchors,
            evaluation,
            config,
            strategy,
            averages=state.learner.averages,
            host=crew.host,
        )
        if evaluation
        else None
    )
    if validator and not validator.has_objects:
        voice.say(
            f"--eval_records={config.eval_records}: no object counts, so there will be no metric, "
            "no best checkpoint and no --patience"
        )
    batches = bad_batch.training_batches(config, source, state.step, crew.host)
    runner = StepRunner(state.learner.step_fn, batches, strategy, crew.steps)

    def take_batch() -> Batch | None:
        return _whole_batch(state.learner.keeper, crew)

    samples = Samples(config, source, state.step, NUM_PICTURES)
    loop = Loop(
        config,
        runner=runner,
        checkpoints=state.checkpoints,
        journal=journal,
        rate_fn=lambda step: float(LearningRate(config.optimizer, config.num_steps)(step)),
        evaluate_fn=(lambda step: _evaluate(validator, step, crew)) if validator else None,
        show_fn=lambda step: _show(samples, validator, journal, step),
        leave_out_fn=lambda step: bad_batch.left_out(
            config,
            source,
            step,
            take_fn=take_batch,
            say_fn=voice.say,
        ),
    )
    # With averages, the raw weights are evaluated, too.
    sets_evaluated = 2 if state.learner.averages else 1
    began = psutil.Process().create_time()
    limit = TimeLimit(
        config.max_hours,
        began,
        num_images=sets_evaluated * (evaluation.num_records if evaluation else 0),
        batch_size=config.global_batch_size,
    )
    facts = versions_and_devices()
    if line := provenance.other_machine(config.run_dir, facts):
        voice.say(line)
    start = provenance.started(
        config.run_dir,
        config,
        step=state.step,
        past=journal.history.past,
        facts=facts | ({"workers": list(crew.names)} if crew.names else {}),
        digests=identity.digests(),
        began=began,
        writing=journal.dispensable(provenance.RUNS_FILE),
    )
    waits = [samples.waiting, *([validator.waiting] if validator else [])]
    return Parts(state, source, journal, loop, start, waits, crew, take_batch, limit)


def _evaluate(validator: Validator, step: int, crew: Crew) -> tuple[dict[str, Any], float]:
    """Metrics and loss, of the shares of all workers."""
    crew.evaluate()
    shares, sums = [validator.detect()], validator.loss_sums()
    for host, arrays in crew.found():
        shares.append(validator.share_of(host, arrays))
        sums = sums + arrays["loss_sums"]
    return validator.judge(shares) | {"measured": validator.measured(step)}, mean_loss(sums)


def _whole_batch(keeper: BatchKeeper, crew: Crew) -> Batch | None:
    """The oldest batch that was not finite, of all workers."""
    batch = keeper.take()
    others = [Batch(**arrays) for arrays in crew.batches()]
    return bad_batch.joined([batch, *others]) if batch is not None else None


def _show(samples: Samples, validator: Validator | None, journal: Journal, step: int) -> None:
    journal.pictures("train", step, "samples", samples.pictures())
    if validator:
        validator.show(journal, step, NUM_PICTURES)


def _closing_lines(config: TrainConfig, journal: Journal, step: int, how: str) -> str:
    metric = config.checkpoints.best_metric
    lines = [f"{how} at step {step}; the run is in {config.run_dir}"]
    last, best = journal.history.last(metric), journal.history.best(metric)
    if best:
        lines.append(f"{metric}: last {last:.4f}, best at step {best[0]} (checkpoints/best)")
    return "\n".join([*lines, f"tensorboard --logdir {config.run_dir}"])
