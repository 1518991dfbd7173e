"""Detections for COCO's tools: results.json, and the images and categories that its ids mean."""

import pathlib
import re
from collections.abc import Sequence

from ssd_tfrecord.detection.detections import Detections, pixel_rectangles
from ssd_tfrecord.detection.outputs.json_rows import JsonRows, to_json
from ssd_tfrecord.detection.sources.frame_readers import Frame
from ssd_tfrecord.detection.sources.source_list import Source

RESULTS, IMAGES = "results.json", "images.json"
# What fits into 64 bits, as other tools have it.
_NUMBER = re.compile(r"[0-9]{1,18}")


class CocoRowsFiles:
    """results.json, and images.json: {categories, images}.

    The id of an image is the number that its file is named by, as COCO's 000000000139.jpg is, if
    every file is named by a number of its own; else 1, 2, … in their order.

    Args:
        folder: the output folder.
        sources: all of them.
        class_names: of the labels 1, 2, ….
        original_ids: category ids of the labels 1, 2, ….

    Raises:
        OSError: they cannot be written.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        sources: Sequence[Source],
        class_names: Sequence[str],
        original_ids: Sequence[int],
    ) -> None:
        stems = [source.stem if source.kind == "image" else "" for source in sources]
        numbers = [int(stem) if _NUMBER.fullmatch(stem) else -1 for stem in stems]
        self._by_name = -1 not in numbers and len({*numbers}) == len(numbers)
        self._original_ids = original_ids
        categories = [{"id": i, "name": name} for i, name in zip(original_ids, class_names)]
        head = '{"categories": ' + to_json(categories).decode() + ', "images": ['
        self._images = JsonRows(folder / IMAGES, head, "]}")
        self._results = JsonRows(folder / RESULTS)

    def add(self, frame: Frame, found: Detections) -> None:
        """Adds an image and its detections.

        Args:
            frame: the image.
            found: its detections.

        Raises:
            OSError: they cannot be written.
        """
        # A frame of an animation has no number of its own: they go on behind it.
        by_name = self._by_name and not frame.number
        number = int(frame.source.stem) if by_name else self._images.num_rows + 1
        size = {"width": found.width, "height": found.height}
        self._images.add({"id": number, "file_name": frame.name, **size})
        boxes = pixel_rectangles(found.boxes, found.height, found.width).tolist()
        for box, label, score in zip(boxes, found.labels, found.scores.tolist()):
            category = self._original_ids[label - 1]
            self._results.add(
                {"image_id": number, "category_id": category, "bbox": box, "score": score}
            )

    def close(self) -> None:
        """Gives the files their names.

        Raises:
            OSError: that cannot be done.
        """
        self._images.close()
        self._results.close()
