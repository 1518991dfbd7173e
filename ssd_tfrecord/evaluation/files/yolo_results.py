"""YOLO's text files with confidences: one per image, a line per detection, in fractions."""

import dataclasses
import os

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.files.outside_detections import (
    MALFORMED,
    OutsideDetections,
    RowCollector,
    quoted,
)
from ssd_tfrecord.evaluation.files.result_folders import (
    last_numbers,
    read_rows,
    stem_of,
    text_names,
)
from ssd_tfrecord.records.sources.layouts.yolo_labels import read_text
from ssd_tfrecord.records.sources.names import normal_name

FORM = "<image>.txt with lines of class x y width height confidence, in fractions of the image"
# The names of the classes, one per line: `detect` writes it beside the folder "labels", labelImg in
# it.
_CLASSES_FILE, _LABELS = "classes.txt", "labels"
_MAX_BYTES = 2**22
# Other tools put the confidence second. Nothing tells the two orders apart for certain, so only
# that of ultralytics (save_txt=True save_conf=True) and Darknet's labels is read.
_WANTED = (
    "must be class x y width height confidence, in this order: the number of the class, the centre "
    "and the size of the box as fractions of the image, and a confidence from 0 to 1 (ultralytics: "
    "save_conf=True)"
)


def read(path: str, *, named: bool = True) -> OutsideDetections:
    """Reads the files of all images.

    Args:
        path: the folder.
        named: whether classes are called as a classes.txt says, if there is one, rather than by
            their numbers from 0.

    Raises:
        InputError: there is no such file, one cannot be read, or most rows are faulty.
    """
    names, notes = text_names(path)
    names = [name for name in names if os.path.basename(name) != _CLASSES_FILE]
    if not names:
        raise InputError(f"{path}: has no {FORM}")
    rows = RowCollector(path, _WANTED, in_fractions=True)
    rows.notes.extend(notes)
    for name in names:
        file, key = os.path.join(path, name), stem_of(name)
        rows.add_key(key)
        for index, line in read_rows(file):
            where = f"{file}: line {index}"
            found = last_numbers(line, 5)
            number = class_number(found[0]) if found else None
            if found is None or number is None:
                rows.drop(where, MALFORMED, quoted(line))
                continue
            x, y, width, height, score = found[1]
            box = (y - height / 2, x - width / 2, y + height / 2, x + width / 2)
            rows.add(where, key, number, box, score)
    found_rows = rows.result()
    class_names = _class_names(path) if named else []
    words = (
        class_names[word] if isinstance(word, int) and word < len(class_names) else word
        for word in found_rows.words
    )
    return dataclasses.replace(found_rows, words=tuple(words))


def _class_names(path: str) -> list[str]:
    """The names in the classes.txt of a folder; none if there is no such file, or it has gaps."""
    above = os.path.dirname(os.path.abspath(path))
    folders = [path, above] if os.path.basename(os.path.abspath(path)) == _LABELS else [path]
    files = (os.path.join(folder, _CLASSES_FILE) for folder in folders)
    file = next(filter(os.path.lexists, files), None)
    lines = read_text(file, _MAX_BYTES).splitlines() if file else []
    names = [normal_name(line) for line in lines]
    return names if all(names) and len({*names}) == len(names) else []


def class_number(text: str) -> int | None:
    """The number of a class; None if ``text`` is none. Some tools write 3.0."""
    text = text.removesuffix(".0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
