"""What is written in the order of the images: detections.json, COCO's rows, and videos."""

import collections
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from ssd_tfrecord.detection.outputs.coco_rows_files import CocoRowsFiles
from ssd_tfrecord.detection.outputs.image_outputs import Finished
from ssd_tfrecord.detection.outputs.json_rows import JsonRows, to_json
from ssd_tfrecord.detection.outputs.output_folder import disk_errors
from ssd_tfrecord.detection.outputs.output_names import OutputNames
from ssd_tfrecord.detection.outputs.video_writing import SUFFIX, VideoWriting
from ssd_tfrecord.detection.sources import video_reader
from ssd_tfrecord.detection.sources.source_list import Source

DETECTIONS = "detections.json"


class Delivery:
    """Takes images one after the other, and counts.

    ``num_read``, ``num_skipped`` and ``num_detections``, {class: number}, are those so far;
    ``first_error`` is why the first image that was skipped cannot be read.

    Args:
        folder: the output folder.
        names: of the files.
        head: what detections.json says before its images.
        coco: COCO's files, if they are wanted.
        say: prints a line.

    Raises:
        DiskError: the files cannot be written.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        names: OutputNames,
        head: Mapping[str, Any],
        coco: CocoRowsFiles | None,
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._names = names
        self._say = say
        self.num_read = self.num_skipped = 0
        self.num_detections: collections.Counter[str] = collections.Counter()
        self.first_error = ""
        self._video: tuple[Source, VideoWriting] | None = None
        self._coco = coco
        with disk_errors(folder):
            # The last brace stands after the images.
            opened = to_json(head).decode()[:-1] + ', "images": ['
            self._rows = JsonRows(folder / DETECTIONS, opened, "]}")

    def take(self, item: Finished) -> None:
        """Takes the next image.

        Raises:
            DiskError: the files cannot be written.
        """
        with disk_errors(self._folder):
            self._rows.add(item.entry)
            if item.detections is None:
                self.num_skipped += 1
                self.first_error = self.first_error or item.entry["error"]
                self._say(f"skipped: {item.entry['error']}")
                return
            self.num_read += 1
            self.num_detections.update(row["label"] for row in item.entry["detections"])
            if self._coco:
                self._coco.add(item.frame, item.detections)
            if item.drawn is not None:
                self._video_of(item.frame.source).add(item.drawn)

    def _video_of(self, source: Source) -> VideoWriting:
        if self._video is None or self._video[0] != source:
            self._close_video()
            _, frames_per_second = video_reader.facts(source)
            path = self._folder / (self._names.of_source(source) + SUFFIX)
            self._video = source, VideoWriting(path, frames_per_second)
        return self._video[1]

    def _close_video(self) -> None:
        if self._video:
            _, video = self._video
            self._video = None
            video.close()

    def close(self) -> None:
        """Gives detections.json, and whatever else is not yet closed, its name.

        Raises:
            DiskError: that cannot be done.
        """
        with disk_errors(self._folder):
            try:
                self._rows.close()
                if self._coco:
                    self._coco.close()
            finally:
                self._close_video()
