"""The machine that figures were measured on: processor, GPUs, load and versions."""

import os
import pathlib
import platform
from typing import Any


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
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpus": gpus,
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
    }


def _processor() -> str:
    """The name of the processor if Linux tells it, else the architecture."""
    # Not platform.processor(), which is empty or the architecture on Linux.
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    # One line per core; ARM has none.
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
