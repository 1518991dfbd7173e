"""A cache on disk that several jobs share: one fills it, the others wait and use it.

A folder of the cache's name is complete: it is filled under another name, beside a lock, and
renamed once all of it is on the disk. What is cut afterwards is noticed and filled again.
"""

import contextlib
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes import lock

_Cache = TypeVar("_Cache")

_LOCK = ".lock"
_PARTIAL = re.compile(r"(.+)\.\d+\.partial")
_POLL_SECONDS = 0.2


class DamagedCacheError(InputError):
    """A cache is not what it was when it was filled; the message says which file, and why."""


def loaded_or_filled(
    folder: str, load_fn: Callable[[str], _Cache], fill_fn: Callable[[str], None]
) -> _Cache:
    """The cache ``folder``, which is filled first if it is not there or damaged.

    If another job is filling it, that is said and waited for; if that job dies, this one fills it.
    What dead jobs left unfinished beside it is removed.

    Args:
        folder: of the cache; its name is a function of what is in it.
        load_fn: folder -> the cache, or ``DamagedCacheError``.
        fill_fn: writes the cache into an empty folder.

    Raises:
        OSError: the file system refuses something.
    """
    cache, _ = _attempt(folder, load_fn)
    if cache is not None:
        return cache
    with _alone(folder):
        # By the job that held the lock before.
        cache, damage = _attempt(folder, load_fn)
        if cache is not None:
            return cache
        if damage:
            _say(f"Cache: {damage}; filling it again")
            shutil.rmtree(folder)
        _remove_leftovers(folder)
        _fill(folder, fill_fn)
        return load_fn(folder)


def _attempt(folder: str, load_fn: Callable[[str], _Cache]) -> tuple[_Cache | None, str]:
    """The cache or None, and what is wrong with it."""
    if not os.path.isdir(folder):
        return None, ""
    try:
        return load_fn(folder), ""
    except DamagedCacheError as error:
        return None, str(error)


@contextlib.contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Waits until no other job fills ``folder``; the kernel frees the lock of one that dies."""
    path = folder + _LOCK
    waits = False
    while (descriptor := lock.take(path)) is None:
        if not waits:
            who = lock.signature(path) or "another job"
            _say(f"Cache: {folder} is being filled by {who}; waiting for it (Ctrl-C gives up)")
        waits = True
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        _release(path, descriptor)


def _release(path: str, descriptor: int) -> None:
    # Before the lock is freed: after it, the file may be another job's.
    with contextlib.suppress(OSError):
        os.remove(path)
    os.close(descriptor)


def _remove_leftovers(folder: str) -> None:
    """Removes what dead jobs left of this cache and of others in the same place."""
    parent = os.path.dirname(folder)
    for name in os.listdir(parent):
        found = _PARTIAL.fullmatch(name)
        if not found:
            continue
        partial, other = os.path.join(parent, name), os.path.join(parent, found[1])
        if other == folder:
            shutil.rmtree(partial, ignore_errors=True)
        # A living job holds the lock of the cache that it fills.
        elif (descriptor := lock.take(other + _LOCK)) is not None:
            shutil.rmtree(partial, ignore_errors=True)
            _release(other + _LOCK, descriptor)


def _fill(folder: str, fill_fn: Callable[[str], None]) -> None:
    # The number of the process keeps apart jobs on hosts whose file system has no common locks.
    aside = f"{folder}.{os.getpid()}.partial"
    try:
        os.makedirs(aside)
        fill_fn(aside)
        for path, _, files in os.walk(aside, topdown=False):
            for name in files:
                _sync(os.path.join(path, name))
            _sync(path)
        os.replace(aside, folder)
        _sync(os.path.dirname(folder))
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _say(line: str) -> None:
    # Where the progress bar of the filling is.
    print(line, file=sys.stderr, flush=True)
