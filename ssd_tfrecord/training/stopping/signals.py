"""Signals as requests to stop, seen by a thread within milliseconds whatever the main thread does.

A Python signal handler waits until the main thread runs Python again, which may take minutes inside
one call of TensorFlow. The interpreter also writes the signal's number to a descriptor at once
(``signal.set_wakeup_fd``), and a thread waits for that. Free of TensorFlow.
"""

import atexit
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
STOPPED = 143
INTERRUPTED = 130

# How long the main thread has, after a signal, to come to a place where it notices.
GRACE_SECONDS = 3.0

_LOOK_SECONDS = 0.25


class Stopped(BaseException):
    """Raised in the main thread by a signal, within ``StopRequest.interruptible``."""


class StopRequest:
    """Whether, and by which signal, the process has been asked to stop.

    ``signal`` is the number of the first signal, 0 until then; ``complete`` is set by the main
    thread once nothing is left to do, so that a signal comes too late. ``caught`` are the numbers
    of the signals that are watched for.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.complete = False
        self.caught: tuple[int, ...] = ()
        self._since = 0.0
        self._interrupts = 0
        self._told = False
        self._interruptible = False
        self._raised = False
        self._listeners: list[Callable[[], object]] = []
        self._look_fn: Callable[[], object] = self.end_when_due

    def catch(self) -> None:
        """Has Python take the signals; for the main thread.

        Again after TensorFlow has found other workers: it then takes SIGTERM for itself.
        """
        for number in self.caught:
            signal.signal(number, self.handle)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after any other signal; 0 if all was done before it."""
        if self.complete:
            return 0
        return INTERRUPTED if self.signal == signal.SIGINT else STOPPED

    @property
    def name(self) -> str:
        """Of the signal, like SIGTERM."""
        return signal.Signals(self.signal).name if self.signal else ""

    @property
    def is_due(self) -> bool:
        """Whether the main thread has not noticed the signal for ``GRACE_SECONDS``."""
        return bool(self.signal) and time.monotonic() - self._since >= GRACE_SECONDS

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """A block that a signal leaves at once with ``Stopped``, or does not enter.

        For work that is given up: nothing in it may be needed afterwards.
        """
        before = self._interruptible
        self._interruptible = True
        try:
            if self.signal:
                raise Stopped
            yield
        except Exception:
            # TensorFlow's own cleaning up may fail on being left in the middle, and say so instead.
            if self._raised:
                raise Stopped from None
            raise
        finally:
            self._interruptible = before

    def on_signal(self, listener: Callable[[], object]) -> None:
        """Calls ``listener`` in the thread as soon as there is a signal; now if there was one."""
        self._listeners.append(listener)
        if self.signal:
            listener()

    def look_with(self, look_fn: Callable[[], object] | None) -> None:
        """Has the thread call ``look_fn`` four times a second; None: as at the start.

        Then nothing is worth saving, and the process ends when ``is_due``.
        """
        self._look_fn = look_fn or self.end_when_due

    def received(self, number: int) -> None:
        """Takes a signal; the third Ctrl-C ends the process at once."""
        self._interrupts += number == signal.SIGINT
        if self._interrupts >= 3:
            end_process(INTERRUPTED)
        self._note(number)
        # Not if the signal is new: the handler may have noted it before.
        if not self._told:
            self._told = True
            for listener in self._listeners:
                listener()

    def end(self) -> NoReturn:
        """Ends the program as the signal would have done, by ``exit_code``."""
        # flags.run makes 130 of it.
        if self.exit_code == INTERRUPTED:
            raise KeyboardInterrupt
        raise SystemExit(self.exit_code)

    def hand_in(self, number: int) -> None:
        """Takes a signal that came to another worker; it is no press of Ctrl-C of its own."""
        self._interrupts -= number == signal.SIGINT
        os.kill(os.getpid(), number)

    def handle(self, number: int, _: FrameType | None) -> None:
        """The Python handler: runs in the main thread, once that runs Python."""
        # The thread does, too, and either may be first.
        self._note(number)
        # Once only: a second signal must not interrupt what cleans up.
        if self._interruptible and not self._raised:
            self._raised = True
            raise Stopped

    def watch(self, descriptor: int) -> None:
        """The thread: waits for numbers of signals on ``descriptor``, until a 0."""
        while True:
            ready, _, _ = select.select([descriptor], [], [], _LOOK_SECONDS)
            numbers = os.read(descriptor, 64) if ready else b""
            if 0 in numbers:
                return
            for number in numbers:
                if number in STOPPING:
                    self.received(number)
            self._look_fn()

    def _note(self, number: int) -> None:
        if not self.signal:
            self._since = time.monotonic()
            self.signal = number

    def end_when_due(self) -> None:
        """Ends the process if it ``is_due``; nothing is saved."""
        if self.is_due:
            if not self.complete:
                print(self.farewell(), flush=True)
            end_process(self.exit_code)

    def farewell(self) -> str:
        """The line that is said of a stop before there is anything to save."""
        return f"stopped by {self.name}; run the same command to go on"


def end_process(code: int) -> NoReturn:
    """Ends the process from any thread, without waiting for others; locks are the kernel's."""
    for stream in (sys.stdout, sys.stderr):
        # The main thread may hold the stream's lock for ever; a pipe's reader may be gone.
        flusher = threading.Thread(target=_flush, args=(stream,), daemon=True)
        # While the interpreter ends, Python 3.12 starts no more threads, and has flushed.
        with contextlib.suppress(RuntimeError):
            flusher.start()
            flusher.join(timeout=0.5)
    os._exit(code)


def _flush(stream: object) -> None:
    with contextlib.suppress(OSError, ValueError):
        stream.flush()  # type: ignore[attr-defined]


@contextlib.contextmanager
def watched() -> Iterator[StopRequest]:
    """Watches for the signals ``STOPPING`` while the context lasts; the main thread's only.

    After a signal the context ends as ``StopRequest.end`` does, unless the request is ``complete``.
    Where it was ignored from the start, as SIGHUP under nohup, a signal stays ignored. Once the
    interpreter ends, which takes TensorFlow a second, signals no longer change the exit code.
    """
    stop = StopRequest()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    caught = (number for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN)
    stop.caught = tuple(caught)
    before = {number: signal.getsignal(number) for number in stop.caught}
    before_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    stop.catch()
    thread = threading.Thread(target=stop.watch, args=(reader,), name="signals", daemon=True)
    thread.start()
    try:
        yield stop
    except Stopped:
        print(stop.farewell(), flush=True)
        stop.end()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_fd)
        os.write(writer, bytes(1))
        # It may be what ends the process; or it may be stuck, and is left behind.
        thread.join(timeout=2)
        if not thread.is_alive():
            os.close(writer)
            os.close(reader)
        atexit.register(_ignore)


def _ignore() -> None:
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
