"""How the leader finds its followers: it listens until each has said who it is, and agrees."""

import collections
import contextlib
import os
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping

from ssd_tfrecord.devices.cluster import greeting, messages
from ssd_tfrecord.devices.cluster.connection import Connection, Ending, Pulse, read_before
from ssd_tfrecord.devices.cluster.greeting import Greeting
from ssd_tfrecord.devices.cluster.link import identity
from ssd_tfrecord.devices.cluster.messages import Frame, FrameError, Message, Sort, VersionError
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup
from ssd_tfrecord.errors import InputError, WorkerLostError

# Waiting is said after the first, and again after each of the second, in seconds.
FIRST_WORD_SECONDS = 20.0
NEXT_WORD_SECONDS = 60.0

# Whoever connects has this long to say hello.
_HELLO_SECONDS = 10.0
# Connections that have not said hello, beyond one of each follower; others are closed at once.
_MAX_STRANGERS = 32
# Strangers that are mentioned.
_MAX_MENTIONED = 3

# Workers that come after one was refused are refused, too, for so long.
_LINGER_SECONDS = 10.0

# The last words reach those who are there, or time is up.
_LAST_WORDS_SECONDS = 2.0


class Member:
    """A follower that has been let in.

    Attributes:
        index: its rank.
        name: in words, such as "worker 2 (node7, process 4711)".
        connection: to it.
        answers: of it that were not collected yet.
    """

    def __init__(self, who: Greeting, connection: Connection) -> None:
        self.index = who.index
        self.name = who.name
        self.connection = connection
        self.answers: collections.deque[Frame] = collections.deque()


