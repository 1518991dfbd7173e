"""The link between the workers that train together: what its two ends share.

TensorFlow's collectives carry the tensors of a step; everything else goes over one TCP connection
from each follower (any worker but the first) to the leader (the first). Nothing is encrypted or
authenticated, as with TensorFlow's own servers: it is for a cluster's inner network.

``link_leader.Leader`` and ``link_follower.Follower`` are the ends, ``connection`` the wire.
"""

import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from ssd_tfrecord.errors import InputError, WorkerLostError

# The kernel may hand a signal to another thread than the main one, which then does not wake up: it
# looks this often.
_LOOK_SECONDS = 0.2


def identity() -> dict[str, Any]:
    """This process as the others call it: {"host", "process"}."""
    return {"host": socket.gethostname(), "process": os.getpid()}


def described(index: int, who: dict[str, Any]) -> str:
    """A worker in words: "worker 2 (node7, process 4711)".

    Args:
        index: its rank.
        who: its ``identity``, as it says.
    """
    host = "".join(filter(str.isprintable, str(who.get("host"))))[:100]
    return f"worker {index} ({host}, process {str(who.get('process'))[:20]})"


def error_of(text: str, code: object) -> InputError:
    """The error that another worker has met, by its exit code."""
    kind = WorkerLostError if code == WorkerLostError.exit_code else InputError
    return kind("".join(filter(str.isprintable, text)))


class Vigil:
    """What the main thread waits by, until something has come or a worker is lost.

    Args:
        lost_fn: called once, with the worker's index and the reason in words, in the thread that
            found out; not before ``begin``.
    """

    def __init__(self, lost_fn: Callable[[int, str], object]) -> None:
        self._lost_fn = lost_fn
        # Unlike a condition, it may be left by a signal's exception anywhere without harm.
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._begun = False
        self._text = ""

    @property
    def lost(self) -> str:
        """Why the group is no longer whole, in words that name the worker; empty while it is."""
        return self._text

    def begin(self) -> None:
        """Says that the group is whole: a loss is told to ``lost_fn`` from here on.

        Raises:
            WorkerLostError: it no longer is.
        """
        with self._lock:
            if self._text:
                raise WorkerLostError(self._text)
            self._begun = True

    def lose(self, index: int, text: str) -> None:
        """Notes the first loss; in any thread but the main one."""
        with self._lock:
            if self._text:
                return
            self._text = text
            begun = self._begun
        self.ring()
        if begun:
            self._lost_fn(index, text)

    def ring(self) -> None:
        """Wakes the main thread, as something has come."""
        self._bell.put(None)

    def wait(self, ready_fn: Callable[[], bool]) -> None:
        """Waits in the main thread until ``ready_fn()``.

        Raises:
            WorkerLostError: a worker is lost, even if something has come.
        """
        while not self._text:
            if ready_fn():
                return
            self.pause(_LOOK_SECONDS)
        raise WorkerLostError(self._text)

    def wait_lost(self, timeout: float) -> str:
        """Waits for a loss; returns ``lost``, empty after ``timeout`` seconds without one."""
        end = time.monotonic() + timeout
        while not self._text and (remaining := end - time.monotonic()) > 0:
            self.pause(min(remaining, _LOOK_SECONDS))
        return self._text

    def pause(self, timeout: float) -> None:
        """Waits for the bell, at most ``timeout`` seconds."""
        try:
            self._bell.get(timeout=timeout)
        except queue.Empty:
            return
