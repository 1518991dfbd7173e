"""Ctrl-C and SIGTERM as requests: the loop ends after its current call, with a checkpoint."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn


class StopRequest:
    """``signal`` is the number of the signal that was received, 0 until then."""

    def __init__(self) -> None:
        self.signal = 0

    def end(self) -> NoReturn:
        """Ends the program as the signal would have done: exit code 130 (Ctrl-C), 143 (SIGTERM)."""
        # flags.run makes 130 of it.
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.signal)


@contextlib.contextmanager
def caught() -> Iterator[StopRequest]:
    """Catches both signals and yields a ``StopRequest``; a second signal interrupts at once."""
    request = StopRequest()

    def handle(number: int, _: FrameType | None) -> None:
        # The second one does not wait for the call to end.
        if request.signal:
            raise KeyboardInterrupt
        request.signal = number

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