class RollCall:
    """Lets followers in until all are there.

    Args:
        group: of which this process is the leader.
        hello: {what: text} that must be equal on all workers.
        pulse: of the connections.
        frame_fn: called with each frame of a member.
        end_fn: called when the connection of a member ends; not before all are there: until then a
            member that is gone may come again.
    """

    def __init__(
        self,
        group: WorkerGroup,
        hello: Mapping[str, str],
        *,
        pulse: Pulse,
        frame_fn: Callable[[Member, Frame], object],
        end_fn: Callable[[Member, Ending], object],
    ) -> None:
        self._group = group
        self._own = greeting.own_greeting(group, hello)
        self._pulse = pulse
        self._frame_fn = frame_fn
        self._end_fn = end_fn
        self._lock = threading.Lock()
        self._members: dict[int, Member] = {}
        self._complete = False
        self._failure: InputError | None = None
        self._refused: set[int] = set()
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._num_mentioned = 0
        self._greeters = threading.Semaphore(group.count + _MAX_STRANGERS)

    @property
    def members(self) -> list[Member]:
        """Those who are there, in rank order."""
        return [member for _, member in sorted(self._members.items())]

    def gather(self, timeout: float, say: Callable[[str], None]) -> None:
        """Waits for all followers, and tells them that all are there.

        Args:
            timeout: in seconds.
            say: prints a line.

        Raises:
            WorkerLostError: not all came in time.
            InputError: a worker was started with something else, or the port cannot be had.
        """
        listener = _listening(self._group)
        try:
            self._wait(listener, timeout, say)
        except BaseException as error:
            self._dismiss(error)
            if error is self._failure:
                self._refuse_others(listener)
            raise
        finally:
            listener.close()
        for member in self.members:
            member.connection.send(messages.pack(Frame(Sort.START)))

    def _wait(self, listener: socket.socket, timeout: float, say: Callable[[str], None]) -> None:
        began = time.monotonic()
        word_due = FIRST_WORD_SECONDS
        while not self._all_there():
            if self._failure:
                raise self._failure
            waited = time.monotonic() - began
            if waited >= timeout:
                missing = ", ".join(f"worker {i} ({self._group.names[i]})" for i in self._missing())
                raise WorkerLostError(
                    f"{missing}: not there after {timeout:g} s; see what is wrong there, or raise "
                    "--cluster_timeout"
                )
            if waited >= word_due:
                word_due += NEXT_WORD_SECONDS
                names = ", ".join(self._group.names[index] for index in self._missing())
                say(f"waiting for workers: {names}")
            self._accept(listener)
            while not self._lines.empty():
                say(self._lines.get())

    def _refuse_others(self, listener: socket.socket) -> None:
        """Lets those who come a little later know, who would wait for a leader in vain."""
        end = time.monotonic() + _LINGER_SECONDS
        while time.monotonic() < end and not self._refused.issuperset(self._missing()):
            self._accept(listener)

    def _all_there(self) -> bool:
        with self._lock:
            self._complete = len(self._members) == self._group.count - 1 and not self._failure
            return self._complete

    def _missing(self) -> list[int]:
        return [index for index in range(1, self._group.count) if index not in self._members]

    def _accept(self, listener: socket.socket) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        if not poll.poll(100):
            return
        try:
            connection, address = listener.accept()
        except OSError:  # gone again
            return
        if not self._greeters.acquire(blocking=False):
            connection.close()
            return
        args = (connection, str(address[0]).removeprefix("::ffff:"))
        threading.Thread(target=self._greet, args=args, name="greeter", daemon=True).start()

    def _greet(self, connection: socket.socket, host: str) -> None:
        refusal: InputError | None = None
        try:
            who = self._heard(connection)
            refusal = self._joined(who, connection)
        except VersionError as error:
            refusal = self._failed(
                f"a worker on {host} speaks {error} (worker 0); all workers must have the same "
                "version of ssd_tfrecord"
            )
        except FrameError as error:
            self._mention(f"ignored a connection from {host}, which is no worker: it {error}")
            connection.close()
        except OSError:
            connection.close()
        finally:
            self._greeters.release()
        if refusal:
            _refuse(connection, refusal)

    def _heard(self, connection: socket.socket) -> Greeting:
        read_fn = read_before(connection, time.monotonic() + _HELLO_SECONDS)
        frame = messages.unpack(read_fn, max_header=messages.MAX_HELLO_BYTES, max_arrays=0)
        if frame.sort != Sort.HELLO:
            raise FrameError("does not say hello")
        return greeting.from_message(frame.message)

    def _joined(self, who: Greeting, connection: socket.socket) -> InputError | None:
        """Makes a member of it, or returns why not."""
        if self._failure:
            self._refused.add(who.index)
            return self._failure
        if contradiction := greeting.contradiction(self._own, who):
            self._refused.add(who.index)
            return self._failed(contradiction)
        with self._lock:
            present = self._members.get(who.index)
            if present or not 0 < who.index < self._group.count:
                already = present.name if present else self._own.name
                self._lines.put(f"refused {who.name}: {already} has its rank")
                return InputError(
                    f"{who.name}: {already} has this rank already; each worker needs another"
                )
            member = Member(who, Connection(connection, self._pulse))
            # First, as the main thread greets all members once the last is there.
            welcome = Frame(Sort.WELCOME, Message("welcome", identity()))
            member.connection.send(messages.pack(welcome))
            self._members[who.index] = member
        member.connection.start(
            lambda frame: self._frame_fn(member, frame),
            lambda ending: self._ended(member, ending),
        )
        return None

    def _failed(self, text: str) -> InputError:
        # All end with the first.
        self._failure = self._failure or InputError(text)
        return self._failure

    def _ended(self, member: Member, ending: Ending) -> None:
        with self._lock:
            complete = self._complete
            if not complete:
                self._members.pop(member.index, None)
                self._lines.put(f"{member.name} {ending.reason}; waiting for it again")
        if complete:
            self._end_fn(member, ending)
        else:
            member.connection.close()

    def _mention(self, line: str) -> None:
        with self._lock:
            self._num_mentioned += 1
            if self._num_mentioned <= _MAX_MENTIONED:
                self._lines.put(line)

    def _dismiss(self, error: BaseException) -> None:
        members = self.members
        for member in members:
            if isinstance(error, InputError):
                member.connection.send(_refusal(error))
                self._refused.add(member.index)
            member.connection.goodbye(Message("", {"reason": "stopped before all were there"}))
        end = time.monotonic() + _LAST_WORDS_SECONDS
        for member in members:
            member.connection.flush(end - time.monotonic())


def _listening(group: WorkerGroup) -> socket.socket:
    port = group.link_port
    if socket.has_dualstack_ipv6():
        # Fails where IPv6 is known but switched off, too.
        with contextlib.suppress(OSError):
            return socket.create_server(
                ("", port), family=socket.AF_INET6, backlog=128, dualstack_ipv6=True
            )
    try:
        return socket.create_server(("", port), backlog=128)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise InputError(
            f"port {port}, where the first worker listens: {reason}; choose another --cluster_port "
            "(or other ports in TF_CONFIG)"
        ) from None


def _refusal(error: InputError) -> bytes:
    values = {"text": str(error), "code": error.exit_code}
    return messages.pack(Frame(Sort.REFUSAL, Message("refusal", values)))


def _refuse(connection: socket.socket, error: InputError) -> None:
    with connection, contextlib.suppress(OSError):
        connection.settimeout(_LAST_WORDS_SECONDS)
        connection.sendall(_refusal(error))
        connection.shutdown(socket.SHUT_WR)
        # Closed at once with anything unread, it would take the refusal back.
        connection.recv(1)
