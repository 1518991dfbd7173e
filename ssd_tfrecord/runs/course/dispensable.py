"""Files that a run writes for people: where one cannot be written, the run goes on."""

import os
from collections.abc import Callable

# Prints a line.
Say = Callable[[str], object]

# On a disk that is nearly full, a small write succeeds where a large one fails, for days.
_MAX_TIMES = 3


class Outage:
    """What several ``Dispensable`` share: of those that fail for one reason, one says so."""

    def __init__(self) -> None:
        self._speakers: dict[str, object] = {}

    def claim(self, reason: str, speaker: object) -> bool:
        """Whether ``speaker`` is the first that fails for ``reason``, and is to say so."""
        return self._speakers.setdefault(reason, speaker) is speaker

    def release(self, speaker: object) -> None:
        """Lets others say what still fails, once ``speaker`` works again."""
        self._speakers = {
            reason: other for reason, other in self._speakers.items() if other is not speaker
        }


class Dispensable:
    """A file, or files of a kind, that may fail to be written: said once, and when it works again.

    Args:
        what: the files, as a message calls them.
        say: prints the lines.
        outage: shared with the other files of a run, which a full disk fails all at once.
    """

    def __init__(
        self, what: str | os.PathLike[str], say: Say, outage: Outage | None = None
    ) -> None:
        self._what = os.fspath(what)
        self._say = say
        self._outage = outage or Outage()
        self._said = False
        self._times = 0

    def attempt(self, write_fn: Callable[[], None]) -> bool:
        """Calls ``write_fn``; returns False where it raised an OSError, which is said."""
        try:
            write_fn()
        except OSError as error:
            reason = error.strerror or str(error)
            if not self._said and self._outage.claim(reason, self):
                self._said = True
                self._times += 1
                if self._times <= _MAX_TIMES:
                    more = "; not said any more" if self._times == _MAX_TIMES else ""
                    self._say(
                        f"warning: {self._what}: cannot be written ({reason}); the run goes on "
                        f"without, and tries again each time{more}"
                    )
            return False
        if self._said:
            self._said = False
            self._outage.release(self)
            if self._times < _MAX_TIMES:
                self._say(f"{self._what}: can be written again")
        return True
