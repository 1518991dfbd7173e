"""A tf.data service, whose workers make training batches on machines without a GPU.

Workers read the record sets by the paths that the trainer was given. Ctrl-C and SIGTERM end one.
"""

import signal
import sys
import threading

import tensorflow as tf

_PROTOCOL = "grpc"


def serve_dispatcher(port: int) -> None:
    """Serves as the one dispatcher, at ``port``, until it is told to end."""
    service = tf.data.experimental.service
    config = service.DispatcherConfig(port=port, protocol=_PROTOCOL)
    server = service.DispatchServer(config, start=True)
    print(f"dispatcher at {server.target}; workers: --dispatcher=HOST:{port}")
    _wait_for_end()


def serve_worker(dispatcher: str, address: str, port: int) -> None:
    """Serves as a worker until it is told to end.

    Args:
        dispatcher: host:port of the dispatcher.
        address: the name by which trainers reach this machine.
        port: to listen at; 0: any free one.
    """
    service = tf.data.experimental.service
    config = service.WorkerConfig(
        dispatcher_address=dispatcher,
        worker_address=f"{address}:%port%",
        port=port,
        protocol=_PROTOCOL,
    )
    server = service.WorkerServer(config, start=True)  # noqa: F841 - it serves while it is held
    print(f"worker of {dispatcher}")
    _wait_for_end()


def _wait_for_end():
    sys.stdout.flush()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    # A wait without an end cannot be interrupted by Ctrl-C.
    while not ended.wait(timeout=1.0):
        pass
