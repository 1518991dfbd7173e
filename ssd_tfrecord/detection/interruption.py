"""Ctrl-C and SIGTERM as requests to stop: what is begun is finished, and what was found is kept."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether the process has been asked to stop: ``signal`` is the number, 0 until then."""

    def __init__(self) -> None:
        self.signal = 0

    @property
    def name(self) -> str:
        """Of the signal, like SIGTERM."""
        return signal.Signals(self.signal).name if self.signal else ""

    def take(self, number: int, _: FrameType | None = None) -> None:
        """The handler; of a second signal, too, which does not wait for what is begun."""
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number

    def end(self) -> None:
        """Ends the program as the signal would have done, by 130 or 143; nothing without one."""
        if self.signal == signal.SIGINT:
            # flags.run makes 130 of it.
            raise KeyboardInterrupt
        if self.signal:
            raise SystemExit(128 + self.signal)


@contextlib.contextmanager
def watched() -> Iterator[Interruption]:
    """Takes the signals while the context lasts; where one was ignored, it stays ignored."""
    interruption = Interruption()
    # Only the main thread may.
    there = _STOPPING if threading.current_thread() is threading.main_thread() else ()
    caught = [number for number in there if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interruption.take) for number in caught}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
