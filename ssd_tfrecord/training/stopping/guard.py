"""What the watching thread does where the main thread cannot: it ends a run that is stuck.

The main thread is out of reach while it waits for a batch inside the graph, and while TensorFlow
compiles. What is finished is saved first, and never while a step or a save is under way.
"""

import sys
import time
from collections.abc import Callable, Sequence

from ssd_tfrecord.errors import InputError, InputTimeoutError
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.training.loop import Loop
from ssd_tfrecord.training.stopping.signals import StopRequest, end_process

# Waiting for a batch is said after this.
PATIENT_SECONDS = 20.0
# As long, TensorFlow has time to notice that another worker is gone: it takes some 10 seconds.
NOTICED_SECONDS = 20.0


class Patience:
    """Notices that nothing comes from the input: says so, and is exhausted after a time-out.

    Args:
        waits: each says for how many seconds something has been waited for.
        what: is waited for, as a message calls it.
        timeout: seconds after which it is exhausted; 0: never.
        waits_for: says what it comes from, and what seems to be wrong with that.
        say: prints a line.
    """

    def __init__(
        self,
        waits: Sequence[Callable[[], float]],
        what: str,
        *,
        timeout: int,
        waits_for: Callable[[], str],
        say: Callable[[str], None],
    ) -> None:
        self._waits = waits
        self._what = what
        self._timeout = timeout
        self._waits_for = waits_for
        self._say = say
        self._said = False

    def exhausted(self) -> str:
        """Why it is; empty if it is not."""
        waiting = max(wait() for wait in self._waits)
        if waiting < PATIENT_SECONDS:
            self._said = False
        elif not self._said:
            self._said = True
            self._say(f"no {self._what} for {waiting:.0f} s: waiting for {self._waits_for()}")
        if not self._timeout or waiting < self._timeout:
            return ""
        return (
            f"no {self._what} for {waiting:.0f} s (--input_timeout={self._timeout}); waited for "
            f"{self._waits_for()}"
        )


def early_look(
    stop: StopRequest,
    patience: Patience,
    failure_fn: Callable[[], InputError | None] = lambda: None,
) -> Callable[[], None]:
    """What the watching thread does before there is anything to save: while a cache is filled.

    Args:
        stop: ends the process when due.
        patience: likewise, when it is exhausted.
        failure_fn: says what has ended another worker, None if nothing has.
    """
    failed_since: list[float] = []

    def look() -> None:
        stop.end_when_due()
        if failure := failure_fn():
            failed_since.append(time.monotonic())
            if failed_since[-1] - failed_since[0] > NOTICED_SECONDS:
                print(f"\nerror: {failure}", file=sys.stderr, flush=True)
                end_process(failure.exit_code)
        if reason := patience.exhausted():
            print(f"\nerror: the cache is not filled: {reason}", file=sys.stderr, flush=True)
            end_process(InputTimeoutError.exit_code)

    return look


class Guard:
    """Looks after a loop, a few times a second, in the thread that watches for signals.

    Args:
        stop: the request; its thread calls ``look``.
        loop: whose finished steps are saved.
        checkpoints: of the loop; their lock is held by the main thread while it saves.
        patience: with the input; the run ends when it is exhausted.
        say: prints a line.
        ended: told the reason and the exit code just before the process ends.
        failure_fn: says what has ended another worker, None if nothing has.
    """

    def __init__(
        self,
        stop: StopRequest,
        loop: Loop,
        checkpoints: Checkpoints,
        patience: Patience,
        *,
        say: Callable[[str], None],
        ended: Callable[[str, int], None],
        failure_fn: Callable[[], InputError | None] = lambda: None,
    ) -> None:
        self._stop = stop
        self._loop = loop
        self._runner = loop.runner
        self._patience = patience
        self._say = say
        self._ended = ended
        self._failure_fn = failure_fn
        self._failed_since = 0.0
        self._lock = checkpoints.lock

    def look(self) -> None:
        """Ends the process if a stop is due or no batch comes, and it can be done without loss."""
        # First: a step that waits for a worker that is gone does not end, signal or not.
        if failure := self._failure_fn():
            self._look_after_failure(failure)
            return
        if self._stop.is_due:
            self._runner.halt()
            self._end_if_safe(self._stop.exit_code, f"stopped by {self._stop.name}", None)
            return
        if reason := self._patience.exhausted():
            # From here on no step begins, whatever still comes.
            self._runner.halt()
            error = InputTimeoutError(f"step {self._loop.finished()}: {reason}")
            self._end_if_safe(error.exit_code, str(error), error)

    def _look_after_failure(self, failure: InputError) -> None:
        """Ends the process if the main thread has not noticed that another worker has ended."""
        now = time.monotonic()
        self._failed_since = self._failed_since or now
        if now - self._failed_since < NOTICED_SECONDS:
            return
        self._runner.halt()
        self._end_if_safe(failure.exit_code, str(failure), failure)
        # A step that waits for the others in vain: nothing of it counts.
        if now - self._failed_since > 1.5 * NOTICED_SECONDS:
            saved = f"; step {self._loop.saved} is saved"
            print(f"\nerror: {failure}{saved}", file=sys.stderr, flush=True)
            self._ended(str(failure), failure.exit_code)
            end_process(failure.exit_code)

    def _end_if_safe(self, code: int, reason: str, error: InputError | None) -> None:
        # Held by the main thread while it saves: that is waited for. Once held here it is kept, so
        # that the main thread can begin no other save.
        if not self._lock.acquire(blocking=False):
            return
        step = self._loop.saved
        if self._loop.finished() != step:
            # A step in hand may be changing weights: it ends, and then its loop does.
            if self._runner.progress().in_step:
                self._lock.release()
                return
            try:
                step = self._loop.save_finished()
            except Exception as failure:  # the disk is full, say: the checkpoint before stays
                print(f"\nerror: {failure}", file=sys.stderr, flush=True)
        if error is None:
            self._say(f"{reason} at step {step}; run the same command to resume")
        else:
            print(f"\nerror: {error}; step {step} is saved", file=sys.stderr, flush=True)
        self._ended(reason, code)
        end_process(code)
