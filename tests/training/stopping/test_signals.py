"""Signals: seen by a thread at once, left by exception where work is given up, ended when stuck."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from ssd_tfrecord.training.stopping import signals

STOPPING = pytest.mark.parametrize("number", signals.STOPPING, ids=lambda number: number.name)


def eventually(condition):
    """Waits for it, a minute at most; whether it came true."""
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def expected(number):
    return 130 if number == signal.SIGINT else 143


@STOPPING
def test_signal_becomes_a_request_and_the_handlers_come_back(number):
    before = [signal.getsignal(other) for other in signals.STOPPING]
    with signals.watched() as stop:
        assert (stop.signal, stop.name, stop.is_due) == (0, "", False)
        for _ in range(2):  # a second one changes nothing
            os.kill(os.getpid(), number)
        assert (stop.signal, stop.exit_code) == (number, expected(number))
        assert stop.name == signal.Signals(number).name
    assert [signal.getsignal(other) for other in signals.STOPPING] == before
    assert "signals" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises((KeyboardInterrupt, SystemExit)) as raised:
        stop.end()
    assert getattr(raised.value, "code", 130) == expected(number)


def test_listeners_hear_of_it_while_the_main_thread_is_busy():
    heard = []
    with signals.watched() as stop:
        stop.on_signal(lambda: heard.append(threading.current_thread().name))
        # The main thread never sees a wait in C: a lock that another thread holds.
        lock = threading.Lock()
        lock.acquire()
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()

        def release():
            eventually(lambda: heard)
            lock.release()

        threading.Thread(target=release).start()
        lock.acquire()
        assert heard == ["signals"]
        late = []
        stop.on_signal(lambda: late.append(1))
        assert late


@STOPPING
def test_work_that_is_given_up_is_left_at_once(number):
    after = []
    with pytest.raises((KeyboardInterrupt, SystemExit)) as raised, signals.watched() as stop:
        with stop.interruptible():
            os.kill(os.getpid(), number)
            time.sleep(30)
        after.append(1)
    assert not after
    assert getattr(raised.value, "code", 130) == expected(number)


def test_errors_that_come_of_leaving_are_not_the_end():
    with pytest.raises(SystemExit), signals.watched() as stop, stop.interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        except signals.Stopped:
            raise AssertionError("nesting violated") from None  # as a context of TensorFlow says


def test_work_that_must_end_is_not_left_and_the_next_is_not_begun():
    done = []
    with pytest.raises(SystemExit), signals.watched() as stop:
        with stop.interruptible():
            done.append("interruptible")
        os.kill(os.getpid(), signal.SIGTERM)
        assert eventually(lambda: stop.signal)
        time.sleep(0.1)
        done.append("not interruptible")
        with stop.interruptible():
            done.append("never")
    assert done == ["interruptible", "not interruptible"]


def test_what_cleans_up_is_not_interrupted_by_a_second_signal():
    cleaned = []
    with pytest.raises(SystemExit), signals.watched() as stop, stop.interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
            cleaned.append(1)
    assert cleaned


def test_signal_after_all_is_done_comes_too_late():
    with signals.watched() as stop:
        stop.complete = True
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        assert stop.exit_code == 0


def test_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.watched() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.1)
            assert stop.signal == 0
    finally:
        signal.signal(signal.SIGHUP, before)


STUCK = """
import sys, threading
from ssd_tfrecord.training.stopping import signals
with signals.watched() as stop:
    lock = threading.Lock()
    lock.acquire()
    {look}
    print("ready", flush=True)
    print("not flushed yet", end="")
    lock.acquire()  # for ever; a wait in C would not end for a handler either
"""


def waits(process, number):
    """Whether the kernel still holds the signal back, as on a busy machine."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    masks = re.findall(r"^(?:SigPnd|ShdPnd):\s*(\w+)$", status, re.M)
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


def stuck(look=""):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STUCK.format(look=look))],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_process_that_does_not_notice_ends_after_the_grace():
    with stuck() as process:
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
        assert time.monotonic() - start >= signals.GRACE_SECONDS - 0.5
        assert process.stdout.read() == (
            "not flushed yetstopped by SIGTERM; run the same command to go on\n"
        )


ENDING = """
import atexit, os, signal
from ssd_tfrecord.training.stopping import signals
atexit.register(os.kill, os.getpid(), signal.SIGTERM)  # runs after what is registered later
with signals.watched() as stop:
    pass
"""


def test_signal_while_the_interpreter_ends_changes_no_exit_code():
    assert subprocess.run([sys.executable, "-c", ENDING], check=False).returncode == 0


def test_third_ctrl_c_ends_at_once():
    # With a look of its own, nothing else ends it.
    with stuck("stop.look_with(lambda: None)") as process:
        try:
            for _ in range(3):
                process.send_signal(signal.SIGINT)
                # Two that the kernel still holds back are one.
                eventually(lambda: process.poll() is not None or not waits(process, signal.SIGINT))
            assert process.wait(timeout=60) == 130
        finally:
            process.kill()


def test_ctrl_c_at_other_workers_is_no_press_of_its_own():
    stop = signals.StopRequest()
    taken = []
    before = signal.signal(signal.SIGINT, lambda number, _: taken.append(number))
    try:
        # One press at a terminal comes to all of four workers.
        for _ in range(3):
            stop.hand_in(signal.SIGINT)
            stop.received(signal.SIGINT)  # as its thread does
        stop.received(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(taken) == 3 and stop.signal == signal.SIGINT
