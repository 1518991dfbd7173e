"""oneDNN's kernels on a CPU: used or not, decided before TensorFlow is imported.

Free of TensorFlow, but for ``is_on``.
"""

import os
import sys
from collections.abc import MutableMapping

from ssd_tfrecord.devices import processor
from ssd_tfrecord.errors import InputError

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"

# What TensorFlow takes (tsl/util/env_var.cc), in any case.
_VALUES = {"1": "on", "true": "on", "0": "off", "false": "off"}


def set_up(*wanted: str, environment: MutableMapping[str, str] = os.environ) -> str:
    """Decides whether TensorFlow, once it is imported, uses oneDNN's kernels.

    TensorFlow's own default goes by the processor alone: on with AVX512-VNNI or AMX. With them, a
    step of VGG-16, MobileNetV2 or ResNet-50 takes 0.66 to 0.83 of the CPU time, without AVX-512,
    too (there, VGG-16 owes that to ``backbones.cpu_convolution``), one of MobileNetV3 0.5 to 0.68.
    They round otherwise, so a run keeps what it began with. On a GPU, they compute nothing.

    Args:
        *wanted: values of ``--onednn``; the first that is not auto counts. auto alone: on.
        environment: is changed, unless TensorFlow is imported; a variable that is set decides.

    Returns:
        on or off, what will be used.

    Raises:
        InputError: the variable has a value that TensorFlow does not take.
    """
    given = environment.get(VARIABLE, "")
    if given and given.lower() not in _VALUES:
        raise InputError(
            f"environment variable {VARIABLE}={given}: must be one of {', '.join(_VALUES)}, or "
            "not set"
        )
    if "tensorflow" in sys.modules:
        # It has read the variable, or will with the first kernel: too late.
        return "on" if is_on() else "off"
    if given:
        return _VALUES[given.lower()]
    chosen = next((value for value in wanted if value != "auto"), "on")
    environment[VARIABLE] = "1" if chosen == "on" else "0"
    return chosen


def is_on() -> bool:
    """Whether TensorFlow, which this imports, uses oneDNN's kernels."""
    from tensorflow.python.util import _pywrap_util_port

    return bool(_pywrap_util_port.IsMklEnabled())


def describe() -> str:
    """What the device table says of the CPU's kernels."""
    units = " ".join(processor.vector_units()) or "vector units unknown"
    return f"oneDNN {'on' if is_on() else 'off'} ({VARIABLE}), {units}"
