"""Workers in processes of their own that are killed, stopped, busy or asked to end."""

import signal
import time

import pytest
from linked_workers import worker_processes

from ssd_tfrecord.devices.cluster.connection import Pulse

KILLED = "is gone: its connection closed (killed?)"
IMPATIENT = Pulse(interval=0.2, silence=2)
SILENT = "is gone: silent for 2 s (machine or network down?)"

COLLECT = "end.collect()"
NEXT = "end.next()"
# The main thread does not look at the link.
BUSY = "time.sleep(60)"


def ends_with_loss(worker, index, text):
    lines, code = worker.rest()
    assert code == 8
    assert lines == [f"lost {index} {text}", f"error: {text}"]


def test_a_follower_that_is_killed_ends_all_with_a_line_that_names_it():
    with worker_processes([COLLECT, NEXT, BUSY, NEXT]) as workers:
        workers[3].send(signal.SIGKILL)
        text = f"{workers[3].name} {KILLED}"
        for worker in workers[:2]:
            ends_with_loss(worker, 3, text)
        # It is told whatever the main thread does.
        assert workers[2].line() == f"lost 3 {text}"


def test_a_leader_that_is_killed_ends_all_with_a_line_that_names_it():
    with worker_processes([BUSY, NEXT, NEXT]) as workers:
        workers[0].send(signal.SIGKILL)
        for worker in workers[1:]:
            ends_with_loss(worker, 0, f"{workers[0].name} {KILLED}")


def test_a_follower_that_is_stopped_is_silent_and_learns_of_it_when_it_goes_on():
    with worker_processes([COLLECT, NEXT, NEXT], IMPATIENT) as workers:
        workers[1].send(signal.SIGSTOP)
        text = f"{workers[1].name} {SILENT}"
        ends_with_loss(workers[0], 1, text)
        ends_with_loss(workers[2], 1, text)
        workers[1].send(signal.SIGCONT)
        ends_with_loss(workers[1], 1, f"given up by {workers[0].name}: {text}")


@pytest.mark.soak
def test_a_leader_that_is_stopped_is_silent():
    with worker_processes([COLLECT, NEXT], IMPATIENT) as workers:
        workers[0].send(signal.SIGSTOP)
        ends_with_loss(workers[1], 0, f"{workers[0].name} {SILENT}")


def test_a_loss_is_told_to_the_others_before_lost_fn_may_end_the_process():
    """Else they would name the leader, whose connection closes."""
    at_once = "end._vigil._lost_fn = lambda *_: os._exit(8); say('ready'); time.sleep(60)"
    with worker_processes([at_once, NEXT, NEXT]) as workers:
        assert workers[0].line() == "ready"
        workers[1].send(signal.SIGKILL)
        ends_with_loss(workers[2], 1, f"{workers[1].name} {KILLED}")
        assert workers[0].rest() == ([], 8)


def test_a_main_thread_that_is_busy_for_longer_than_the_silence_is_not_lost():
    """Asleep in one worker, in Python code in another."""
    answer = "end.answer(Message('here')); end.next(); end.close()"
    spin = f"end_time = time.monotonic() + 3\nwhile time.monotonic() < end_time: pass\n{answer}"
    collect = "say(len(end.collect())); end.close(Message('end'))"
    with worker_processes([collect, f"time.sleep(3); {answer}", spin], IMPATIENT) as workers:
        assert [worker.rest() for worker in workers] == [(["2"], 0), ([], 0), ([], 0)]


@pytest.mark.soak
def test_a_group_that_is_stopped_as_a_whole_goes_on():
    """As when a virtual machine is paused: time has passed that nobody had."""
    answer = "end.answer(Message('here')); end.next(); end.close()"
    collect = "time.sleep(2); say(len(end.collect())); end.close(Message('end'))"
    with worker_processes([collect, answer, answer], IMPATIENT) as workers:
        for worker in workers:
            worker.send(signal.SIGSTOP)
        time.sleep(3)
        for worker in workers:
            worker.send(signal.SIGCONT)
        assert [worker.rest() for worker in workers] == [(["2"], 0), ([], 0), ([], 0)]


# The kernel may hand a signal to any thread, and then wakes no other: here to none but one
# that does nothing else.
ELSEWHERE = """
import threading
def look_away():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    time.sleep(60)
threading.Thread(target=look_away, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
say("waits")
"""


@pytest.mark.parametrize("elsewhere", ["say('waits')\n", ELSEWHERE], ids=["", "another thread"])
def test_a_signal_leaves_what_waits(elsewhere):
    with worker_processes([elsewhere + COLLECT, elsewhere + NEXT]) as workers:
        for worker in workers:
            assert worker.line() == "waits"
        time.sleep(0.2)
        workers[1].send(signal.SIGTERM)
        assert workers[1].rest() == (["stopped"], 143)
        ends_with_loss(workers[0], 1, f"{workers[1].name} {KILLED}")


def test_a_signal_leaves_a_leader_and_a_follower_that_wait_for_each_other():
    with worker_processes([COLLECT, NEXT, NEXT], linked=False) as workers:
        # The others never come.
        workers[1].process.kill()
        workers[2].process.kill()
        time.sleep(0.5)
        workers[0].send(signal.SIGTERM)
        assert workers[0].rest()[1] == 143
    with worker_processes([COLLECT, NEXT], linked=False) as workers:
        workers[0].process.kill()
        time.sleep(0.5)
        workers[1].send(signal.SIGTERM)
        assert workers[1].rest()[1] == 143
