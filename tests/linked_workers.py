"""Groups of workers on this machine, linked in threads of one process or in processes."""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading

from ssd_tfrecord.devices.cluster.connection import Pulse
from ssd_tfrecord.devices.cluster.link_follower import Follower
from ssd_tfrecord.devices.cluster.link_leader import Leader
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup

# Many heartbeats, and nobody is lost by a machine that is slow.
PATIENT = Pulse(interval=0.1, silence=30)

HELLO = {"--seed": "7"}
TIMEOUT = 30


def free_port(beside=0):
    """A port that nobody listens at, nor at that ``beside`` above it.

    Below those that the kernel gives to whoever connects (32768 and up on Linux): one of these may
    be another's by the time that a process which takes seconds to start wants it.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for number in {port, port + beside}:
                stack.enter_context(socket.create_server(("", number)))
            return port


def group_of(count, port):
    """The groups as each worker has it; only the link's port is used."""
    addresses = tuple(f"127.0.0.1:{2222 + index}" for index in range(count))
    return [WorkerGroup(addresses, index, "test", port) for index in range(count)]


class Heard:
    """What the callbacks of a worker were told."""

    def __init__(self):
        self.losses = []
        self.reports = []
        self.lines = []

    def lost(self, index, text):
        self.losses.append((index, text))

    def reported(self, index, message):
        self.reports.append((index, message))


def leader_of(group, heard, *, hello=HELLO, timeout=TIMEOUT, pulse=PATIENT):
    return Leader(
        group,
        timeout=timeout,
        say=heard.lines.append,
        hello=hello,
        lost_fn=heard.lost,
        report_fn=heard.reported,
        pulse=pulse,
    )


def follower_of(group, heard, *, hello=HELLO, timeout=TIMEOUT, pulse=PATIENT):
    return Follower(group, timeout=timeout, hello=hello, lost_fn=heard.lost, pulse=pulse)


class Background:
    """A call in a thread; its result or its error."""

    def __init__(self, function, *args, **kwargs):
        self._outcome = []

        def run():
            try:
                self._outcome.append((function(*args, **kwargs), None))
            except Exception as error:
                self._outcome.append((None, error))

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def result(self):
        value, error = self._wait()
        if error:
            raise error
        return value

    def error(self):
        return self._wait()[1]

    def _wait(self):
        self._thread.join(60)
        assert self._outcome, "still waiting"
        return self._outcome[0]


@contextlib.contextmanager
def linked(count):
    """A leader and its followers, and what each heard; all closed at the end."""
    groups = group_of(count, free_port())
    heard = [Heard() for _ in groups]
    starting = [Background(follower_of, *pair) for pair in zip(groups[1:], heard[1:])]
    leader = leader_of(groups[0], heard[0])
    followers = [follower.result() for follower in starting]
    try:
        yield leader, followers, heard
    finally:
        closing = Background(leader.close)
        for follower in followers:
            follower.close()
        closing.result()


# A worker that does what ``body`` says with ``end`` (its end of the link) and ``Message``.
_WORKER = """
import json, os, signal, sys, time
from ssd_tfrecord.devices.cluster.connection import Pulse
from ssd_tfrecord.devices.cluster.link_follower import Follower
from ssd_tfrecord.devices.cluster.link_leader import Leader
from ssd_tfrecord.devices.cluster.messages import Message
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup
from ssd_tfrecord.errors import InputError

def say(*words):
    # At once, as two threads may speak.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

losses = []

def lost(index, text):
    say("lost", index, text)
    losses.append(index)

class Stopped(BaseException):
    pass

def stop(number, _):
    raise Stopped

signal.signal(signal.SIGTERM, stop)
linked = False
addresses, index, port, interval, silence, body = json.loads(sys.argv[1])
group = WorkerGroup(tuple(addresses), index, "test", port)
common = dict(timeout=30, hello={}, pulse=Pulse(interval, silence))
common["lost_fn"] = lost
try:
    say("begins")
    if index:
        end = Follower(group, **common)
    else:
        end = Leader(group, say=say, report_fn=lambda *report: say("report", *report), **common)
    linked = True
    say("linked")
    exec(body)
except InputError as error:
    while linked and not losses:
        time.sleep(0.01)
    say("error:", error)
    sys.exit(error.exit_code)
except Stopped:
    say("stopped")
    sys.exit(143)
"""


class Worker:
    """A worker in a process of its own."""

    def __init__(self, group, body, pulse):
        args = [group.addresses, group.index, group.link_port, pulse.interval, pulse.silence, body]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, json.dumps(args)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.name = f"worker {group.index} ({socket.gethostname()}, process {self.process.pid})"

    def line(self):
        return self.process.stdout.readline().rstrip("\n")

    def rest(self):
        """What else it prints, and its exit code."""
        text, _ = self.process.communicate(timeout=60)
        return text.splitlines(), self.process.returncode

    def send(self, number):
        self.process.send_signal(number)


@contextlib.contextmanager
def worker_processes(bodies, pulse=PATIENT, linked=True):
    """A process for each body, the leader's first; once all are linked, unless not waited for."""
    groups = group_of(len(bodies), free_port())
    workers = [Worker(group, body, pulse) for group, body in zip(groups, bodies)]
    try:
        for worker in workers:
            assert worker.line() == "begins"
        for worker in workers if linked else ():
            assert worker.line() == "linked"
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
            worker.process.stdout.close()
