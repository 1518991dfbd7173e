"""Folders that one run has to itself; the kernel frees them when their holder dies.

All locks are ``flock``'s, which belong to an open file: a process may open the same file again and
close it, as ``is_held`` does, without losing the lock. POSIX record locks would be gone.
"""

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator

from ssd_tfrecord.errors import InputError

RUN = "run.lock"
WORKERS = "workers.lock"


def hold(folder: str) -> int:
    """Creates ``folder`` and holds it for this run.

    Returns:
        the descriptor that holds it until it is closed.

    Raises:
        InputError: another run holds it; this is not waited for.
        OSError: it cannot be created.
    """
    path = os.path.join(folder, RUN)
    while True:
        os.makedirs(folder, exist_ok=True)
        try:
            descriptor = _open(path)
        except FileNotFoundError:  # the last holder has just removed the folder
            continue
        if not _try_to_lock(descriptor):
            os.close(descriptor)
            raise held_error(folder)
        # A holder that has finished removes the file: this lock may be on one that no longer has a
        # name, and another run would lock its successor.
        if os.path.isfile(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
            try:
                # The run's name, for workers on other machines: see holder and call_off.
                os.truncate(path, 0)
                os.write(descriptor, uuid.uuid4().hex.encode())
                _wait_for_workers(folder)
            except BaseException:
                os.close(descriptor)
                raise
            return descriptor
        os.close(descriptor)


def is_held(folder: str) -> bool:
    """Whether a run holds ``folder``, which need not exist."""
    try:
        # NFS turns flock into a record lock, which needs a file that is open for writing.
        descriptor = os.open(os.path.join(folder, RUN), os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try_to_lock(descriptor)
    finally:
        os.close(descriptor)


def held_error(folder: str) -> InputError:
    """The error of a folder that another run holds."""
    return InputError(
        f"{folder}: another run is writing here: wait for it to finish, or choose another "
        "--output_dir"
    )


def holder(folder: str) -> str:
    """The name, unique to each run, of the last run that held ``folder``; "" if called off."""
    with open(os.path.join(folder, RUN), encoding="ascii") as file:
        return file.read()


def call_off(folder: str) -> None:
    """Tells all workers, on any machine, that the run that holds ``folder`` needs them no more.

    Its name is erased, which workers compare with the one that they were started for.
    """
    os.truncate(os.path.join(folder, RUN), 0)


def join(folder: str) -> int:
    """Says that this process works in ``folder``; the next run waits until it no longer does.

    Returns:
        the descriptor that says so until it is closed or the process ends.
    """
    descriptor = _open(os.path.join(folder, WORKERS))
    # Shared among workers; a run that waits for them all asks for it exclusively.
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


@contextlib.contextmanager
def joined(folder: str) -> Iterator[None]:
    """Joins ``folder`` while the context lasts."""
    descriptor = join(folder)
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def alone(path: str) -> Iterator[None]:
    """Waits until no other worker is in this context with ``path``."""
    # Locks a file beside ``path``: ``path`` itself is replaced meanwhile, and the new file would
    # not be locked.
    descriptor = _open(path + ".lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _wait_for_workers(folder: str) -> None:
    # Not for long: the workers of a killed run see its death within milliseconds.
    descriptor = _open(os.path.join(folder, WORKERS))
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.close(descriptor)


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def _try_to_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
