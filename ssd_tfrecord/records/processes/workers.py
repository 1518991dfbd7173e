"""Work on shards or annotations, one by one in this process or spread over worker processes."""

import collections
import contextlib
import itertools
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from typing import Any, TypeVar

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes import lock

Item = TypeVar("Item")
Result = TypeVar("Result")

# The imports that workers share take two seconds, in which one worker verifies 1,500 images.
_RECORDS_WORTH_A_WORKER = 3000
_SECONDS_BETWEEN_LOOKS = 0.2
# What workers need that takes long to import.
_PRELOADED = ("tensorflow", "PIL.Image", "lxml.etree")
_BLAS_THREADS = "OPENBLAS_NUM_THREADS"
# Items that are sent at once, and how many such chunks per worker are under way.
_CHUNK, _CHUNKS_A_WORKER = 64, 4


def choose_number(asked: int, num_records: int, num_shards: int) -> int:
    """The number of processes for a record set.

    Args:
        asked: the user's choice; 0: one per core, fewer for few records.
        num_records: records to process.
        num_shards: shards to process; no more processes than these.
    """
    # Not os.cpu_count(): cluster jobs and containers are often confined to some of the cores.
    cores = len(os.sched_getaffinity(0))
    wanted = asked or min(cores, 1 + num_records // _RECORDS_WORTH_A_WORKER)
    return max(1, min(wanted, num_shards))


def run(
    function: Callable[[Item, Callable[[], None]], Result],
    items: Sequence[Item],
    num_workers: int,
    advance: Callable[[int], object],
    *,
    folder: str = "",
) -> Generator[Result, None, None]:
    """Yields ``function(item, advance_one)`` of each item, in their order; for few, long items.

    Any error that ``function`` raises for an item is raised here at once, whatever items are still
    being worked on.

    Args:
        function: uses TensorFlow, and calls ``advance_one()`` often, which ends it if the run has
            failed elsewhere.
        items: what ``function`` is called with.
        num_workers: number of processes; 1 works in this one.
        advance: called with the number of calls of ``advance_one`` since the last time.
        folder: the workers join it (``lock.join``); "" for none.

    Raises:
        InputError: a worker died.
    """
    if num_workers > 1:
        yield from _run_in_processes(function, items, num_workers, advance, folder)
        return

    def advance_one() -> None:
        advance(1)

    for item in items:
        yield function(item, advance_one)


def map_in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    num_workers: int,
    *,
    preloaded: Sequence[str] = _PRELOADED,
) -> Iterator[Result]:
    """Yields ``function(item)`` of each item, in their order; for many, short items.

    The error of the first item that ``function`` raises one for is raised in that item's turn.

    Args:
        function: uses no TensorFlow.
        items: what ``function`` is called with, read a few chunks ahead of the results.
        num_workers: number of processes; 1 works in this one.
        preloaded: modules that the workers share, where these are the first of the process: a
            program that does not go on to ``run`` is spared TensorFlow, 3 CPU seconds.

    Raises:
        InputError: a worker died.
    """
    if num_workers <= 1:
        yield from map(function, items)
        return
    executor = ProcessPoolExecutor(num_workers, _context(preloaded), initializer=_join_parent)
    pending: collections.deque[Future[list[Result]]] = collections.deque()
    remaining = iter(items)
    # Chunks until an empty one.
    chunks = iter(lambda: list(itertools.islice(remaining, _CHUNK)), [])
    try:
        while True:
            # Bounded, since results wait here while an earlier chunk is worked on; executor.map()
            # would read all items at once.
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


def _map(function: Callable[[Item], Result], chunk: Sequence[Item]) -> list[Result]:
    return list(map(function, chunk))


def _death() -> InputError:
    # The executor ends the others, except one that was just starting, for which it would then wait
    # for ever (seen with Python 3.11).
    for child in multiprocessing.active_children():
        child.kill()
    return InputError(
        "a worker process died, possibly out of memory; run the same command again with fewer "
        "--workers"
    )


def _run_in_processes(
    function: Callable[[Item, Callable[[], None]], Result],
    items: Sequence[Item],
    num_workers: int,
    advance: Callable[[int], object],
    folder: str,
) -> Iterator[Result]:
    context = _context()
    # Raw: without locks, which a killed worker might hold. Each item has a counter of its own, so
    # that no two processes write to the same one.
    counters, stop = context.RawArray("Q", len(items)), context.RawValue("b", 0)
    executor = ProcessPoolExecutor(
        num_workers, context, initializer=_start, initargs=(function, counters, stop, folder)
    )
    seen = 0
    try:
        with _uninterrupted():
            futures = [executor.submit(_call, *item) for item in enumerate(items)]
        pending, waiting = set(futures), collections.deque(futures)
        # Not as_completed(), which would not look at the counters in between.
        while pending:
            done, pending = wait(pending, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
            now = sum(counters)
            advance(now - seen)
            seen = now
            for future in done:
                future.result()  # an error is raised before the items ahead of it are done
            while waiting and waiting[0].done():
                yield waiting.popleft().result()
    except BrokenProcessPool:
        raise _death() from None
    finally:
        # Also where the caller stops reading. The workers see it at their next advance_one().
        stop.value = 1
        executor.shutdown(cancel_futures=True)


def _context(preloaded: Sequence[str] = _PRELOADED) -> ForkServerContext:
    """Workers are forked from a server that has imported TensorFlow once for all, but not used it.

    The import alone starts no thread, and the parent's threads are not there (a fork of the parent
    would copy the locks that its threads hold, but not the threads).
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preloaded))
    # NumPy's OpenBLAS would start threads at import, which do not survive a fork.
    before = os.environ.get(_BLAS_THREADS)
    os.environ[_BLAS_THREADS] = "1"
    # Before _uninterrupted, since to start the tracker unblocks SIGINT.
    resource_tracker.ensure_running()
    try:
        with _uninterrupted():
            forkserver.ensure_running()
    finally:
        del os.environ[_BLAS_THREADS]
        if before is not None:
            os.environ[_BLAS_THREADS] = before
    return context


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delays Ctrl-C while processes are started.

    A terminal sends it to all of them, but it is the parent that ends the others. If it met them
    while they start, they would print a traceback, or that their parent has gone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers Ctrl-C to the main thread, which alone may set handlers
        return
    caught = []
    handler = signal.signal(signal.SIGINT, lambda *where: caught.append(where))
    # For the new processes, which inherit the mask but no handler. Here the mask is not enough:
    # another thread may take the signal.
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


# What a worker got when it started: items of a pool carry no shared memory.
_worker: dict[str, Any] = {}


def _join_parent() -> None:
    """Makes a new process a worker, which dies with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _start(
    function: Callable[[Any, Callable[[], None]], Any], counters: Any, stop: Any, folder: str
) -> None:
    """Makes a new process a worker of ``run``.

    Args:
        function: as of ``run``.
        counters: shared memory, the calls of ``advance_one`` for each item.
        stop: shared memory, 1 once the run has failed or ended.
        folder: as of ``run``.
    """
    _join_parent()
    if folder:
        # Never closed: the kernel does it when the process ends, however it ends.
        lock.join(folder)
    import tensorflow as tf

    # One process per core: more threads would only take turns.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    _worker.update(function=function, counters=counters, stop=stop)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    # None only in a process that multiprocessing has not started.
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        # Not sys.exit(), which would end this thread alone.
        os._exit(1)


def _call(index: int, item: Any) -> Any:
    def advance() -> None:
        _worker["counters"][index] += 1
        if _worker["stop"].value:
            raise _StopError

    return _worker["function"](item, advance)
