"""The most memory that a piece of work takes: of a GPU, or of this process on the host."""

import contextlib
import math
import threading
from collections.abc import Callable

import psutil
import tensorflow as tf

# A step that needs gigabytes takes at least ten times as long.
_SAMPLE_SECONDS = 0.005


def peak_of(work: Callable[[], object], device: str) -> int:
    """Runs ``work``; returns the largest number of bytes in use meanwhile.

    What was in use before counts, too. Of the host it is this process's resident memory.

    Args:
        work: what is measured; its errors are passed on.
        device: of TensorFlow, like "GPU:0" or "CPU:0".
    """
    if "GPU" not in device:
        return _peak_of_host(work)
    tf.config.experimental.reset_memory_stats(device)
    work()
    return int(tf.config.experimental.get_memory_info(device)["peak"])


def in_use(device: str) -> int:
    """Bytes in use now, as ``peak_of`` counts them."""
    if "GPU" not in device:
        return int(psutil.Process().memory_info().rss)
    return int(tf.config.experimental.get_memory_info(device)["current"])


def address_space_left() -> float:
    """Bytes that this process may still ask for, used or not; infinity without a limit.

    There is one with ``ulimit -v``, and where the kernel promises no more than it has
    (vm.overcommit_memory=2).
    """
    left = [math.inf]
    with contextlib.suppress(ImportError, AttributeError):  # of Unix, and of Linux
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            left.append(limit - psutil.Process().memory_info().vms)
    with contextlib.suppress(OSError, KeyError, ValueError):
        with open("/proc/sys/vm/overcommit_memory", encoding="ascii") as file:
            strict = file.read().strip() == "2"
        if strict:
            with open("/proc/meminfo", encoding="ascii") as file:
                rows = dict(line.split()[:2] for line in file)
            left.append(1024 * (int(rows["CommitLimit:"]) - int(rows["Committed_AS:"])))
    return min(left)


def memory_text(num_bytes: float) -> str:
    """Bytes as people read them: 2,345 MB, or 23.4 GB from ten of them on."""
    return f"{num_bytes / 1e9:,.1f} GB" if num_bytes >= 1e10 else f"{num_bytes / 1e6:,.0f} MB"


def _peak_of_host(work: Callable[[], object]) -> int:
    # The kernel keeps a peak of its own (VmHWM), but that cannot be reset everywhere.
    process, done = psutil.Process(), threading.Event()
    seen = [process.memory_info().rss]

    def sample() -> None:
        while not done.wait(_SAMPLE_SECONDS):
            seen[0] = max(seen[0], process.memory_info().rss)

    sampler = threading.Thread(target=sample, name="peak of memory", daemon=True)
    sampler.start()
    try:
        work()
    finally:
        done.set()
        sampler.join()
    return int(max(seen[0], process.memory_info().rss))
