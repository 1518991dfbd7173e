"""The leader's end of the link: the first worker, which decides and tells the others."""

import threading
import time
from collections.abc import Callable, Mapping

from ssd_tfrecord.devices.cluster import messages
from ssd_tfrecord.devices.cluster.connection import PULSE, Ending, Pulse
from ssd_tfrecord.devices.cluster.link import Vigil
from ssd_tfrecord.devices.cluster.messages import Frame, FrameError, Message, Sort
from ssd_tfrecord.devices.cluster.roll_call import Member, RollCall
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup

# That a worker is lost reaches the others, or time is up.
_NOTICE_SECONDS = 2.0


class Leader:
    """Waits for all followers, then tells them what to do and collects their answers.

    All its methods are for the main thread; one that waits can be left by a signal's exception.

    Args:
        group: the workers; this process is the first.
        timeout: seconds for which followers are waited for.
        say: prints a line: who is waited for.
        hello: {what: text} that must be equal on all workers, such as flags and digests. Versions
            of ssd_tfrecord and TensorFlow and the list of workers are compared, too.
        lost_fn: called once, in another thread, with the index of a worker that is gone and the
            reason in words that name it. The others have been told by then.
        report_fn: called, in another thread, with the index of a follower and what it reports.
        pulse: times of the connections.

    Raises:
        WorkerLostError: not all followers came in time; it names those that are missing.
        InputError: a worker was started with something else: it names the worker and both values,
            and the workers that had come end with the same error. Or the port cannot be had.
    """

    def __init__(
        self,
        group: WorkerGroup,
        *,
        timeout: float,
        say: Callable[[str], None],
        hello: Mapping[str, str],
        lost_fn: Callable[[int, str], object],
        report_fn: Callable[[int, Message], object],
        pulse: Pulse = PULSE,
    ) -> None:
        self._report_fn = report_fn
        self._pulse = pulse
        self._vigil = Vigil(lost_fn)
        self._lock = threading.Lock()
        self._noticed = False
        self._closing = False
        self._number = 0
        self._roll_call = RollCall(
            group, hello, pulse=pulse, frame_fn=self._received, end_fn=self._ended
        )
        if group.count > 1:
            self._roll_call.gather(timeout, say)
        self._vigil.begin()

    @property
    def lost(self) -> str:
        """Why the group is no longer whole, in words that name the worker; empty while it is."""
        return self._vigil.lost

    def wait_lost(self, timeout: float) -> str:
        """Waits until a worker is lost, say after an error of a collective; returns ``lost``."""
        return self._vigil.wait_lost(timeout)

    def tell(self, message: Message) -> int:
        """Sends a message to all followers; returns at once.

        Returns:
            The number of the message, which ``collect`` takes.
        """
        self._number += 1
        data = messages.pack(Frame(Sort.TOLD, message, self._number))
        for member in self._members:
            member.connection.send(data)
        return self._number

    def flush(self, timeout: float) -> None:
        """Waits until all that was told is handed to the kernel, or cannot be, or time is up.

        Before the main thread does what keeps other threads from running.
        """
        end = time.monotonic() + timeout
        for member in self._members:
            member.connection.flush(end - time.monotonic())

    def collect(self, since: int = 0) -> list[Message]:
        """Waits for one answer of each follower.

        Args:
            since: answers to messages with a lower number are thrown away, as those to a message
                whose answers were no longer waited for.

        Returns:
            The answers in rank order, each follower's oldest.

        Raises:
            WorkerLostError: a worker is lost.
        """
        self._vigil.wait(lambda: all(_has_answer(member, since) for member in self._members))
        return [member.answers.popleft().message for member in self._members]

    def close(self, final: Message | None = None) -> None:
        """Ends the link, and waits until the followers have closed it, too.

        A follower that goes from here on is not lost. If one is lost already, nobody is waited for.

        Args:
            final: the last message to all; None: they take the end for a loss.
        """
        self._closing = True
        for member in self._members:
            member.connection.goodbye(final or Message(""))
        end = time.monotonic() + (_NOTICE_SECONDS if self.lost else self._pulse.silence)
        for member in self._members:
            if self.lost:
                member.connection.flush(end - time.monotonic())
            else:
                member.connection.wait_ended(end - time.monotonic())
            member.connection.close()

    @property
    def _members(self) -> list[Member]:
        return self._roll_call.members

    def _received(self, member: Member, frame: Frame) -> None:
        if frame.sort == Sort.ANSWER:
            member.answers.append(frame)
            self._vigil.ring()
        elif frame.sort == Sort.REPORT:
            self._report_fn(member.index, frame.message)
        else:
            raise FrameError("is nothing that a follower says")

    def _ended(self, member: Member, ending: Ending) -> None:
        with self._lock:
            if self._closing or self._noticed:
                return
            self._noticed = True
        text = f"{member.name} {ending.reason}"
        # Before the main thread may end the process.
        self._notice(member.index, text)
        self._vigil.lose(member.index, text)

    def _notice(self, index: int, text: str) -> None:
        data = messages.pack(Frame(Sort.LOST, Message("lost", {"index": index, "text": text})))
        for member in self._members:
            member.connection.send(data)
        end = time.monotonic() + _NOTICE_SECONDS
        for member in self._members:
            member.connection.flush(end - time.monotonic())


def _has_answer(member: Member, since: int) -> bool:
    while member.answers and member.answers[0].number < since:
        member.answers.popleft()
    return bool(member.answers)
