"""Files that a run writes for people: where one cannot be written, the run goes on."""

import os
from collections.abc import Callable

# Prints a line.
Say = Callable[[str], object]

# On a disk that is nearly full, a small write succeeds where a large one fails, for days.
_MAX_TIMES = 3


class Dispensable:
    """A file, or files of a kind, that may fail to be written: said once, and when it works again.

    Args:
        what: the files, as a message calls them.
        say: prints the lines.
    """

    def __init__(self, what: str | os.PathLike[str], say: Say) -> None:
        self._what = os.fspath(what)
        self._say = say
        self._failing = False
        self._times = 0

    def attempt(self, write_fn: Callable[[], None]) -> bool:
        """Calls ``write_fn``; returns False where it raised an OSError, which is said."""
        try:
            write_fn()
        except OSError as error:
            self._times += not self._failing
            if not self._failing and self._times <= _MAX_TIMES:
                more = "; not said any more" if self._times == _MAX_TIMES else ""
                self._say(
                    f"warning: {self._what}: cannot be written ({error.strerror or error}); the "
                    f"run goes on without, and tries again each time{more}"
                )
            self._failing = True
            return False
        if self._failing and self._times < _MAX_TIMES:
            self._say(f"{self._what}: can be written again")
        self._failing = False
        return True
