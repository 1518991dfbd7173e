"""A leader's view of the others, whose link is a stand-in here."""

import os
import signal

import numpy as np
import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data.host import Host
from ssd_tfrecord.devices.cluster.messages import Message
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.training.cluster import crew as crews
from ssd_tfrecord.training.cluster import orders
from ssd_tfrecord.training.cluster.crew import Crew
from ssd_tfrecord.training.stopping.signals import StopRequest

CONFIG = TrainConfig(train_records=("a",), run_dir="b")
GROUP = WorkerGroup(("node0:2222", "node1:2222", "node2:2222"), 0, "Slurm", 3222)


class Link:
    """Stands for the leader's end; ``answers`` are those of the followers."""

    def __init__(self, group, *, lost_fn, report_fn, **_):
        self.told, self.answers, self.final = [], [], None
        self.lost_fn, self.report_fn = lost_fn, report_fn

    def tell(self, message):
        self.told.append((message.kind, message.values))
        return len(self.told)

    def collect(self, since):
        assert since == len(self.told)
        return self.answers

    def flush(self, timeout):
        self.told.append("flush")

    def close(self, final):
        self.final = final


@pytest.fixture
def crew(monkeypatch):
    monkeypatch.setattr(crews, "Leader", Link)
    monkeypatch.setattr(crews.atexit, "register", lambda *arguments: None)
    return Crew(GROUP, CONFIG, {})


def test_alone_nothing_is_said():
    alone = Crew()
    alone.start(3)
    alone.steps(4)
    alone.evaluate()
    alone.end(0, "done")
    assert (alone.host, alone.names) == (Host(0, 1), ())
    assert (alone.found(), alone.batches(), alone.failure(OSError())) == ([], [], None)


def test_devices_are_made_once_all_have_said_how_many(crew):
    crew._leader.answers = [Message("begin", {"replicas": 2})] * 2
    crew.begin(CONFIG, 2)
    kinds = [told if told == "flush" else told[0] for told in crew._leader.told]
    assert kinds == [orders.BEGIN, orders.DEVICES, "flush"]


def test_another_number_of_replicas_is_refused_by_name(crew):
    crew._leader.answers = [Message("begin", {"replicas": count}) for count in (4, 3)]
    with pytest.raises(InputError, match=r"worker 2 \(node2\) has 3 .* worker 0 \(node0\) has 4"):
        crew.begin(CONFIG, 4)


def test_what_others_have_found_comes_in_the_order_of_their_ranks(crew):
    crew._leader.answers = [Message("x", arrays={"a": np.array(n)}) for n in (1, 2)]
    crew.evaluate()
    found = crew.found()
    assert [(host, int(arrays["a"])) for host, arrays in found] == [
        (Host(1, 3), 1),
        (Host(2, 3), 2),
    ]


def test_a_worker_that_has_had_no_part_of_a_batch_adds_none(crew):
    crew._leader.answers = [Message("x"), Message("x", arrays={"a": np.zeros(1)})]
    assert len(crew.batches()) == 1


def test_the_first_failure_counts_and_names_its_worker(crew):
    assert crew.failure() is None
    crew._leader.report_fn(2, Message(orders.FAILURE, {"text": "a shard is gone", "code": 4}))
    crew._leader.lost_fn(2, "worker 2 is gone")
    failure = crew.failure(ValueError())
    assert (str(failure), failure.exit_code) == ("worker 2 (node2): a shard is gone", 4)


def test_a_signal_of_another_worker_is_one_of_this(crew):
    taken = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: taken.append(number))
    try:
        crew._leader.report_fn(1, Message(orders.SIGNAL, {"number": int(signal.SIGUSR2)}))
        os.kill(os.getpid(), 0)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert taken == [signal.SIGUSR2]


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, 0), (InputError("no"), 2), (OSError("no"), 1), (SystemExit(143), 143)],
)
def test_whatever_ends_the_leader_ends_all_with_its_code(crew, error, code):
    stop = StopRequest()
    if isinstance(error, SystemExit):
        stop.received(signal.SIGTERM)

    def ends():
        with crew.ending(stop):
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            ends()
    else:
        ends()
    assert crew._leader.final.values["code"] == code
    # Once: what has ended it is not said again.
    crew.end(9, "later")
    assert crew._leader.final.values["code"] == code
