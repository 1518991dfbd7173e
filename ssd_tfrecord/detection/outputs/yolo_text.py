"""Detections as YOLO's text files: one for each image, classes by number."""

import pathlib
from collections.abc import Sequence

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.outputs.output_folder import write_bytes

LABELS = "labels"
CLASSES = "classes.txt"


class YoloText:
    """``labels/<name>.txt``, and ``classes.txt`` beside ``labels``.

    A line is ``class x y width height score``: class i from 0 is line i + 1 of classes.txt; x and
    y are the centre; all are fractions of the image.

    Args:
        folder: the output folder.
        class_names: of the labels 1, 2, ….

    Raises:
        OSError: they cannot be written.
    """

    def __init__(self, folder: pathlib.Path, class_names: Sequence[str]) -> None:
        self._folder = folder / LABELS
        self._folder.mkdir(parents=True, exist_ok=True)
        # One line each, whatever a name holds.
        lines = (" ".join(name.split()) for name in class_names)
        text = "".join(f"{line}\n" for line in lines)
        write_bytes(folder / CLASSES, text.encode(errors="backslashreplace"))

    def write(self, name: str, found: Detections) -> None:
        """Writes the detections of one image.

        Args:
            name: of the image in file names.
            found: its detections; without any, the file is empty.

        Raises:
            OSError: it cannot be written.
        """
        lines = []
        for box, label, score in zip(found.boxes.astype(float), found.labels, found.scores):
            ymin, xmin, ymax, xmax = box
            place = ((xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin)
            numbers = " ".join(f"{number:.6f}" for number in (*place, score))
            lines.append(f"{label - 1} {numbers}\n")
        write_bytes(self._folder / f"{name}.txt", "".join(lines).encode())
