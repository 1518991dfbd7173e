"""What becomes of an image: its entry of detections.json, and the files that are its own."""

import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ssd_tfrecord.detection import best_thresholds, ground_truth, pictures
from ssd_tfrecord.detection.detections import Detections, json_entry
from ssd_tfrecord.detection.ground_truth import AnnotatedObject
from ssd_tfrecord.detection.outputs import drawn_files, voc_drafts
from ssd_tfrecord.detection.outputs.drawn_files import Crops
from ssd_tfrecord.detection.outputs.output_folder import disk_errors
from ssd_tfrecord.detection.outputs.output_names import OutputNames
from ssd_tfrecord.detection.outputs.video_writing import SUFFIX
from ssd_tfrecord.detection.outputs.yolo_text import YoloText
from ssd_tfrecord.detection.sources.frame_readers import Frame
from ssd_tfrecord.detection.stream import Seen

# The annotated objects of an image; None if it has no annotation.
Annotated = Callable[[pathlib.Path], Sequence[AnnotatedObject] | None]


@dataclass(frozen=True)
class Kinds:
    """Which files are written for each image: the flags of these names."""

    pictures: bool
    save_txt: bool
    save_voc: bool
    save_crops: bool

    @property
    def need_images(self) -> bool:
        """Whether the images themselves are needed."""
        return self.pictures or self.save_crops


@dataclass(frozen=True)
class Finished:
    """An image whose own files are written; ``drawn`` is the picture of a video's frame."""

    frame: Frame
    entry: dict[str, Any]
    detections: Detections | None
    drawn: np.ndarray | None = None


class ImageOutputs:
    """Writes the files of one image, in any thread.

    Args:
        folder: the output folder.
        names: of the files.
        class_names: of the labels 1, 2, ….
        kinds: which files to write.
        annotated: the annotated objects to draw beside the detections.
        thresholds: float64 [C] and the number of detections to keep; None: all are kept.

    Raises:
        DiskError: the folders cannot be made.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        names: OutputNames,
        class_names: Sequence[str],
        *,
        kinds: Kinds,
        annotated: Annotated = lambda path: None,
        thresholds: tuple[np.ndarray, int] | None = None,
    ) -> None:
        self._folder = folder
        self._names = names
        self._class_names = class_names
        self._kinds = kinds
        self._annotated = annotated
        self._thresholds = thresholds
        with disk_errors(folder):
            self._text = YoloText(folder, class_names) if kinds.save_txt else None
            self._crops = Crops(folder, class_names) if kinds.save_crops else None
            if kinds.save_voc:
                (folder / voc_drafts.ANNOTATIONS).mkdir(parents=True, exist_ok=True)

    def finish(self, seen: Seen) -> Finished:
        """Writes the files of an image.

        Raises:
            DiskError: they cannot be written.
        """
        frame, found = seen.frame, seen.detections
        if found is None:
            return Finished(frame, {"image": frame.name, "error": seen.error}, None)
        if self._thresholds:
            found = best_thresholds.keep(found, *self._thresholds)
        entry, name = json_entry(found, self._class_names), self._names.of(frame)
        if frame.seconds is not None:
            entry["seconds"] = round(frame.seconds, 3)
        drawn = None
        with disk_errors(self._folder):
            if self._kinds.pictures and seen.image is not None:
                picture = self._picture(seen, found)
                if frame.source.kind == "image":
                    entry["picture"] = f"{name}.jpg"
                    drawn_files.write_picture(self._folder / f"{name}.jpg", picture)
                else:
                    entry["picture"] = self._names.of_source(frame.source) + SUFFIX
                    drawn = np.asarray(picture)
            self._write(seen, found, name)
        return Finished(frame, entry, found, drawn)

    def _picture(self, seen: Seen, found: Detections) -> Image.Image:
        """The image with its detections, beside the ground truth if there is one."""
        image, names = seen.image, self._class_names
        if image is None:
            raise ValueError(f"{seen.frame.name}: the image is not there to be drawn")
        picture = pictures.draw_detections(image, found, names)
        objects = self._annotated(seen.frame.source.path)
        if objects is None or seen.frame.source.kind != "image":
            return picture
        truth, names = ground_truth.from_objects(objects, image.height, image.width, names)
        return pictures.side_by_side(picture, pictures.draw_ground_truth(image, truth, names))

    def _write(self, seen: Seen, found: Detections, name: str) -> None:
        if self._text:
            self._text.write(name, found)
        if self._kinds.save_voc:
            path = seen.frame.source.path
            # A frame has no file but the picture of it.
            path = path.with_name(f"{name}.jpg") if seen.frame.number else path
            voc_drafts.write_xml(self._folder, name, path, found, self._class_names)
        if self._crops and seen.image is not None:
            self._crops.write(name, seen.image, found)
