"""Which tool's files a path holds: the kinds that --detections takes, told apart by content."""

import itertools
import os
import stat
from collections.abc import Iterable

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.files import cartucho, coco_results, comp4, yolo_results
from ssd_tfrecord.evaluation.files.result_folders import last_numbers, read_rows, text_names

COCO, VOC, CARTUCHO, YOLO = "coco", "voc", "cartucho", "yolo"
# Files that are looked into, and lines of each.
_NUM_FILES, _NUM_LINES = 50, 20
_FORMS = (coco_results.FORM, f"a folder of {comp4.FORM}", cartucho.FORM, yolo_results.FORM)


def recognise(path: str) -> str:
    """Returns the kind of the detections at ``path``: coco, voc, cartucho or yolo.

    Args:
        path: a file or folder.

    Raises:
        InputError: it is not there, or none of these.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--detections={path}: cannot be read: {reason}") from None
    if stat.S_ISREG(mode):
        return COCO
    found = _of_folder(path) if stat.S_ISDIR(mode) else ""
    if found:
        return found
    raise InputError(
        f"--detections={path}: must be {', or '.join(_FORMS)}; nothing of that kind is there. If "
        "it is one of them, pass --detections_format"
    )


def _of_folder(path: str) -> str:
    if os.path.isfile(os.path.join(path, coco_results.FILE)):
        return COCO
    if os.path.isdir(os.path.join(path, cartucho.FOLDER)):
        return CARTUCHO
    names, _ = text_names(path)
    if any(map(comp4.is_file_of, names)):
        return VOC
    return _of_lines(
        itertools.islice(read_rows(os.path.join(path, name)), _NUM_LINES) for name in names
    )


def _of_lines(files: Iterable[Iterable[tuple[int, str]]]) -> str:
    """The kind that most of the first lines have; "" if they have none of both."""
    votes = {CARTUCHO: 0, YOLO: 0}
    num_files = 0
    for rows in files:
        # Files without a line are images without detections, of which there may be many.
        kinds = [_of_line(line) for _, line in rows]
        num_files += bool(kinds)
        for kind in kinds:
            if kind:
                votes[kind] += 1
        if num_files == _NUM_FILES:
            break
    chosen = max(votes, key=lambda kind: votes[kind])
    return chosen if votes[chosen] else ""


def _of_line(line: str) -> str:
    found = last_numbers(line, 5)
    if found is None:
        return ""
    word, numbers = found
    is_number = yolo_results.class_number(word) is not None
    # Both may begin with a number; but no box in pixels lies in the first two of the image.
    return YOLO if is_number and all(abs(value) <= 2 for value in numbers) else CARTUCHO
