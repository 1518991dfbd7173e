"""The other workers, as the leader sees them: told what to do, asked for what they have found."""

import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data.host import Host
from ssd_tfrecord.devices.cluster.connection import PULSE
from ssd_tfrecord.devices.cluster.link_leader import Leader
from ssd_tfrecord.devices.cluster.messages import Message
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup
from ssd_tfrecord.errors import InputError, WorkerLostError
from ssd_tfrecord.training.cluster import orders
from ssd_tfrecord.training.logs.voice import Voice
from ssd_tfrecord.training.stopping.signals import Stopped, StopRequest, end_process

# After an error of a collective: how long it may take until it is known who is gone. TensorFlow
# notices a silent one before the link does.
REASON_SECONDS = PULSE.silence + 5.0
_FLUSH_SECONDS = 10.0


class Crew:
    """The followers of a leader; without a group there are none, and nothing is said to anyone.

    All is for the main thread, but ``failure``.

    Args:
        group: the workers, of which this process is the first; None: it is alone.
        config: of the run, as given.
        hello: of ``orders.hello``.
        voice: says who is waited for.

    Raises:
        WorkerLostError: not all of them come within ``--cluster_timeout``.
        InputError: one was started with something else.
    """

    def __init__(
        self,
        group: WorkerGroup | None = None,
        config: TrainConfig | None = None,
        hello: Mapping[str, str] | None = None,
        voice: Voice | None = None,
    ) -> None:
        self.group = group
        self._leader: Leader | None = None
        self._failed: InputError | None = None
        self._has_failed = threading.Event()
        self._asked = 0
        self._ended = False
        self._signal_fn: Callable[[int], object] = lambda number: os.kill(os.getpid(), number)
        if group and config:
            self._leader = Leader(
                group,
                timeout=config.cluster.cluster_timeout,
                say=(voice or Voice()).say,
                hello=hello or {},
                lost_fn=self._lost,
                report_fn=self._reported,
            )

    @property
    def host(self) -> Host:
        """The leader's place among all workers."""
        return Host(0, self.group.count if self.group else 1)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all workers, the leader first; none if it is alone."""
        return self.group.names if self.group else ()

    def begin(self, config: TrainConfig, num_replicas: int) -> None:
        """Has all make their devices ready.

        Args:
            config: of the run, resolved.
            num_replicas: on this worker.

        Raises:
            InputError: a worker has another number of replicas.
            WorkerLostError: a worker is lost.
        """
        self._tell(orders.BEGIN, flags=orders.to_lines(config))
        for index, answer in enumerate(self._collect(), 1):
            if answer.values.get("replicas") != num_replicas:
                raise InputError(
                    f"worker {index} ({self.names[index]}) has {answer.values.get('replicas')} "
                    f"replica(s), worker 0 ({self.names[0]}) has {num_replicas}; all must have the "
                    "same number: see --num_virtual_devices and CUDA_VISIBLE_DEVICES on each"
                )
        # Python stands still on all workers until TensorFlow has found them.
        self._tell(orders.DEVICES)
        if self._leader:
            self._leader.flush(_FLUSH_SECONDS)

    def start(self, step: int) -> None:
        """Has all make their input ready, from ``step`` finished steps on."""
        self._tell(orders.START, step=step)

    def steps(self, count: int) -> None:
        """Has all run ``count`` steps; the caller must do so next, whatever happens."""
        self._tell(orders.STEPS, count=count)

    def evaluate(self) -> None:
        """Has all evaluate their shares; ``found`` waits for them."""
        self._tell(orders.EVALUATE)

    def found(self) -> list[tuple[Host, dict[str, np.ndarray]]]:
        """What the others have found since ``evaluate``, in the order of their ranks.

        Raises:
            WorkerLostError: a worker is lost.
        """
        answers = self._collect()
        count = self.host.count
        return [(Host(index, count), answer.arrays) for index, answer in enumerate(answers, 1)]

    def batches(self) -> list[dict[str, np.ndarray]]:
        """The arrays of the others' parts of the oldest batch that was not finite.

        Raises:
            WorkerLostError: a worker is lost.
        """
        self._tell(orders.BATCH)
        return [answer.arrays for answer in self._collect() if answer.arrays]

    def end(self, code: int, text: str) -> None:
        """Has all exit; for any thread, and for once.

        Args:
            code: their exit code.
            text: why.
        """
        if self._leader and not self._ended:
            self._ended = True
            self._leader.close(Message(orders.END, {"code": code, "text": text}))

    @contextlib.contextmanager
    def ending(self, stop: StopRequest) -> Iterator[None]:
        """A block after which all end, as this process then does.

        Args:
            stop: what has stopped it, if that is a signal.
        """
        code, text = 1, "the leader has ended"
        self._signal_fn = stop.hand_in
        try:
            yield
            code = 0
        except InputError as error:
            code, text = error.exit_code, str(error)
            raise
        except (KeyboardInterrupt, SystemExit, Stopped):
            code = stop.exit_code
            raise
        finally:
            self.end(code, text)
            # Before TensorFlow's own way out, on which it waits for workers that are gone.
            atexit.register(end_process, code)

    def failure(self, error: Exception | None = None) -> InputError | None:
        """What has ended another worker, or None.

        Args:
            error: of this worker, which may be what the others' end has caused: then the reason is
                waited for.
        """
        if self._leader and error is not None:
            self._has_failed.wait(REASON_SECONDS)
        return self._failed

    def _tell(self, kind: str, **values: int | Sequence[str]) -> None:
        if self._leader:
            self._asked = self._leader.tell(Message(kind, values))

    def _collect(self) -> list[Message]:
        return self._leader.collect(self._asked) if self._leader else []

    def _lost(self, index: int, text: str) -> None:
        self._fail(WorkerLostError(text))

    def _reported(self, index: int, message: Message) -> None:
        values = message.values
        if message.kind == orders.SIGNAL:
            # As if it had come here: all that a signal does is done.
            self._signal_fn(int(values["number"]))
        elif message.kind == orders.FAILURE:
            error = InputError(f"worker {index} ({self.names[index]}): {values['text']}")
            error.exit_code = int(values["code"])
            self._fail(error)

    def _fail(self, error: InputError) -> None:
        # The first is the cause of what follows.
        self._failed = self._failed or error
        self._has_failed.set()
