"""The machine that figures are of: processor, GPUs, load and versions."""

import os
import pathlib
import platform


def describe(load_before: float) -> dict:
    """What a report says of this machine; ``load_before`` is its load before measuring."""
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


def _processor():
    """The processor's name where Linux tells it, else its architecture."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
