"""What a run is computed by: versions of what matters, processor, GPUs and their driver."""

import platform
import re
from importlib import metadata
from typing import Any

import tensorflow as tf

from ssd_tfrecord import __version__
from ssd_tfrecord.devices import onednn, processor
from ssd_tfrecord.keras import keras

_DRIVER_FILE = "/proc/driver/nvidia/version"


def versions_and_devices() -> dict[str, Any]:
    """Facts that JSON can hold.

    {package, python, tensorflow, keras, processor, vector_units, onednn, gpus, driver}:
    ``vector_units`` are the processor's in Linux's words, ``onednn`` is on or off; ``gpus`` are
    [{name, compute_capability}], of those that TensorFlow sees; ``driver`` is the version of
    NVIDIA's, None without one.
    """
    return {
        "package": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": _keras_version(),
        "processor": processor.name(),
        "vector_units": " ".join(processor.vector_units()),
        "onednn": "on" if onednn.is_on() else "off",
        "gpus": [_details(gpu) for gpu in tf.config.list_physical_devices("GPU")],
        "driver": _driver(),
    }


def _keras_version() -> str:
    # tf.keras has no version of its own; its classes lie in the package that it is.
    package = keras.Model.__module__.partition(".")[0]
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package


def _details(gpu: tf.config.PhysicalDevice) -> dict[str, str]:
    details = tf.config.experimental.get_device_details(gpu)
    capability = ".".join(map(str, details.get("compute_capability", ())))
    return {"name": str(details.get("device_name", "GPU")), "compute_capability": capability}


def _driver() -> str | None:
    try:
        with open(_DRIVER_FILE, encoding="utf-8", errors="replace") as file:
            first = file.readline(1000)
    except OSError:
        return None
    # NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug …
    match = re.search(r"\d+(\.\d+)+", first.partition("Module")[2] or first)
    return match[0] if match else None
