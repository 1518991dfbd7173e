"""Files and folders that one process has to itself; the kernel frees them when their holder dies.

All locks are ``flock``'s, which belong to an open file: a process may open the same file again and
close it, as ``is_held`` does, without losing the lock. POSIX record locks would be gone.
"""

import contextlib
import datetime
import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterator

from ssd_tfrecord.errors import InputError

RUN = "run.lock"
WORKERS = "workers.lock"

# More than any holder writes: whatever else is in the file is not read.
_SIGNATURE_BYTES = 4096


def take(path: str) -> int | None:
    """Creates the file ``path``, and its folder, locks it, and signs it with this process.

    Args:
        path: of the lock's file; a link is not followed.

    Returns:
        The descriptor that holds the lock until it is closed, here and in all forked children; None
        if another process holds it, which is not waited for.

    Raises:
        OSError: the file cannot be made, or its file system has no locks.
    """
    while True:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            descriptor = _open(path)
        except FileNotFoundError:  # the last holder has just removed the folder
            continue
        try:
            locked = _try_to_lock(descriptor)
            # A holder that has finished removes the file: this lock may be on one that no longer
            # has a name, and another process would lock its successor.
            if locked and is_name_of(path, descriptor):
                _sign(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if not locked:
            return None


def is_name_of(path: str, descriptor: int) -> bool:
    """Whether ``path`` is a name of the open file ``descriptor``, and not of a later one."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def signature(path: str) -> str:
    """Who holds the lock ``path``, in words: host, process, since when; "" if it does not say."""
    try:
        with open(path, "rb") as file:
            who = json.loads(file.read(_SIGNATURE_BYTES))
        return f"host {who['host']}, process {who['process']}, since {who['since']}"
    # Nothing yet, or of an earlier version: the lock holds without it.
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return ""


def hold(folder: str) -> int:
    """Creates ``folder`` and holds it for this run.

    Returns:
        the descriptor that holds it until it is closed.

    Raises:
        InputError: another run holds it; this is not waited for.
        OSError: it cannot be created.
    """
    descriptor = take(os.path.join(folder, RUN))
    if descriptor is None:
        raise held_error(folder)
    try:
        _wait_for_workers(folder)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


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
    who = signature(os.path.join(folder, RUN))
    return InputError(
        f"{folder}: another run is writing here: wait for it to finish, or choose another "
        f"--output_dir{f' ({who})' if who else ''}"
    )


def holder(folder: str) -> str:
    """What the last run that held ``folder`` signed with, unlike any other; "" if called off."""
    with open(os.path.join(folder, RUN), encoding="ascii") as file:
        return file.read()


def call_off(folder: str) -> None:
    """Tells all workers, on any machine, that the run that holds ``folder`` needs them no more.

    Its signature is erased, which workers compare with the one that they were started for.
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


@contextlib.contextmanager
def alone_in(folder: str | os.PathLike[str], program: str) -> Iterator[None]:
    """Holds ``folder`` for one run of a program while the context lasts.

    The folder itself is locked, so that no file is left behind. Where that cannot be done, as NFS
    locks no folders, another run is not noticed.

    Args:
        folder: that of --output_dir; it exists.
        program: what the error calls it, like download.

    Raises:
        InputError: another run of the program holds it; this is not waited for.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            if not _try_to_lock(descriptor):
                raise InputError(
                    f"--output_dir={os.fspath(folder)}: another {program} is writing here; wait "
                    "for it to finish, or choose another --output_dir"
                )
        yield


def _wait_for_workers(folder: str) -> None:
    # Not for long: the workers of a killed run see its death within milliseconds.
    descriptor = _open(os.path.join(folder, WORKERS))
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.close(descriptor)


def _open(path: str) -> int:
    # Signing truncates: not what a link in a folder of somebody else's leads to.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)


def _try_to_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int) -> None:
    who = {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "since": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        # Tells this holder from a later one of the same number, for workers on other machines:
        # see holder and call_off.
        "id": uuid.uuid4().hex,
    }
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps(who).encode())
