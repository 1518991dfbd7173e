"""A tf.data service, whose workers make training batches on machines without a GPU.

    python tools/data_service.py --role=dispatcher --port=5050
    python tools/data_service.py --role=worker --dispatcher=host:5050 --address=$(hostname)
    python -m ssd_tfrecord.train --data_service=grpc://host:5050 …

Workers read the record sets by the paths that the trainer was given. Ctrl-C and SIGTERM end one.
"""

import signal
import sys
import threading

from ssd_tfrecord import flags
from ssd_tfrecord.config import DataServiceConfig


def main(config: DataServiceConfig):
    """Serves until it is told to end."""
    import os

    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import tensorflow as tf

    service = tf.data.experimental.service
    if config.role == "dispatcher":
        server = service.DispatchServer(
            service.DispatcherConfig(port=config.port, protocol="grpc"), start=True
        )
        print(f"dispatcher at {server.target}; workers: --dispatcher=HOST:{config.port}")
    else:
        address = f"{config.address}:%port%"
        server = service.WorkerServer(
            service.WorkerConfig(
                dispatcher_address=config.dispatcher,
                worker_address=address,
                port=config.port,
                protocol="grpc",
            ),
            start=True,
        )
        print(f"worker of {config.dispatcher}")
    sys.stdout.flush()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    # A wait without an end cannot be interrupted by Ctrl-C.
    while not ended.wait(timeout=1.0):
        pass


if __name__ == "__main__":
    sys.exit(flags.run(DataServiceConfig, main))
