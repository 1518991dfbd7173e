"""One YOLO label file: a line for each object, "class cx cy width height" in fractions.

The lines of segmentation (class x1 y1 x2 y2 …), of turned boxes (class and four corners) and of
keypoints (a box and more) are read too; see https://docs.ultralytics.com/datasets.
"""

import os
import re
import stat
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.rejects import POLYGON, ROTATION
from ssd_tfrecord.records.sources import shapes
from ssd_tfrecord.records.sources.layouts.collector import number, quoted
from ssd_tfrecord.records.sources.shapes import Box

# Room for 50,000 objects.
MAX_BYTES = 2**22
_WANTED = "must be class cx cy width height, or class x1 y1 x2 y2 x3 y3 … of a polygon"
_A_LINE = re.compile(r"\S+(\s+[-+.\deE]+){4,}\s*")


@dataclass(frozen=True)
class Line:
    """One line: ``word`` is its class, as written; ``box`` is in fractions, or None.

    ``problem`` says why there is no box. ``shape`` is POLYGON or ROTATION if the box is the one
    around it, else "". ``extra`` says whether there is a sixth number: a confidence or an id.
    """

    number: int
    word: str
    box: Box | None
    problem: str = ""
    shape: str = ""
    extra: bool = False


def read_labels(path: str, num_keypoint_values: int = 0) -> tuple[Line, ...]:
    """Reads a label file; an empty one has no lines.

    Args:
        path: the file.
        num_keypoint_values: how many numbers of keypoints follow the box of each line.

    Raises:
        InputError: the file cannot be read or is too large, or is not text.
    """
    text = read_text(path, MAX_BYTES)
    lines = ((index, line.split()) for index, line in enumerate(text.splitlines(), 1))
    return tuple(_line(index, words, num_keypoint_values) for index, words in lines if words)


def looks_like_labels(path: str) -> bool | None:
    """Returns whether a file has the form of labels, judged by its beginning; None if it is empty.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            beginning = file.read(2**12)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    lines = beginning.splitlines()
    # The last line may be cut off.
    lines = [line for line in lines[:-1] or lines if line.strip()]
    return any(_A_LINE.fullmatch(line.strip()) for line in lines) if lines else None


def read_text(path: str, max_bytes: int) -> str:
    """Reads a text of UTF-8, with or without a byte order mark.

    Args:
        path: the file.
        max_bytes: the largest size.

    Raises:
        InputError: it cannot be read, is larger, or is not such a text.
    """
    try:
        status = os.stat(path)
        # Opening a pipe would wait for its writer.
        if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
            raise InputError(f"{path}: must be a file of at most {max_bytes} bytes")
        with open(path, "rb") as file:
            # The limit holds again here, since the file may have grown.
            return file.read(max_bytes).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: must be text in UTF-8") from None


def _line(index: int, words: list[str], num_keypoint_values: int) -> Line:
    word, *texts = words
    if num_keypoint_values and len(texts) == 4 + num_keypoint_values:
        texts = texts[:4]
    values = [value for value in map(number, texts) if value is not None]
    if len(values) != len(texts):
        return Line(index, word, None, f"{quoted(' '.join(words))}: {_WANTED}")
    if len(values) in (4, 5):
        x, y, width, height = values[:4]
        box = (y - height / 2, x - width / 2, y + height / 2, x + width / 2)
        return Line(index, word, box, extra=len(values) == 5)
    # An even number of values: x and y in turn. Four corners are a turned box; a polygon of four
    # points looks the same, and the box around it too.
    if len(values) < 6 or len(values) % 2:
        return Line(index, word, None, f"has {len(words)} columns: {_WANTED}")
    around = shapes.around_points(zip(values[::2], values[1::2]))
    if around is None:
        return Line(index, word, None, f"{quoted(' '.join(words))}: must have finite numbers")
    return Line(index, word, around, shape=ROTATION if len(values) == 8 else POLYGON)
