"""What the watching thread does to a run that is stuck, with a loop and a process that stand in."""

import signal
import threading
import time

import pytest

from ssd_tfrecord.errors import DiskError
from ssd_tfrecord.training.runner import Progress
from ssd_tfrecord.training.stopping import guard
from ssd_tfrecord.training.stopping.signals import GRACE_SECONDS, StopRequest


class ProcessEnd(BaseException):
    pass


class Stuck:
    """Loop, runner and checkpoints of a run that is 7 steps far, of which 5 are saved."""

    def __init__(self, *, in_step=False, waiting=0.0, saved=5):
        self.lock = threading.RLock()
        self.saved = saved
        self.runner = self
        self.halted = False
        self.state = Progress(7, in_step=in_step, waiting=waiting)
        self.events = []

    def finished(self):
        return 7

    def progress(self):
        return self.state

    def waiting(self):
        return self.state.waiting

    def halt(self):
        self.halted = True

    def save_finished(self):
        self.events.append("save")
        self.saved = 7
        return 7


@pytest.fixture
def make(monkeypatch):
    def end(code):
        raise ProcessEnd(code)

    monkeypatch.setattr(guard, "end_process", end)

    def made(stuck, *, signal=0, timeout=120, waits=(), failure=None):
        stop = StopRequest()
        if signal:
            stop.received(signal)
        patience = guard.Patience(
            [stuck.waiting, *waits],
            "batch",
            timeout=timeout,
            waits_for=lambda: "the data service at x:1",
            say=stuck.events.append,
        )
        watching = guard.Guard(
            stop,
            stuck,
            stuck,
            patience,
            say=stuck.events.append,
            failure_fn=lambda: failure,
            ended=lambda *arguments: stuck.events.append(arguments),
        )
        return watching

    return made


def overdue(monkeypatch):
    later = time.monotonic() + GRACE_SECONDS + 1
    monkeypatch.setattr("time.monotonic", lambda: later)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stuck_run_is_saved_and_ended_after_the_grace(make, monkeypatch, number, code):
    stuck = Stuck()
    watching = make(stuck, signal=number)
    watching.look()
    assert stuck.events == []
    overdue(monkeypatch)
    with pytest.raises(ProcessEnd) as end:
        watching.look()
    assert end.value.args == (code,)
    name = signal.Signals(number).name
    assert stuck.events == [
        "save",
        f"stopped by {name} at step 7; run the same command to resume",
        (f"stopped by {name}", code),
    ]


def test_step_in_hand_is_waited_for_unless_all_is_saved(make, monkeypatch):
    stuck = Stuck(in_step=True)
    watching = make(stuck, signal=signal.SIGTERM)
    overdue(monkeypatch)
    watching.look()
    assert stuck.events == []
    stuck.lock.acquire(timeout=1)  # it has not kept the lock
    stuck.lock.release()
    # As in the first step of a run, which compiles: nothing is lost with it.
    stuck.saved = 7
    with pytest.raises(ProcessEnd):
        watching.look()
    assert "save" not in stuck.events


def test_save_under_way_is_waited_for(make, monkeypatch):
    stuck = Stuck()
    watching = make(stuck, signal=signal.SIGTERM)
    overdue(monkeypatch)
    begun, end = threading.Event(), threading.Event()

    def saves():
        with stuck.lock:
            begun.set()
            end.wait(timeout=60)

    thread = threading.Thread(target=saves)
    thread.start()
    begun.wait(timeout=60)
    watching.look()
    assert stuck.events == []
    end.set()
    thread.join(timeout=60)
    with pytest.raises(ProcessEnd):
        watching.look()


def test_disk_that_is_full_does_not_keep_the_process(make, monkeypatch, capsys):
    stuck = Stuck()

    def fails():
        raise DiskError("runs/a: no space left")

    stuck.save_finished = fails
    watching = make(stuck, signal=signal.SIGTERM)
    overdue(monkeypatch)
    with pytest.raises(ProcessEnd):
        watching.look()
    assert "error: runs/a: no space left" in capsys.readouterr().err
    assert stuck.events[-1] == ("stopped by SIGTERM", 143)


def test_silent_input_is_said_and_then_ends_the_run(make, capsys):
    stuck = Stuck(waiting=19.0)
    watching = make(stuck)
    watching.look()
    assert stuck.events == []
    for waiting in (20.5, 21.0):
        stuck.state = Progress(7, in_step=False, waiting=waiting)
        watching.look()
    # Once.
    assert stuck.events == ["no batch for 20 s: waiting for the data service at x:1"]
    stuck.state = Progress(7, in_step=False, waiting=120.2)
    with pytest.raises(ProcessEnd) as end:
        watching.look()
    assert end.value.args == (5,)
    assert stuck.halted and stuck.events[1] == "save"
    assert (
        "error: step 7: no batch for 120 s (--input_timeout=120); waited for the data service at "
        "x:1; step 7 is saved" in capsys.readouterr().err
    )


def test_without_a_timeout_input_is_waited_for(make):
    stuck = Stuck(waiting=1e6)
    watching = make(stuck, timeout=0)
    watching.look()
    assert len(stuck.events) == 1
    # A batch came, and the next one does not: that is said again.
    stuck.state = Progress(7, in_step=False, waiting=0.0)
    watching.look()
    stuck.state = Progress(7, in_step=False, waiting=30.0)
    watching.look()
    assert len(stuck.events) == 2


def test_evaluation_that_waits_for_a_batch_counts(make):
    stuck = Stuck()
    watching = make(stuck, waits=[lambda: 0.0, lambda: 130.0])
    with pytest.raises(ProcessEnd) as end:
        watching.look()
    assert end.value.args == (5,)


def test_cache_that_is_not_filled_ends_after_the_time_out(monkeypatch, capsys):
    ends, said, waiting = [], [], [0.0]
    monkeypatch.setattr(guard, "end_process", ends.append)
    stop = StopRequest()
    patience = guard.Patience(
        [lambda: waiting[0]], "record", timeout=25, waits_for=lambda: "a.tfrecord", say=said.append
    )
    look = guard.early_look(stop, patience)
    look()
    assert said == ends == []
    waiting[0] = 21.0
    look()
    look()
    assert said == ["no record for 21 s: waiting for a.tfrecord"]
    waiting[0] = 26.0
    look()
    assert ends == [5]
    assert "the cache is not filled: no record for 26 s (--input_timeout=25)" in (
        capsys.readouterr().err
    )
    # A signal is still seen to.
    monkeypatch.setattr("ssd_tfrecord.training.stopping.signals.end_process", ends.append)
    waiting[0] = 0.0
    stop.received(signal.SIGTERM)
    overdue(monkeypatch)
    look()
    assert ends == [5, 143]
