"""The one voice of a run: everything that training prints goes through it."""

import sys
from typing import TextIO


class Voice:
    """Lines for people, and one that is written over on a terminal."""

    def __init__(self, stream: TextIO | None = None):
        """A voice on ``stream``; default: the standard output."""
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._width = 0

    def say(self, text: str) -> None:
        """Writes ``text`` on lines of its own."""
        if self._width:
            self._stream.write("\n")
            self._width = 0
        self._write(text + "\n")

    def update(self, text: str, *, keep: bool) -> None:
        """Writes a line in the place of the one before; elsewhere than on a terminal, a line of its
        own, and only if it is to ``keep``.
        """
        if self._live:
            self._write(text.ljust(self._width) + "\r")
            self._width = len(text)
        elif keep:
            self._write(text + "\n")

    def _write(self, text):
        self._stream.write(text)
        self._stream.flush()
