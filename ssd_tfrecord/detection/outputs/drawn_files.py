"""Pictures with boxes, and objects cut out, as JPEGs."""

import io
import pathlib
from collections.abc import Sequence

from PIL import Image

from ssd_tfrecord.detection.detections import Detections, file_names, pixel_boxes
from ssd_tfrecord.detection.outputs.output_folder import write_bytes
from ssd_tfrecord.records.images.stored_image import MAX_JPEG_SIDE

CROPS = "crops"


def write_picture(path: pathlib.Path, picture: Image.Image) -> None:
    """Writes a JPEG, made smaller if a side is longer than a JPEG's can be.

    Raises:
        OSError: it cannot be written.
    """
    if max(picture.size) > MAX_JPEG_SIDE:
        picture = picture.copy()
        picture.thumbnail((MAX_JPEG_SIDE, MAX_JPEG_SIDE))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=92)
    write_bytes(path, content.getvalue())


class Crops:
    """``crops/<class>/<name>-<k>.jpg``: the k-th object of an image, cut out.

    Args:
        folder: the output folder.
        class_names: of the labels 1, 2, ….

    Raises:
        OSError: the folders cannot be made.
    """

    def __init__(self, folder: pathlib.Path, class_names: Sequence[str]) -> None:
        self._folders = [folder / CROPS / name for name in file_names(class_names)]
        for class_folder in self._folders:
            class_folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, image: Image.Image, found: Detections) -> None:
        """Writes those of one image.

        Args:
            name: of the image in file names.
            image: it.
            found: its detections.

        Raises:
            OSError: they cannot be written.
        """
        # All pixels that a box touches; one at least, however small the box is.
        boxes = pixel_boxes(found.boxes, found.height, found.width)
        for number, ((ymin, xmin, ymax, xmax), label) in enumerate(zip(boxes, found.labels), 1):
            left, top = min(int(xmin), image.width - 1), min(int(ymin), image.height - 1)
            right, bottom = max(left + 1, -int(-xmax // 1)), max(top + 1, -int(-ymax // 1))
            crop = image.crop((left, top, right, bottom))
            write_picture(self._folders[label - 1] / f"{name}-{number}.jpg", crop)
