"""--max_hours: when to end, so that the last checkpoint and evaluation are done in time.

Free of TensorFlow.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Literal

Kind = Literal["trace", "save", "evaluation"]

# What closing the run takes, and the end of the interpreter with TensorFlow in it.
_END_SECONDS = 5.0

# Before the first of its kind.
_SAVE_SECONDS = 10.0

# Of the longest seen so far: the next may take longer.
_MARGIN = 1.25

# An image of an evaluation goes through the network twice (detections, loss), forward only, and
# its detections are counted; in training it goes through three times as much.
_IMAGE_MARGIN = 1.5


class TimeLimit:
    """Whether there is time for more steps, and after them for a checkpoint and an evaluation.

    It is told how long everything takes, and expects the longest that it has seen.

    Args:
        max_hours: of the process; 0: no limit.
        began: when the process began, in seconds since the epoch.
        num_images: that an evaluation goes through, twice that if it evaluates two sets of weights;
            0 if nothing is evaluated.
        batch_size: images per step.
    """

    def __init__(self, max_hours: float, began: float, *, num_images: int, batch_size: int) -> None:
        self._max_hours = max_hours
        # The clock of the day may be put forward or back while the run lasts.
        self._origin = time.monotonic() - max(0.0, time.time() - began)
        self._num_images = num_images
        self._batch_size = batch_size
        self._longest: dict[Kind, float] = {}
        self._step_seconds = 0.0
        self._num_calls = 0

    @contextlib.contextmanager
    def timed(self, kind: Kind) -> Iterator[None]:
        """A block that is a trace of the steps, a checkpoint, or a whole evaluation."""
        begun = time.monotonic()
        yield
        self.took(kind, time.monotonic() - begun)

    def took(self, kind: Kind, seconds: float) -> None:
        """Is told of a trace, a checkpoint or a whole evaluation."""
        self._longest[kind] = max(seconds, self._longest.get(kind, 0.0))

    def stepped(self, num_steps: int, seconds: float) -> None:
        """Is told of a call of ``num_steps`` steps."""
        if not num_steps:
            return
        self._num_calls += 1
        # The first call also compiles and fills buffers: it counts only while there is no other.
        before = self._step_seconds if self._num_calls > 2 else 0.0
        self._step_seconds = max(before, seconds / num_steps)

    def due(self, num_steps: int) -> bool:
        """Whether the run has to end now, rather than after a call of ``num_steps`` more steps."""
        return bool(self._max_hours) and self._left() < self.needed(num_steps)

    def needed(self, num_steps: int) -> float:
        """Seconds that ``num_steps`` more steps, a checkpoint, an evaluation and the end take."""
        steps = _MARGIN * num_steps * self._step_seconds
        save = _MARGIN * self._longest.get("save", _SAVE_SECONDS)
        return steps + save + self._evaluation() + _END_SECONDS

    def line(self, step: int, num_steps: int) -> str:
        """What is said when the run ends for lack of time.

        Args:
            step: number of finished steps.
            num_steps: of the call that there is no time for.
        """
        what = ", a checkpoint and an evaluation" if self._num_images else " and a checkpoint"
        return (
            f"--max_hours={self._max_hours:g}: ending at step {step} with "
            f"{max(0.0, self._left()):,.0f} s left: {num_steps} more steps"
            f"{what} may take {self.needed(num_steps):,.0f} s; run the same command to resume"
        )

    def _left(self) -> float:
        return 3600 * self._max_hours - (time.monotonic() - self._origin)

    def _evaluation(self) -> float:
        if not self._num_images:
            return 0.0
        if "evaluation" in self._longest:
            return _MARGIN * self._longest["evaluation"]
        # The first one traces two functions, each at most what the steps are.
        images = self._num_images * self._step_seconds / self._batch_size
        return _IMAGE_MARGIN * images + 2 * self._longest.get("trace", 0.0)
