"""Images through a pool of threads and the network, in order and with bounded memory."""

import collections
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from PIL import Image

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.detector import Detector, Prepared
from ssd_tfrecord.detection.sources.frame_readers import Frame
from ssd_tfrecord.errors import InputError

_T = TypeVar("_T")
_Result = TypeVar("_Result")

_MAX_WORKERS = 8
# Of the images that wait for their detections, if they are to be drawn: 400 MB of levels.
_LIVE_PIXELS = 2**27


@dataclass(frozen=True)
class Seen:
    """An image and what was found in it, or ``error``: why it cannot be read.

    ``place`` counts the images of the stream from 0; ``image`` is None where nothing is drawn.
    """

    frame: Frame
    place: int
    detections: Detections | None = None
    image: Image.Image | None = None
    error: str = ""


@dataclass(frozen=True)
class _Read:
    frame: Frame
    prepared: Prepared | None = None
    image: Image.Image | None = None
    error: str = ""

    @property
    def num_pixels(self) -> int:
        return self.prepared.height * self.prepared.width if self.prepared else 1


def num_workers(asked: int) -> int:
    """The number of threads: ``asked``, or if that is 0 one per core, at most 8."""
    if asked:
        return asked
    # A cluster job or container may be confined to some of the machine's cores.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, _MAX_WORKERS)


class Stream(Generic[_Result]):
    """frames -> read and resize (pool) -> network -> finish (pool), in the order of the frames.

    Args:
        detector: whose network it is.
        finish_fn: what becomes of an image, in a thread of the pool.
        batch_size: number of images per batch; the last may have fewer.
        workers: number of threads.
        keeps_images: whether ``finish_fn`` needs the images themselves.
    """

    def __init__(
        self,
        detector: Detector,
        finish_fn: Callable[[Seen], _Result],
        *,
        batch_size: int,
        workers: int,
        keeps_images: bool,
    ) -> None:
        self._detector = detector
        self._finish_fn = finish_fn
        self._batch_size = batch_size
        self._workers = workers
        self._keeps_images = keeps_images
        self._largest = 1
        # {number of images: (seconds, images)}; the first batch of a size is compiled.
        self._first: dict[int, tuple[float, int]] = {}
        self._later = (0.0, 0)

    def run(self, frames: Iterable[Frame], stopped: Callable[[], bool]) -> Iterator[_Result]:
        """The results of ``frames``, in order.

        Args:
            frames: asked for in a thread of their own, a few ahead.
            stopped: whether to read no further; what is in the network is still finished.

        Raises:
            Exception: whatever ``finish_fn`` raises; the results before it have been given.
        """
        reading: collections.deque[Future[_Read]] = collections.deque()
        finishing: collections.deque[Future[_Result]] = collections.deque()
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="images")
        place = 0
        try:
            with _Ahead(frames, self._batch_size) as coming:
                while not stopped():
                    self._fill(pool, reading, coming)
                    batch = self._take(reading)
                    if not batch:
                        break
                    for seen in self._detect(batch, place):
                        finishing.append(pool.submit(self._finish_fn, seen))
                    place += len(batch)
                    while finishing and (finishing[0].done() or len(finishing) > self._limit(0)):
                        yield finishing.popleft().result()
            while finishing:
                yield finishing.popleft().result()
        finally:
            # What was asked for and is no longer wanted is not begun.
            pool.shutdown(cancel_futures=True)

    def timing(self) -> str:
        """How long the network took for an image, in words."""
        seconds, count = self._later
        note = ""
        if not count:
            seconds, count = (sum(column) for column in zip((0.0, 0), *self._first.values()))
            note = ", compilation included"
        return f"{1000 * seconds / max(1, count):.1f} ms per image in the network{note}"

    def _time(self, count: int, seconds: float) -> None:
        if count in self._first:
            before, images = self._later
            self._later = before + seconds, images + count
        elif count:
            self._first[count] = seconds, count

    def _limit(self, batch: int) -> int:
        """How many images may wait at one place: fewer if they are large and are kept."""
        wanted = batch + 2 * self._workers
        fitting = _LIVE_PIXELS // self._largest if self._keeps_images else wanted
        return max(1, min(wanted, fitting))

    def _fill(
        self,
        pool: ThreadPoolExecutor,
        reading: "collections.deque[Future[_Read]]",
        coming: Iterator[Frame],
    ) -> None:
        while len(reading) < self._limit(self._batch_size):
            frame = next(coming, None)
            if frame is None:
                return
            reading.append(pool.submit(self._read, frame))

    def _take(self, reading: "collections.deque[Future[_Read]]") -> list[_Read]:
        """A batch of the oldest, which are waited for."""
        count = min(self._batch_size, len(reading))
        batch = [reading.popleft().result() for _ in range(count)]
        self._largest = max([self._largest, *(item.num_pixels for item in batch)])
        return batch

    def _read(self, frame: Frame) -> _Read:
        try:
            image = frame.load()
        except InputError as error:
            return _Read(frame, error=str(error))
        prepared = self._detector.prepare(image, frame.name)
        return _Read(frame, prepared, image.shown() if self._keeps_images else None)

    def _detect(self, batch: list[_Read], place: int) -> list[Seen]:
        prepared = [item.prepared for item in batch if item.prepared]
        begin = time.perf_counter()
        found = iter(self._detector.detect_prepared(prepared) if prepared else ())
        self._time(len(prepared), time.perf_counter() - begin)
        return [
            Seen(item.frame, place + row, error=item.error)
            if item.prepared is None
            else Seen(item.frame, place + row, next(found), item.image)
            for row, item in enumerate(batch)
        ]


class _Ahead(Generic[_T]):
    """The items of an iterable that a thread of its own asks for, at most ``count`` ahead."""

    def __init__(self, items: Iterable[_T], count: int) -> None:
        self._items = items
        # An item, or none at the end, and what was raised instead.
        self._there: queue.Queue[tuple[list[_T], BaseException | None]] = queue.Queue(count)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="frames", daemon=True)

    def __enter__(self) -> Iterator[_T]:
        self._thread.start()
        return self._coming()

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        # It may be stuck in a file or a camera, and is then left behind.
        self._thread.join(timeout=2)

    def _coming(self) -> Iterator[_T]:
        while True:
            found, error = self._there.get()
            if error:
                raise error
            if not found:
                return
            yield found[0]

    def _run(self) -> None:
        try:
            for item in self._items:
                self._put([item])
                if self._closed.is_set():
                    return
            self._put([])
        except BaseException as error:
            self._put([], error)

    def _put(self, found: list[_T], error: BaseException | None = None) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._there.put((found, error), timeout=0.1)
                return
