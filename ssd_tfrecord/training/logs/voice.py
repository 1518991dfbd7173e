"""The output of a run: everything that training prints goes through it."""

import sys
from typing import TextIO


class Voice:
    """Prints lines and, on a terminal, a progress line that is overwritten.

    Args:
        stream: where to print; by default the standard output.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._width = 0

    def say(self, text: str) -> None:
        """Prints ``text`` on lines of its own."""
        # Keep the progress line that the cursor is on.
        if self._width:
            self._stream.write("\n")
            self._width = 0
        self._write(text + "\n")

    def update(self, text: str, *, keep: bool) -> None:
        """Prints a progress line.

        On a terminal it overwrites the last one. Elsewhere, as in a log file, it gets a line of its
        own.

        Args:
            text: the line.
            keep: whether to print it if this is not a terminal.
        """
        if self._live:
            # Padded, so that nothing of a longer line before it is left.
            self._write(text.ljust(self._width) + "\r")
            self._width = len(text)
        elif keep:
            self._write(text + "\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
