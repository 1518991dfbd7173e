"""Work done one by one in this process, or by processes of their own: shards, annotations."""

import collections
import contextlib
import itertools
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, resource_tracker

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes import lock

# What workers have in common is imported in two seconds, in which one verifies 1,500 images.
_RECORDS_WORTH_A_WORKER = 3000
_SECONDS_BETWEEN_LOOKS = 0.2
# What takes long to import of what workers need.
_PRELOADED = ("tensorflow", "PIL.Image", "lxml.etree")
_BLAS_THREADS = "OPENBLAS_NUM_THREADS"
# Items that are sent at once, and how often before results are waited for.
_CHUNK, _CHUNKS_A_WORKER = 64, 4


def choose_number(asked: int, num_records: int, num_shards: int) -> int:
    """Processes for so many records in so many shards; ``asked`` 0: one a core, fewer for few."""
    cores = len(os.sched_getaffinity(0))
    wanted = asked or min(cores, 1 + num_records // _RECORDS_WORTH_A_WORKER)
    return max(1, min(wanted, num_shards))


def run(
    function: Callable,
    items: Sequence,
    num_workers: int,
    advance: Callable[[int], None],
    *,
    folder: str = "",
) -> Iterator:
    """Yields ``function(item, advance_one)`` of each item, in their order; for few, long items.

    Args:
        function: runs TensorFlow, and calls ``advance_one()`` often, which ends it where the run
            has failed elsewhere.
        num_workers: 1 works in this process.
        advance: called with the number of calls of ``advance_one`` since the last time.
        folder: the workers join it (``lock.join``).

    Raises:
        the first error of any item at once, and InputError if a worker dies.
    """
    if num_workers > 1:
        yield from _run_in_processes(function, items, num_workers, advance, folder)
        return
    for item in items:
        yield function(item, lambda: advance(1))


def map_in_order(function: Callable, items: Iterable, num_workers: int) -> Iterator:
    """Yields ``function(item)`` of each item, in their order; 1 worker is this process.

    Raises:
        what ``function`` raises for the first item that it does so for, and InputError if a worker
        dies.
    """
    if num_workers <= 1:
        yield from map(function, items)
        return
    executor = ProcessPoolExecutor(num_workers, _context(), initializer=_join_parent)
    items, pending = iter(items), collections.deque()
    chunks = iter(lambda: list(itertools.islice(items, _CHUNK)), [])
    try:
        while True:
            # Results wait here while an earlier chunk is worked on, so they are few.
            for chunk in itertools.islice(chunks, _CHUNKS_A_WORKER * num_workers - len(pending)):
                with _uninterrupted():
                    pending.append(executor.submit(_map, function, chunk))
            if not pending:
                return
            yield from pending.popleft().result()
    except BrokenProcessPool:
        raise _death() from None
    finally:
        executor.shutdown(cancel_futures=True)


def _map(function, chunk):
    return list(map(function, chunk))


def _death():
    # The executor ends the others, but for one that was starting meanwhile, for which it would then
    # wait for ever (seen with Python 3.11).
    for child in multiprocessing.active_children():
        child.kill()
    return InputError(
        "a worker process died, killed perhaps for want of memory: give the same command again, "
        "with fewer --workers"
    )


def _run_in_processes(function, items, num_workers, advance, folder):
    context = _context()
    # Without locks, which a killed worker might hold: each item has a counter of its own.
    counters, stop = context.RawArray("Q", len(items)), context.RawValue("b", 0)
    executor = ProcessPoolExecutor(
        num_workers, context, initializer=_start, initargs=(function, counters, stop, folder)
    )
    seen = 0
    try:
        with _uninterrupted():
            futures = [executor.submit(_call, *item) for item in enumerate(items)]
        pending, waiting = set(futures), collections.deque(futures)
        while pending:
            done, pending = wait(pending, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
            now = sum(counters)
            advance(now - seen)
            seen = now
            for future in done:
                future.result()  # its error does not wait for the items before it
            while waiting and waiting[0].done():
                yield waiting.popleft().result()
    except BrokenProcessPool:
        raise _death() from None
    finally:
        stop.value = 1
        executor.shutdown(cancel_futures=True)


def _context():
    """Workers are forked from a server that has imported TensorFlow, once for all, and not used it:
    that starts no thread, and none of the parent's are there.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    # NumPy's library would start threads, which do not survive a fork.
    before = os.environ.get(_BLAS_THREADS)
    os.environ[_BLAS_THREADS] = "1"
    resource_tracker.ensure_running()  # unblocks SIGINT
    try:
        with _uninterrupted():
            forkserver.ensure_running()
    finally:
        del os.environ[_BLAS_THREADS]
        if before is not None:
            os.environ[_BLAS_THREADS] = before
    return context


@contextlib.contextmanager
def _uninterrupted():
    """Has Ctrl-C wait while processes are started: it comes to all of a terminal, and to end them
    is the parent's. They would print where it met them, or that their parent has gone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Ctrl-C is the main thread's
        return
    caught = []
    handler = signal.signal(signal.SIGINT, lambda *where: caught.append(where))
    # The processes inherit this; here another thread may take the signal.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if caught:
        raise KeyboardInterrupt


class _StopError(Exception):
    """The run has failed elsewhere."""


_worker = {}


def _join_parent():
    """Makes a new process a worker, which dies with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _start(function, counters, stop, folder):
    """Makes a new process a worker of ``run``."""
    _join_parent()
    if folder:
        lock.join(folder)
    import tensorflow as tf

    # A process a core: more threads would only take turns.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    _worker.update(function=function, counters=counters, stop=stop)


def _die_with_parent():
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _call(index, item):
    def advance():
        _worker["counters"][index] += 1
        if _worker["stop"].value:
            raise _StopError

    return _worker["function"](item, advance)
