"""Where exported files are run: on the same images as the Detector, with a clock."""

import pathlib
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting import export_folder, parity
from ssd_tfrecord.exporting.check_set import CheckImage
from ssd_tfrecord.exporting.export_table import Row
from ssd_tfrecord.exporting.exported_file import Runtime, Tolerance
from ssd_tfrecord.options import DetectionOptions
from ssd_tfrecord.records.processes.progress import steady_bar

_T = TypeVar("_T")

# Latency is the median of so many runs.
_TIMED = 30


class Bench:
    """Images, and what the Detector finds in them.

    Args:
        images: gone through once for each file; at least one.
        expected: the Detector's detections of each, in order.
        class_names: of the labels 1, 2, ….
        options: thresholds of the Detector and of the files.
    """

    def __init__(
        self,
        images: Iterable[CheckImage],
        expected: Sequence[Detections],
        class_names: Sequence[str],
        options: DetectionOptions,
    ) -> None:
        self._images = images
        self._expected = expected
        self._class_names = tuple(class_names)
        self._options = options

    def measure(
        self,
        name: str,
        path: pathlib.Path,
        open_fn: Callable[[pathlib.Path], Runtime],
        tolerance: Tolerance,
    ) -> tuple[Row, list[Detections]]:
        """Runs a file on every image.

        Args:
            name: of the file in the table.
            path: where it lies now.
            open_fn: opens it.
            tolerance: how far it may be from the Detector.

        Returns:
            The file's row, and its detections of each image.

        Raises:
            InputError: it gives labels that are none, or numbers that are not finite.
        """
        begin = time.perf_counter()
        runtime = open_fn(path)
        load_s = time.perf_counter() - begin
        found: list[Detections] = []
        truths: list[GroundTruth] = []
        times: list[float] = []
        for image in with_bar(self._images, len(self._expected), name):
            found.append(self._checked(path, runtime.detect(image)))
            truths.append(image.truth)
            # The first run was detect's: it includes what is made once.
            if len(times) < _TIMED:
                times.append(_seconds(runtime, image))
        row = Row(
            name=name,
            runtime=runtime.title,
            num_bytes=export_folder.num_bytes(path),
            load_s=load_s,
            latency_ms=statistics.median(times) * 1e3,
            parity=self._compare(found, truths, tolerance),
            compared=tolerance.box is not None,
        )
        return row, found

    def _checked(self, path: pathlib.Path, found: Detections) -> Detections:
        # Neither could be compared, nor could the first be counted.
        count = len(self._class_names)
        if ((found.labels < 1) | (found.labels > count)).any():
            raise InputError(f"{path}: gives a label that is none of 1 to {count}; export again")
        if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
            raise InputError(f"{path}: gives numbers that are not finite; export again")
        return found

    def _compare(
        self, found: list[Detections], truths: list[GroundTruth], tolerance: Tolerance
    ) -> parity.Parity:
        return parity.compare(
            self._expected, found, truths, self._class_names, self._options, tolerance
        )


def with_bar(items: Iterable[_T], total: int, title: str) -> Iterator[_T]:
    """``items`` with a progress bar of ``total`` images."""
    with steady_bar(total, " images") as progress:
        progress.set_description(title)
        for item in items:
            yield item
            progress.update()


def _seconds(runtime: Runtime, image: CheckImage) -> float:
    begin = time.perf_counter()
    runtime.run(image)
    return time.perf_counter() - begin
