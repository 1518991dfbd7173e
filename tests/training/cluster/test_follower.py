"""What a follower does while its main thread is stuck; the rest is tested as processes."""

import pytest

from ssd_tfrecord.devices.cluster.messages import Message
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup
from ssd_tfrecord.training.cluster import follower, orders
from ssd_tfrecord.training.stopping.guard import Patience

GROUP = WorkerGroup(("node0:2222", "node1:2222"), 1, "Slurm", 3222)


class ProcessEnd(BaseException):
    pass


class Link:
    """Stands for a follower's end."""

    def __init__(self):
        self.final, self.lost, self.said = None, "", []

    def report(self, message):
        self.said.append((message.kind, message.values))

    def close(self, reason=""):
        self.said.append(reason)


@pytest.fixture
def watch(monkeypatch):
    def end(code):
        raise ProcessEnd(code)

    clock = [100.0]
    monkeypatch.setattr(follower, "end_process", end)
    monkeypatch.setattr(follower.time, "monotonic", lambda: clock[0])
    made = follower._Watch(Link(), GROUP)
    made.link, made.clock = made._link, clock
    return made


def test_what_is_in_hand_may_end_after_the_leaders_last_order(watch):
    watch.look()
    watch.link.final = Message(orders.END, {"code": 143, "text": "stopped by SIGTERM"})
    watch.look()
    watch.clock[0] += 2.9
    watch.look()
    watch.clock[0] += 0.2
    with pytest.raises(ProcessEnd) as end:
        watch.look()
    assert end.value.args == (143,)


def test_a_lost_leader_is_named_and_ends_it(watch, capsys):
    watch.link.lost = "worker 0 (node0, process 7) is gone"
    watch.look()
    watch.clock[0] += follower.REASON_SECONDS + 1
    with pytest.raises(ProcessEnd) as end:
        watch.look()
    assert end.value.args == (8,)
    assert (
        capsys.readouterr().err == "error: worker 1 (node1): worker 0 (node0, process 7) is gone\n"
    )


def test_an_error_of_the_run_is_said_here_too_and_a_stop_is_not(capsys):
    ended = [
        follower._ended_by(Message(orders.END, {"code": code, "text": "why"}), GROUP)
        for code in (0, 143, 4)
    ]
    assert ended == [0, 143, 4]
    assert capsys.readouterr().err == "error: worker 1 (node1): why\n"


def test_an_input_that_is_silent_here_ends_all(watch, capsys):
    watch.patience = Patience(
        [lambda: 130.0],
        "batch",
        timeout=120,
        waits_for=lambda: "a shard",
        say=lambda text: None,
    )
    with pytest.raises(ProcessEnd) as end:
        watch.look()
    assert end.value.args == (5,)
    (kind, values), reason = watch.link.said
    assert (kind, values["code"]) == (orders.FAILURE, 5)
    assert reason == values["text"] and "waited for a shard" in reason
