"""Folders that one run has for itself; the kernel frees them when their holder dies."""

import contextlib
import fcntl
import os
import uuid

from ssd_tfrecord.errors import InputError

RUN = "run.lock"
WORKERS = "workers.lock"


def hold(folder: str) -> int:
    """Makes ``folder`` and holds it for this run, until the descriptor it returns is closed.

    Raises:
        InputError at once if another run has it; OSError if it cannot be made.
    """
    path = os.path.join(folder, RUN)
    while True:
        os.makedirs(folder, exist_ok=True)
        try:
            descriptor = _open(path)
        except FileNotFoundError:  # its last holder has just removed the folder
            continue
        if not _try_to_lock(descriptor):
            os.close(descriptor)
            raise held_error(folder)
        if os.path.isfile(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
            try:
                os.truncate(path, 0)
                os.write(descriptor, uuid.uuid4().hex.encode())
                _wait_for_workers(folder)
            except BaseException:
                os.close(descriptor)
                raise
            return descriptor
        os.close(descriptor)  # locked, but no longer the file of that name


def is_held(folder: str) -> bool:
    """Whether a run holds ``folder``, which need not be there."""
    try:
        descriptor = os.open(os.path.join(folder, RUN), os.O_RDWR)  # NFS locks no other
    except OSError:
        return False
    try:
        return not _try_to_lock(descriptor)
    finally:
        os.close(descriptor)


def held_error(folder: str) -> InputError:
    """The error of a folder that another run holds."""
    return InputError(
        f"{folder}: another run is writing there: wait for its end, or choose another --output_dir"
    )


def holder(folder: str) -> str:
    """Name of the last run that held ``folder``, each has another; "" if it was called off."""
    with open(os.path.join(folder, RUN), encoding="ascii") as file:
        return file.read()


def call_off(folder: str):
    """Takes its name from the run that holds ``folder``, for workers that go by it to see."""
    os.truncate(os.path.join(folder, RUN), 0)


def join(folder: str) -> int:
    """Says that this process works in ``folder``, until it ends or closes the descriptor that is
    returned: the next run waits for that.
    """
    descriptor = _open(os.path.join(folder, WORKERS))
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


@contextlib.contextmanager
def joined(folder: str):
    """Joins ``folder`` while the context lasts."""
    descriptor = join(folder)
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def alone(path: str):
    """Waits until no other worker is in this context with ``path``."""
    descriptor = _open(path + ".lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _wait_for_workers(folder):
    # The workers of a killed run see its death within milliseconds.
    descriptor = _open(os.path.join(folder, WORKERS))
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.close(descriptor)


def _open(path):
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def _try_to_lock(descriptor):
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
