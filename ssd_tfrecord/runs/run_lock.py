"""The lock of a run folder: one run at a time has it, from before its first check to its end.

Those that only read a run (evaluate, detect, TensorBoard) do not take it. Free of TensorFlow.
"""

import contextlib
import errno
import os
from collections.abc import Iterator

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes import lock
from ssd_tfrecord.runs import run_files, run_folder

# What flock says on file systems without locks, such as Lustre without -o flock.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

# Descriptors that hold a lock. A forked child would go on holding it after its parent's death.
_HELD: set[int] = set()


@contextlib.contextmanager
def held(run_dir: str | os.PathLike[str]) -> Iterator[tuple[str, ...]]:
    """Holds ``run_dir`` for this process while the context lasts; the folder is made if need be.

    The lock is the kernel's: that of a process that has died is free. Its file, which says who
    holds it, may lie there unlocked. A folder that was made here and in which no run has begun is
    removed at the end. A run that is deleted or moved meanwhile does not matter.

    Yields:
        Lines to say: one if the file system has no locks, so that another run would not be noticed.

    Raises:
        InputError: another run holds it, the folder is not a run's, or it cannot be made.
        DiskError: the disk is full, read-only or fails.
    """
    run_folder.check_place(run_dir)
    folder = os.path.abspath(run_dir)
    made = _missing_folders(folder)
    descriptor, notes = _take(run_dir, os.path.join(folder, run_folder.LOCK_FILE))
    try:
        yield notes
    finally:
        _release(folder, descriptor, made)


def _take(run_dir: str | os.PathLike[str], path: str) -> tuple[int | None, tuple[str, ...]]:
    try:
        descriptor = lock.take(path)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise run_files.disk_error(run_dir, error) from None
        return None, (
            f"--run_dir={run_dir}: this file system has no locks ({error.strerror}); make sure "
            "that no other run uses the folder",
        )
    if descriptor is None:
        who = lock.signature(path)
        raise InputError(
            f"--run_dir={run_dir}: a run is going on there{f': {who}' if who else ''}; wait for it "
            "or choose another --run_dir"
        )
    _HELD.add(descriptor)
    return descriptor, ()


def _release(folder: str, descriptor: int | None, made: list[str]) -> None:
    path = os.path.join(folder, run_folder.LOCK_FILE)
    # Whatever has become of the folder, the run has ended as it has.
    with contextlib.suppress(OSError):
        ours = descriptor is None or lock.is_name_of(path, descriptor)
        if ours and run_folder.is_untouched(folder):
            os.unlink(path)
            for parent in reversed(made):
                os.rmdir(parent)
    if descriptor is not None:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
        _HELD.discard(descriptor)
        os.close(descriptor)


def _missing_folders(folder: str) -> list[str]:
    """``folder`` and the folders above it that do not exist yet, the topmost first."""
    missing: list[str] = []
    while not os.path.exists(folder):
        missing.insert(0, folder)
        folder = os.path.dirname(folder)
    return missing


def _close_in_child() -> None:
    while _HELD:
        os.close(_HELD.pop())


os.register_at_fork(after_in_child=_close_in_child)
