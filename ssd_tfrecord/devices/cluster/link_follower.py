"""A follower's end of the link: any worker but the first, which does what it is told."""

import collections
import socket
import threading
import time
from collections.abc import Callable, Mapping

from ssd_tfrecord.devices.cluster import greeting, messages
from ssd_tfrecord.devices.cluster.connection import PULSE, Connection, Ending, Pulse, read_before
from ssd_tfrecord.devices.cluster.link import Vigil, described, error_of
from ssd_tfrecord.devices.cluster.messages import Frame, FrameError, Message, Sort, VersionError
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup, split_address
from ssd_tfrecord.errors import InputError, WorkerLostError

# Between two attempts to connect: longer each time, up to the second.
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
# Of one attempt to connect and to be welcomed.
_ATTEMPT_SECONDS = 10.0
_LAST_WORDS_SECONDS = 2.0


class Follower:
    """Joins the leader, and waits with it until all workers are there.

    All its methods are for the main thread, but ``report`` and the properties, which are for any;
    one that waits can be left by a signal's exception.

    Args:
        group: the workers; this process is any but the first.
        timeout: seconds for which the leader is waited for. How long the other followers are is the
            leader's to say.
        hello: {what: text} that must be equal on all workers, as the leader has it.
        lost_fn: called once, in another thread, with the index of a worker that is gone, 0 for the
            leader, and the reason in words that name it; a leader that ends without a final message
            is lost, too.
        pulse: times of the connection.

    Raises:
        WorkerLostError: the leader did not answer in time, or is gone again, or gave up waiting for
            others.
        InputError: this worker, or another, was started with something else than the leader, or
            another has its rank.
    """

    def __init__(
        self,
        group: WorkerGroup,
        *,
        timeout: float,
        hello: Mapping[str, str],
        lost_fn: Callable[[int, str], object],
        pulse: Pulse = PULSE,
    ) -> None:
        self._group = group
        self._pulse = pulse
        self._vigil = Vigil(lost_fn)
        self._told: collections.deque[Frame] = collections.deque()
        self._final: Message | None = None
        self._number = 0
        self._leader = f"worker 0 ({group.names[0]})"
        self._connection: Connection | None = None
        self._started = False
        self._failure: InputError | None = None
        self._closing = False
        own = greeting.own_greeting(group, hello)
        self._join(timeout, messages.pack(Frame(Sort.HELLO, greeting.to_message(own))))

    @property
    def lost(self) -> str:
        """Why the group is no longer whole, in words that name the worker; empty while it is."""
        return self._vigil.lost

    @property
    def final(self) -> Message | None:
        """The leader's last message, as soon as it has come, even before ``next`` returns it."""
        return self._final

    @property
    def num_waiting(self) -> int:
        """How many messages have come that ``next`` has not returned."""
        return len(self._told)

    def wait_lost(self, timeout: float) -> str:
        """Waits until a worker is lost, say after an error of a collective; returns ``lost``."""
        return self._vigil.wait_lost(timeout)

    def next(self) -> Message:
        """Waits for the next message of the leader.

        Raises:
            WorkerLostError: a worker is lost, even if a message has come; or the leader's last
                message has been returned before.
        """
        self._vigil.wait(lambda: bool(self._told) or self._final is not None)
        if not self._told:
            raise WorkerLostError(f"{self._leader} has ended the run")
        frame = self._told.popleft()
        self._number = frame.number
        return frame.message

    def answer(self, message: Message) -> None:
        """Sends the answer to the message that ``next`` has returned last; returns at once."""
        self._send(Frame(Sort.ANSWER, message, self._number))

    def report(self, message: Message) -> None:
        """Tells the leader something unasked, such as a signal or an error; returns at once."""
        self._send(Frame(Sort.REPORT, message))

    def flush(self, timeout: float) -> None:
        """Waits until all that was said is handed to the kernel, or cannot be, or time is up.

        Before the main thread does what keeps other threads from running.
        """
        if self._connection:
            self._connection.flush(timeout)

    def close(self, reason: str = "") -> None:
        """Ends the link once all is sent. Before the leader has ended it, that is a loss to it.

        Args:
            reason: for the leader's message about this worker, if this is a loss.
        """
        self._closing = True
        if self._connection:
            self._connection.goodbye(Message("", {"reason": reason}))
            self._connection.flush(_LAST_WORDS_SECONDS if self.lost else self._pulse.silence)
            self._connection.close()

    def _join(self, timeout: float, hello: bytes) -> None:
        # Resolving a name may block for long: a thread does that, so that a signal can leave here.
        args = (timeout, hello)
        threading.Thread(target=self._connect, args=args, name="joiner", daemon=True).start()
        try:
            while not self._started:
                if self._failure:
                    raise self._failure
                self._vigil.pause(0.2)
            self._vigil.begin()
        except BaseException:
            self.close("stopped before all were there")
            raise

    def _connect(self, timeout: float, hello: bytes) -> None:
        end = time.monotonic() + timeout
        pause = _FIRST_PAUSE_SECONDS
        while not self._closing:
            try:
                self._attempt(end, hello)
                return
            except VersionError as error:
                self._fail(
                    InputError(
                        f"{self._leader} speaks {error}; all workers must have the same version of "
                        "ssd_tfrecord"
                    )
                )
                return
            except FrameError as error:
                reason = f"it is no ssd_tfrecord: what it sent {error}"
            except OSError as error:
                reason = error.strerror or str(error)
            if time.monotonic() + pause >= end:
                self._fail(
                    WorkerLostError(
                        f"{self._leader} does not answer at {self._group.link_address} after "
                        f"{timeout:g} s ({reason}); see whether it runs, or raise --cluster_timeout"
                    )
                )
                return
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _attempt(self, end: float, hello: bytes) -> None:
        place = split_address(self._group.link_address)
        seconds = min(_ATTEMPT_SECONDS, max(1.0, end - time.monotonic()))
        deadline = time.monotonic() + seconds
        connection = socket.create_connection(place, seconds)
        try:
            if connection.getsockname() == connection.getpeername():
                # By chance, with a local port that nobody listens at.
                raise ConnectionRefusedError("Connection refused")
            connection.sendall(hello)
            reply = messages.unpack(
                read_before(connection, deadline), max_header=messages.MAX_HELLO_BYTES, max_arrays=0
            )
            if reply.sort not in (Sort.WELCOME, Sort.REFUSAL):
                raise FrameError("is no answer to hello")
        except BaseException:
            connection.close()
            raise
        if reply.sort == Sort.REFUSAL:
            connection.close()
            self._refused(reply.message)
            return
        self._leader = described(0, reply.message.values)
        self._connection = Connection(connection, self._pulse)
        self._connection.start(self._received, self._ended)
        if self._closing:
            self._connection.close()

    def _received(self, frame: Frame) -> None:
        values = frame.message.values
        if frame.sort == Sort.TOLD:
            self._told.append(frame)
        elif frame.sort == Sort.START:
            self._started = True
        elif frame.sort == Sort.REFUSAL:
            self._refused(frame.message)
        elif frame.sort == Sort.LOST:
            self._lose(values.get("index"), str(values.get("text")))
        else:
            raise FrameError("is nothing that a leader says")
        self._vigil.ring()

    def _ended(self, ending: Ending) -> None:
        if ending.farewell and ending.farewell.kind:
            self._final = ending.farewell
            self._told.append(Frame(Sort.GOODBYE, ending.farewell))
            self._vigil.ring()
            return
        self._lose(0, f"{self._leader} {ending.reason}")

    def _lose(self, index: object, text: str) -> None:
        if self._closing:
            return
        if index == self._group.index:
            text = f"given up by {self._leader}: {text}"
        error = error_of(text, WorkerLostError.exit_code)
        if self._started:
            self._vigil.lose(index if isinstance(index, int) else -1, str(error))
        else:
            self._fail(error)

    def _refused(self, message: Message) -> None:
        self._fail(error_of(str(message.values.get("text")), message.values.get("code")))

    def _fail(self, error: InputError) -> None:
        self._failure = self._failure or error
        self._vigil.ring()

    def _send(self, frame: Frame) -> None:
        # There is one since the constructor has returned.
        if self._connection:
            self._connection.send(messages.pack(frame))
