"""What went wrong, in one line: errors of TensorFlow and the system, an input that is silent."""

import contextlib
import errno
import functools
import os
import re
import socket
import threading
from collections.abc import Callable, Sequence

import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data.reading import first_damaged
from ssd_tfrecord.errors import (
    DamagedRecordError,
    DiskError,
    InputTimeoutError,
    OutOfMemoryError,
)
from ssd_tfrecord.records.manifest import Manifest

# The file system's, which another place or more room cures.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.EFBIG)

# A shard on a file system that hangs is not waited for longer.
_PATIENCE_SECONDS = 2.0


# What a device without memory says through libraries that have no word for it: cuDNN, cuBLAS, XLA.
_FULL_DEVICE = re.compile(
    r"out.of.memory|failed to allocate|ALLOC_FAILED|No algorithm worked|RESOURCE_EXHAUSTED", re.I
)


def explained(
    error: Exception,
    config: TrainConfig,
    sets: Sequence[Manifest],
    which_fits: Callable[[], str] | None = None,
) -> Exception:
    """The error in one line, or ``error`` itself if it is not one of those that are known.

    Args:
        error: raised by training.
        config: of the run.
        sets: the record sets that the run reads.
        which_fits: called if TensorFlow is out of memory: which batch would fit, in words, as of
            ``batch_trial.would_fit``; empty if that is not known.
    """
    known: Exception | None = None
    if isinstance(error, MemoryError):
        known = _out_of_memory(config, "the host's memory", "")
    elif isinstance(error, OSError) and error.errno in _DISK:
        known = DiskError(f"{error.filename or config.run_dir}: {error.strerror}")
    elif isinstance(error, tf.errors.ResourceExhaustedError) and "space left" in str(error):
        known = DiskError(f"{config.run_dir}: {os.strerror(errno.ENOSPC)}")
    elif is_out_of_memory(error):
        known = _out_of_memory(config, _tensor(str(error)), which_fits() if which_fits else "")
    elif isinstance(error, tf.errors.OpError):
        # TensorFlow says neither which record of which shard is damaged nor which shard is gone.
        known = _restarted(error, config) or first_incomplete(sets)
        # A record that cannot be parsed or decoded is an argument that is invalid.
        damage = (tf.errors.DataLossError, tf.errors.InvalidArgumentError)
        if known is None and isinstance(error, damage):
            known = first_damaged(sets)
    return known or error


def is_out_of_memory(error: Exception) -> bool:
    """Whether the host, or a device of TensorFlow, has no memory for what was asked."""
    if isinstance(error, tf.errors.ResourceExhaustedError | MemoryError):
        return "space left" not in str(error)
    # These two are about records, whose text may hold anything.
    records = (tf.errors.DataLossError, tf.errors.InvalidArgumentError)
    known = isinstance(error, tf.errors.OpError) and not isinstance(error, records)
    return known and bool(_FULL_DEVICE.search(str(error)))


def first_incomplete(sets: Sequence[Manifest]) -> DamagedRecordError | None:
    """The error that names the first shard that is gone or has another size, or None."""
    for manifest in sets:
        for path, shard in zip(manifest.shard_paths, manifest.shards):
            try:
                size = os.path.getsize(path)
            except OSError as error:
                return DamagedRecordError(
                    f"{path}: {error.strerror}; the shard was there when the run began. Copy it "
                    "back, or convert again"
                )
            if size != shard.bytes:
                return DamagedRecordError(
                    f"{path}: has {size:,} bytes, but its manifest says {shard.bytes:,}. Copy the "
                    "shard again, or convert again"
                )
    return None


def awaited(config: TrainConfig, sets: Sequence[Manifest]) -> str:
    """What a batch is waited for: the data service, or the shard that cannot be read, or all.

    Takes seconds at most, whatever hangs.
    """
    address = config.input.reading.data_service
    if address:
        place = address.removeprefix("grpc://")
        answers = _within_patience(lambda: _connect(place))
        why = "answers, so its workers may be gone" if answers else "does not answer"
        return f"the data service at {place}, whose dispatcher {why}"
    for manifest in sets:
        for path in manifest.shard_paths:
            if not _within_patience(functools.partial(_read_end, path)):
                return f"{path}, which cannot be read"
    folders = ", ".join(manifest.directory for manifest in sets)
    return f"records of {folders}; their shards can be read"


def _restarted(error: tf.errors.OpError, config: TrainConfig) -> InputTimeoutError | None:
    address = config.input.reading.data_service
    if not address or "Unknown iteration client id" not in str(error):
        return None
    return InputTimeoutError(
        f"the dispatcher at {address} was started again and knows nothing of this run; run the "
        "same command to resume, and give the dispatcher a --work_dir to go on by itself"
    )


def _within_patience(work: Callable[[], object]) -> bool:
    """Whether ``work`` ends without an error and in time; else its thread is left behind."""
    done: list[object] = []

    def run() -> None:
        with contextlib.suppress(OSError):
            done.append(work())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_PATIENCE_SECONDS)
    return bool(done)


def _connect(place: str) -> None:
    host, _, port = place.rpartition(":")
    socket.create_connection((host, int(port)), _PATIENCE_SECONDS).close()


def _read_end(path: str) -> None:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        file.read(1)


def _out_of_memory(config: TrainConfig, what: str, fitting: str) -> OutOfMemoryError:
    advice = fitting or "use a smaller batch, a smaller input, or more replicas"
    return OutOfMemoryError(
        f"out of memory ({what}) with --global_batch_size={config.global_batch_size}, "
        f"--input_size={config.model.input_size}, --precision={config.devices.precision}; {advice}"
    )


def _tensor(text: str) -> str:
    """What TensorFlow's message says there was no memory for, or its line about that."""
    found = re.search(r"OOM when allocating tensor with (shape\[[\d,]*\]).*?on (\S+)", text, re.S)
    if found:
        return f"a tensor of {found[1]} on {found[2]}"
    # XLA's.
    if found := re.search(r"out of memory while trying to allocate (\d+) bytes", text, re.I):
        return f"{int(found[1]) / 1e6:,.0f} MB at once"
    # First comes where it was, in many lines.
    lines = text.splitlines() or [""]
    return next((line for line in lines if _FULL_DEVICE.search(line)), lines[0])[:200]
