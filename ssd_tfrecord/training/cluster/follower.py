"""Any worker but the leader: reads its share of the records, and does what it is told."""

import sys
import time
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import caching
from ssd_tfrecord.data.order import Host
from ssd_tfrecord.devices.cluster.link_follower import Follower
from ssd_tfrecord.devices.cluster.messages import Message
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup
from ssd_tfrecord.devices.strategy import create_strategy, num_local_replicas
from ssd_tfrecord.errors import InputError, InputTimeoutError, WorkerLostError
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training import learner
from ssd_tfrecord.training.cluster import orders, synchrony
from ssd_tfrecord.training.cluster.crew import REASON_SECONDS
from ssd_tfrecord.training.learner import Learner
from ssd_tfrecord.training.nonfinite import bad_batch
from ssd_tfrecord.training.runner import StepRunner
from ssd_tfrecord.training.stopping.failures import awaited, explained
from ssd_tfrecord.training.stopping.guard import Patience
from ssd_tfrecord.training.stopping.signals import INTERRUPTED, STOPPED, StopRequest, end_process
from ssd_tfrecord.training.validation import Validator

_LOOK_SECONDS = 0.2
# What a message about the leader's own loss begins with.
LEADER = "worker 0 "
# What is in hand when the leader's last order comes may end within this time.
_GRACE_SECONDS = 3.0


def run(
    config: TrainConfig,
    train: tuple[Manifest, ...],
    evaluation: Manifest | None,
    link: Follower,
    group: WorkerGroup,
    stop: StopRequest,
) -> NoReturn:
    """Follows the leader until it ends the run; ends the process with the leader's exit code.

    Prints nothing but why it ends, if that is an error of its own or somebody is lost.

    Args:
        config: as given to this worker.
        train: the training sets.
        evaluation: the evaluation set, if any.
        link: to the leader.
        group: the workers.
        stop: a signal is handed on to the leader.
    """
    watch = _Watch(link, group)
    stop.look_with(watch.look)
    try:
        code, text = _follow(config, train, evaluation, group, link, stop, watch), ""
    except Exception as error:
        sets = [*train, *([evaluation] if evaluation else [])]
        code, text = _end(error, link, group, config, sets)
    link.close(text)
    end_process(code)


class _Watch:
    """Ends the process where the main thread is stuck although the run has ended."""

    def __init__(self, link: Follower, group: WorkerGroup) -> None:
        self._link = link
        self._group = group
        self._since: float | None = None
        # With the input, once there is one.
        self.patience: Patience | None = None

    def look(self) -> None:
        """Called a few times a second in another thread."""
        final = self._link.final
        if final is None and not self._link.lost:
            if self.patience and (reason := self.patience.exhausted()):
                code = InputTimeoutError.exit_code
                _complain(self._group, reason)
                self._link.report(Message(orders.FAILURE, {"text": reason, "code": code}))
                self._link.close(reason)
                end_process(code)
            return
        self._since = self._since or time.monotonic()
        grace = _GRACE_SECONDS if final else REASON_SECONDS
        if time.monotonic() - self._since < grace:
            return
        if final is None:
            _complain(self._group, self._link.lost)
            end_process(WorkerLostError.exit_code)
        end_process(_ended_by(final, self._group))


def _follow(
    config: TrainConfig,
    train: tuple[Manifest, ...],
    evaluation: Manifest | None,
    group: WorkerGroup,
    link: Follower,
    stop: StopRequest,
    watch: _Watch,
) -> int:
    """Does what the leader says; returns the exit code that it gives."""
    if (order := link.next()).kind == orders.END:
        return _ended_by(order, group)
    config = orders.of_lines(order.values["flags"], config)
    link.answer(Message(orders.BEGIN, {"replicas": num_local_replicas(config.devices)}))
    if (order := link.next()).kind == orders.END:
        return _ended_by(order, group)
    strategy = create_strategy(config.devices, group)
    stop.catch()
    source = caching.opened(train, config.input.reading)
    made = learner.build(
        config, len(train[0].classes), strategy, num_steps=config.num_steps, seed=config.seed
    )
    synchrony.send_to_all(made.variables, strategy)
    if (order := link.next()).kind == orders.END:
        return _ended_by(order, group)
    host = Host(group.index, group.count)
    batches = bad_batch.training_batches(config, source, order.values["step"], host)
    runner = StepRunner(made.step_fn, batches, strategy)
    validator = _validator(made, evaluation, config, strategy, host)
    sets = [*train, *([evaluation] if evaluation else [])]
    watch.patience = Patience(
        [runner.waiting, *([validator.waiting] if validator else [])],
        "batch",
        timeout=config.input_timeout,
        waits_for=lambda: awaited(config, sets),
        say=lambda text: _complain(group, text),
    )
    # As the leader does, at the same time.
    runner.trace()
    while True:
        order = link.next()
        if order.kind == orders.STEPS:
            runner.run(order.values["count"])
        elif order.kind == orders.EVALUATE and validator:
            found = validator.detect().arrays() | {"loss_sums": validator.loss_sums()}
            link.answer(Message(order.kind, arrays=found))
        elif order.kind == orders.BATCH:
            link.answer(Message(order.kind, arrays=_arrays(made)))
        elif order.kind == orders.END:
            return _ended_by(order, group)


def _validator(
    made: Learner,
    evaluation: Manifest | None,
    config: TrainConfig,
    strategy: tf.distribute.Strategy,
    host: Host,
) -> Validator | None:
    if evaluation is None:
        return None
    return Validator(
        made.model,
        made.anchors,
        evaluation,
        config,
        strategy,
        averages=made.averages,
        host=host,
    )


def _arrays(made: Learner) -> dict[str, np.ndarray]:
    """The oldest batch that was kept as not finite; empty if there is none."""
    batch = made.keeper.take()
    return {} if batch is None else batch._asdict()


def _end(
    error: Exception,
    link: Follower,
    group: WorkerGroup,
    config: TrainConfig,
    sets: Sequence[Manifest],
) -> tuple[int, str]:
    """Exit code and reason after ``error``, which is said unless others are its cause."""
    if isinstance(error, (*synchrony.BROKEN, WorkerLostError)):
        _wait_for_end(link)
        if link.final:
            return _ended_by(link.final, group), ""
        if link.lost:
            _complain(group, link.lost)
            return WorkerLostError.exit_code, ""
    known = explained(error, config, sets)
    code = known.exit_code if isinstance(known, InputError) else 1
    text = str(known) if isinstance(known, InputError) else f"{type(error).__name__}: {error}"
    _complain(group, text)
    link.report(Message(orders.FAILURE, {"text": text[:2000], "code": code}))
    return code, text[:1000]


def _wait_for_end(link: Follower) -> None:
    """Waits until the leader has ended the run, or is gone itself; not for ever."""
    end = time.monotonic() + REASON_SECONDS
    while time.monotonic() < end and not link.final and not link.lost.startswith(LEADER):
        link.wait_lost(_LOOK_SECONDS)
        if link.lost:
            # It returns at once from here on.
            time.sleep(_LOOK_SECONDS)


def _ended_by(final: Message, group: WorkerGroup) -> int:
    """The exit code of the leader's last order; what has gone wrong is said here, too."""
    code = int(final.values["code"])
    if code not in (0, INTERRUPTED, STOPPED):
        _complain(group, str(final.values["text"]))
    return code


def _complain(group: WorkerGroup, text: str) -> None:
    # It may be about this worker, and say so.
    own = f"worker {group.index} ("
    name = "" if text.startswith(own) else f"{own}{group.name}): "
    print(f"error: {name}{text}", file=sys.stderr, flush=True)
