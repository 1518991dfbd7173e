"""Ctrl-C and SIGTERM as a wish: the loop ends at its next look, with a checkpoint."""

import contextlib
import signal


class StopRequest:
    """``signal`` is the number of the signal that came, 0 until then."""

    def __init__(self):
        self.signal = 0

    def end(self) -> None:
        """Ends the program as the signal would have: 130 for Ctrl-C, 143 for SIGTERM."""
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.signal)


@contextlib.contextmanager
def caught():
    """Catches both signals and gives a ``StopRequest``; a second Ctrl-C interrupts at once."""
    request = StopRequest()

    def handle(number, _):
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
