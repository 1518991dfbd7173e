"""The threads of the host that start a GPU's work, chosen before TensorFlow is imported."""

import os
from collections.abc import Mapping, MutableMapping

from ssd_tfrecord.errors import InputError

MODE, COUNT = "TF_GPU_THREAD_MODE", "TF_GPU_THREAD_COUNT"

# What TensorFlow takes, in any case (common_runtime/gpu/gpu_device.cc).
_MODES = ("global", "gpu_private", "gpu_shared")
# TensorFlow's own default: one starts kernels, the other copies.
_THREADS = 2


def set_up(environment: MutableMapping[str, str] = os.environ) -> None:
    """Gives each GPU two threads of its own, unless the user has chosen otherwise.

    By default, one pool of threads starts the work of every GPU and makes batches too: kernels wait
    for decoding to make room, the more the smaller the step. TensorFlow reads the variables when it
    makes its devices, so this comes before.

    Args:
        environment: is changed; a variable that is set keeps its value.

    Raises:
        InputError: the user's value is none that TensorFlow takes.
    """
    # TensorFlow refuses an empty one too.
    environment[MODE] = mode = environment.get(MODE) or "gpu_private"
    if mode.lower() not in _MODES:
        raise InputError(
            f"environment variable {MODE}={mode}: must be one of {', '.join(_MODES)}, or not set"
        )
    if mode.lower() == "global":
        return
    environment[COUNT] = count = environment.get(COUNT) or str(_THREADS)
    if not (count.isascii() and count.isdigit() and int(count)):
        raise InputError(
            f"environment variable {COUNT}={count}: must be a whole number, at least 1, or not set"
        )


def describe(environment: Mapping[str, str] = os.environ) -> str:
    """What the device table says of these threads, where there is a GPU.

    Args:
        environment: that TensorFlow was started with.
    """
    # Not set: TensorFlow was started without ``set_up``.
    mode = (environment.get(MODE) or "global").lower()
    count = environment.get(COUNT) or str(_THREADS)
    return {
        "global": "GPU work is started by the threads of the CPU",
        "gpu_private": f"each GPU's work is started by {count} threads of its own",
        "gpu_shared": f"the work of all GPUs is started by {count} threads of theirs",
    }[mode] + f" ({MODE}={mode})"
