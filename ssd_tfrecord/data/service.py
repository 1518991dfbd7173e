"""A tf.data service, whose workers make training batches on machines without a GPU.

Workers read the record sets by the paths that the trainer was given. Ctrl-C and SIGTERM end a
dispatcher or worker.

A run goes on while one worker lives; records that a dead one had taken, at most one chunk of
``order`` for each of its threads, are missing in that epoch. A dispatcher that keeps a journal and
is started again at its port goes on where it was; meanwhile the workers go on with what they have.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

import tensorflow as tf

from ssd_tfrecord.errors import InputError

_PROTOCOL = "grpc"


def serve_dispatcher(port: int, work_dir: str = "") -> None:
    """Serves as the dispatcher until Ctrl-C or SIGTERM.

    Args:
        port: to listen on.
        work_dir: folder for its journal, from which a dispatcher that is started again after a kill
            goes on with the same run; "": such a dispatcher knows nothing of the run, which ends.

    Raises:
        InputError: ``work_dir`` cannot be made, or the port is in use.
    """
    service = tf.data.experimental.service
    if work_dir:
        try:
            os.makedirs(work_dir, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"--work_dir={work_dir}: must be a folder that can be written: {error.strerror}"
            ) from None
    config = service.DispatcherConfig(
        port=port,
        protocol=_PROTOCOL,
        work_dir=work_dir or None,
        fault_tolerant_mode=bool(work_dir),
    )
    with _listening(port):
        server = service.DispatchServer(config, start=True)
    print(f"dispatcher at {server.target}; start workers with --dispatcher=HOST:{port}")
    _serve_until_end()


def serve_worker(dispatcher: str, address: str, port: int) -> None:
    """Serves as a worker until Ctrl-C or SIGTERM.

    Args:
        dispatcher: host:port of the dispatcher.
        address: the name by which trainers reach this machine.
        port: to listen on; 0: any free port.

    Raises:
        InputError: the port is in use.
    """
    service = tf.data.experimental.service
    # The server replaces %port% by the port that it got, which 0 leaves open.
    config = service.WorkerConfig(
        dispatcher_address=dispatcher,
        worker_address=f"{address}:%port%",
        port=port,
        protocol=_PROTOCOL,
    )
    with _listening(port):
        server = service.WorkerServer(config, start=True)  # noqa: F841 - it serves while it exists
    print(f"worker of {dispatcher}")
    _serve_until_end()


@contextlib.contextmanager
def _listening(port: int) -> Iterator[None]:
    try:
        yield
    # RuntimeError: gRPC does not say why.
    except (RuntimeError, tf.errors.OpError):
        raise InputError(
            f"--port={port}: cannot be listened on; must be a port that nobody else uses"
        ) from None


def _serve_until_end() -> NoReturn:
    # Whoever started this may read the printed line through a pipe, which is not flushed per line.
    sys.stdout.flush()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    code = 0
    try:
        # On Windows, Ctrl-C cannot interrupt a wait without a timeout.
        while not ended.wait(timeout=1.0):
            pass
    except KeyboardInterrupt:
        code = 130
    # Taken apart, a server waits for calls under way, and those of a trainer that goes on have no
    # end. There is nothing to save: the journal is written as it goes, for a kill may come, too.
    os._exit(code)
