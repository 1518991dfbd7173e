"""The machine that figures were measured on: processor, GPUs, load and versions."""

import os
import platform
from typing import Any

from ssd_tfrecord.devices import onednn, processor


def describe(load_before: float) -> dict[str, Any]:
    """What a report says about this machine.

    Args:
        load_before: its load average before measuring.
    """
    import tensorflow as tf

    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return {
        "processor": processor.name(),
        "vector_units": " ".join(processor.vector_units()),
        "onednn": "on" if onednn.is_on() else "off",
        "cores": os.cpu_count(),
        "gpus": gpus,
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
    }
