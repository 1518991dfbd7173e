"""One connection of the link: frames both ways, and a heartbeat, whatever the main thread does.

Two threads serve it. One sends what is queued, and a heartbeat when there is nothing; the other
receives, and notices that the other side is gone or silent.
"""

import contextlib
import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ssd_tfrecord.devices.cluster import messages
from ssd_tfrecord.devices.cluster.messages import Frame, FrameError, Message, Sort


@dataclass(frozen=True)
class Pulse:
    """Times of a connection, in seconds.

    Attributes:
        interval: between two heartbeats.
        silence: after which a side that sends nothing is lost.
    """

    interval: float = 5.0
    silence: float = 45.0


PULSE = Pulse()


@dataclass(frozen=True)
class Ending:
    """How a connection ended.

    Attributes:
        reason: in words that follow "worker 2 (node7, process 4711)".
        farewell: the other side's last message, if it has said goodbye.
    """

    reason: str
    farewell: Message | None = None


class _ClosedError(ConnectionError):
    """The other side has closed the connection."""


class _SilentError(ConnectionError):
    """Nothing has come for too long."""


def read_before(connection: socket.socket, deadline: float) -> Callable[[memoryview], None]:
    """A function for ``messages.unpack`` that reads until ``deadline`` (of time.monotonic).

    It raises OSError after that, or if the connection is closed.
    """

    def wait() -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not _readable(connection, remaining):
            raise TimeoutError("no answer in time")

    return lambda buffer: _fill(connection, buffer, wait)


class Connection:
    """A connected socket and its two threads.

    Args:
        connection: is closed by this object.
        pulse: its times.
    """

    def __init__(self, connection: socket.socket, pulse: Pulse) -> None:
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(None)
        self._pulse = pulse
        # Its methods may be interrupted by a signal's exception anywhere without harm.
        self._outgoing: queue.SimpleQueue[bytes | threading.Event | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._sender = threading.Thread(target=self._send_all, name="link", daemon=True)

    def start(
        self, frame_fn: Callable[[Frame], object], end_fn: Callable[[Ending], object]
    ) -> None:
        """Starts to send and receive.

        Args:
            frame_fn: called, in the receiving thread, with each frame but heartbeats and goodbye.
            end_fn: called once there, after the last frame.
        """
        self._sender.start()
        receive = threading.Thread(
            target=self._receive_all, args=(frame_fn, end_fn), name="link", daemon=True
        )
        receive.start()

    def send(self, data: bytes) -> None:
        """Has a packed frame sent; returns at once."""
        self._outgoing.put(data)

    def flush(self, timeout: float) -> None:
        """Waits until all is handed to the kernel, or cannot be, or time is up."""
        sent = threading.Event()
        self._outgoing.put(sent)
        end = time.monotonic() + timeout
        while self._sender.is_alive() and time.monotonic() < end:
            if sent.wait(0.02):
                return

    def goodbye(self, farewell: Message) -> None:
        """Says that nothing follows; what the other side sends is still received."""
        self.send(messages.pack(Frame(Sort.GOODBYE, farewell)))
        self._outgoing.put(None)

    def wait_ended(self, timeout: float) -> None:
        """Waits until the other side has said goodbye or is gone, or time is up."""
        end = time.monotonic() + timeout
        # In short waits, as a signal may be handed to another thread, which wakes nobody here.
        while not self._ended.wait(0.1) and time.monotonic() < end:
            pass

    def close(self) -> None:
        """Ends both threads now."""
        self._outgoing.put(None)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _send_all(self) -> None:
        heartbeat = messages.pack(Frame(Sort.HEARTBEAT))
        with contextlib.suppress(OSError):  # the receiving thread sees it, too
            while True:
                try:
                    item = self._outgoing.get(timeout=self._pulse.interval)
                except queue.Empty:
                    item = heartbeat
                if item is None:
                    self._socket.shutdown(socket.SHUT_WR)
                    return
                if isinstance(item, threading.Event):
                    item.set()
                else:
                    self._socket.sendall(item)

    def _receive_all(
        self, frame_fn: Callable[[Frame], object], end_fn: Callable[[Ending], object]
    ) -> None:
        try:
            ending = self._received_until_end(frame_fn)
        except _SilentError:
            seconds = f"{self._pulse.silence:g} s"
            ending = Ending(f"is gone: silent for {seconds} (machine or network down?)")
        except OSError:
            ending = Ending("is gone: its connection closed (killed?)")
        except FrameError as error:
            ending = Ending(f"is gone: what it sent {error}")
        except Exception as error:  # without its thread the connection would only seem to live
            ending = Ending(f"is cut off: {type(error).__name__}: {error}")
        self._ended.set()
        # One that is silent may hear yet what is said now.
        end_fn(ending)
        if ending.farewell is None:
            self.close()
        # Else until this side says goodbye, too, its heartbeats go on.
        self._sender.join()
        self._socket.close()

    def _received_until_end(self, frame_fn: Callable[[Frame], object]) -> Ending:
        while True:
            frame = messages.unpack(lambda buffer: _fill(self._socket, buffer, self._wait))
            if frame.sort == Sort.GOODBYE:
                reason = str(frame.message.values.get("reason", ""))
                return Ending(f"has ended{reason and f': {reason}'}", frame.message)
            if frame.sort != Sort.HEARTBEAT:
                frame_fn(frame)

    def _wait(self) -> None:
        # Counted in short waits: a process that was itself stopped, or had no thread running, has
        # not listened for so long.
        tick = min(1.0, self._pulse.interval / 2)
        silent = 0.0
        while not _readable(self._socket, tick):
            silent += tick
            if silent >= self._pulse.silence:
                raise _SilentError


def _readable(connection: socket.socket, timeout: float) -> bool:
    # Not select(), which knows no descriptor above 1023.
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(1000 * timeout))


def _fill(connection: socket.socket, buffer: memoryview, wait_fn: Callable[[], None]) -> None:
    while len(buffer):
        wait_fn()
        received = connection.recv_into(buffer)
        if not received:
            raise _ClosedError("closed")
        buffer = buffer[received:]
