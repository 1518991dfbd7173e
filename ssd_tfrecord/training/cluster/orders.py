"""What leader and followers say to each other over the link, in the order in which it is said."""

from collections.abc import Sequence

from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.devices.cluster.link_follower import Follower
from ssd_tfrecord.devices.cluster.messages import Message
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup
from ssd_tfrecord.options import names_of_role
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs import identity
from ssd_tfrecord.runs.record_content import RecordContent
from ssd_tfrecord.training.stopping.signals import StopRequest

# Leader: the flags of the run, as they are resolved. The answer: how many replicas a worker has.
BEGIN = "begin"
# Leader: make the devices of all one strategy, now.
DEVICES = "devices"
# Leader: the number of finished steps. Weights are equal on all by then.
START = "start"
# Leader: run so many steps.
STEPS = "steps"
# Leader: evaluate your share. The answer: detections, and sums of the loss.
EVALUATE = "evaluate"
# Leader: say which batch was not finite. The answer: its arrays.
BATCH = "batch"
# Leader, the last: exit with this code, for this reason.
END = "end"

# Follower, unasked: a signal has come; an error has ended it.
SIGNAL = "signal"
FAILURE = "failure"

# Flags that are each worker's own: where its records are, and how it works.
_OWN = {"train_records", "eval_records", *names_of_role(TrainConfig, "means")}


def hello(
    config: TrainConfig, train: Sequence[Manifest], evaluation: Manifest | None
) -> dict[str, str]:
    """{what: text} that must be equal on all workers: the flags that matter, and the records.

    Args:
        config: of the run, as given.
        train: the training sets.
        evaluation: the evaluation set, if any.
    """
    found = {f"--{name}": text for name, text in identity.of_flags(config).flags.items()}
    for flag, sets in (
        ("--train_records", train),
        ("--eval_records", [evaluation] if evaluation else []),
    ):
        found[flag] = ", ".join(RecordContent.of(item).digest for item in sets)
    return found


def join(
    config: TrainConfig,
    train: Sequence[Manifest],
    evaluation: Manifest | None,
    group: WorkerGroup,
) -> Follower:
    """Joins the leader of ``group``.

    Args:
        config: of the run, as given to this worker.
        train: the training sets.
        evaluation: the evaluation set, if any.
        group: the workers, of which this process is any but the first.

    Raises:
        WorkerLostError: the leader does not answer within ``--cluster_timeout``, or gives up.
        InputError: this worker was started with something else than the leader.
    """
    return Follower(
        group,
        timeout=config.cluster.cluster_timeout,
        hello=hello(config, train, evaluation),
        lost_fn=lambda index, text: None,  # it is asked
    )


def hand_on(stop: StopRequest, link: Follower) -> None:
    """Has a signal sent to the leader, and nothing else done about it here."""
    stop.look_with(lambda: None)
    stop.on_signal(lambda: link.report(Message(SIGNAL, {"number": stop.signal})))


def to_lines(config: TrainConfig) -> list[str]:
    """The flags of the leader, for ``of_lines``."""
    return flags.to_lines(config)


def of_lines(lines: Sequence[str], own: TrainConfig) -> TrainConfig:
    """The leader's config, but where this worker's records are, and how it works.

    Args:
        lines: of ``to_lines``.
        own: the config of this worker.

    Raises:
        InputError: the lines are not those of this version.
    """
    values = identity.values_of(flags.to_lines(own))
    kept = [f"--{name}={values[name]}" for name in sorted(_OWN)]
    return flags.parse(TrainConfig, ["train", *lines, *kept])
