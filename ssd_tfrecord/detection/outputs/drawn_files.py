"""Pictures with boxes, and objects cut out, as JPEGs."""

import collections
import io
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from PIL import Image

from ssd_tfrecord.detection.detections import Detections, file_names, pixel_boxes
from ssd_tfrecord.detection.outputs.output_folder import CROPS, write_bytes
from ssd_tfrecord.records.images.stored_image import MAX_JPEG_SIDE

_CROP = re.compile(r"(.+)-[0-9]+\.jpg", re.DOTALL)
# More than stands before a JPEG's comment.
_HEAD_BYTES = 2**18


def write_picture(path: pathlib.Path, picture: Image.Image, comment: bytes = b"") -> None:
    """Writes a JPEG, made smaller if a side is longer than a JPEG's can be.

    Args:
        path: of the file.
        picture: it.
        comment: to write into the file; without one, the picture's own is kept.

    Raises:
        OSError: it cannot be written.
    """
    if max(picture.size) > MAX_JPEG_SIDE:
        picture = picture.copy()
        picture.thumbnail((MAX_JPEG_SIDE, MAX_JPEG_SIDE))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=92, **({"comment": comment} if comment else {}))
    write_bytes(path, content.getvalue())


class Crops:
    """``crops/<class>/<name>-<k>.jpg``: the k-th object of an image, cut out.

    Those that an earlier run has written of an image are gone once it is written again, as its
    other files are replaced. What else lies there stays: a crop says in its comment which it is.

    Args:
        folder: the output folder.
        class_names: of the labels 1, 2, ….

    Raises:
        OSError: the folders cannot be made.
    """

    def __init__(self, folder: pathlib.Path, class_names: Sequence[str]) -> None:
        self._earlier = _crops_in(folder / CROPS)
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
        written = set()
        for number, ((ymin, xmin, ymax, xmax), label) in enumerate(zip(boxes, found.labels), 1):
            left, top = min(int(xmin), image.width - 1), min(int(ymin), image.height - 1)
            right, bottom = max(left + 1, -int(-xmax // 1)), max(top + 1, -int(-ymax // 1))
            crop = image.crop((left, top, right, bottom))
            path = self._folders[label - 1] / f"{name}-{number}.jpg"
            write_picture(path, crop, _comment(path))
            written.add(path)
        for path in self._earlier.get(name, ()):
            if path not in written and _is_ours(path):
                path.unlink(missing_ok=True)


def _crops_in(folder: pathlib.Path) -> Mapping[str, Sequence[pathlib.Path]]:
    """Files that may be crops, by the names of their images; none where links lead."""
    found: dict[str, list[pathlib.Path]] = collections.defaultdict(list)
    if folder.is_dir() and not folder.is_symlink():
        for class_folder in (path for path in folder.iterdir() if not path.is_symlink()):
            names = os.listdir(class_folder) if class_folder.is_dir() else ()
            for match in filter(None, map(_CROP.fullmatch, names)):
                found[match[1]].append(class_folder / match[0])
    return found


def _comment(path: pathlib.Path) -> bytes:
    # With its place: a crop that somebody has moved to another class, or renamed, stays.
    return f"ssd_tfrecord.detect {path.parent.name}/{path.name}".encode()


def _is_ours(path: pathlib.Path) -> bool:
    """Whether ``write`` has written the file, and at this place."""
    if path.is_symlink() or not path.is_file():
        return False
    comment = _comment(path)
    # As a segment of a JPEG: ITU T.81, B.2.4.5.
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    with path.open("rb") as file:
        return segment in file.read(_HEAD_BYTES)
