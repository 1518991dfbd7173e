"""COCO's results.json, and detections.json of `detect`: read entry by entry."""

import dataclasses
import json
import os
import stat
from collections.abc import Mapping
from typing import Any, TextIO, TypeGuard, cast

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.files.outside_detections import (
    MALFORMED,
    MAX_ROWS,
    OutsideDetections,
    RowCollector,
    quoted,
    to_float,
)
from ssd_tfrecord.records.sources.coco_files import json_items
from ssd_tfrecord.records.sources.coco_files.coco_categories import id_of
from ssd_tfrecord.records.sources.coco_files.coco_json import key_of
from ssd_tfrecord.records.sources.names import normal_name
from ssd_tfrecord.records.sources.paths import printable
from ssd_tfrecord.records.sources.text_files import open_text

FORM = "a COCO results.json"
FILE = "results.json"
# What `detect` writes beside: the categories, and the names of the images' files.
_IMAGES_FILE = "images.json"
_WANTED = (
    "must be {image_id, category_id, bbox: [x, y, width, height], score}, in pixels and with a "
    "score from 0 to 1"
)
_IMAGE_WANTED = "must be {image, detections: [{label, score, box}]}, as `detect` writes it"
# Lists of an object that may hold detections; "images" does in detections.json.
_LISTS = ("annotations", "detections", "results", "predictions", "images")
_NO_IMAGE = key_of(None)
# What numbers of JSON become; bool, which is a subtype of int, is none.
_NUMBERS = frozenset({int, float})
# The list that a file consists of is read as that of an object with this key.
_WHOLE = "annotations"


def read(path: str, *, named: bool = True) -> OutsideDetections:
    """Reads a list of results, or an object with one; images are known by their ids.

    Classes are category ids, or names where the file, or an images.json beside results.json, lists
    its ``categories``; so may it list its ``images`` with the names of their files. In
    detections.json, images are known by their files' names, and classes by name.

    Args:
        path: the file, which may be gzipped; or a folder with results.json.
        named: whether the names of ``categories`` are used, if they are there.

    Raises:
        InputError: it cannot be read, has no such list, or most of its entries are faulty.
    """
    if os.path.isdir(path):
        path = os.path.join(path, FILE)
    reading = _Reading(path)
    _read_file(path, reading)
    beside = os.path.join(os.path.dirname(path), _IMAGES_FILE)
    if os.path.basename(path) == FILE and os.path.lexists(beside):
        _read_file(beside, reading)
    return reading.result(named)


def _read_file(path: str, reading: "_Reading") -> None:
    try:
        # Opening a pipe would wait for its writer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{path}: must be a file")
        with open_text(path) as file:
            reading.read(path, file)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: must be JSON in UTF-8") from None
    except json_items.NoObjectError:
        raise InputError(f"{path}: must be JSON, a list of results: {_WANTED}") from None
    except (ValueError, RecursionError) as error:
        # Without its position, which is that in the object made of the list.
        reason = str(error).partition(" (character")[0]
        raise InputError(
            f"{path}: cannot be read as JSON behind entry {reading.num_entries}: {reason}"
        ) from None


class _Reading:
    """The file at ``path``, and another beside it, as far as they have been read."""

    def __init__(self, path: str) -> None:
        self.num_entries = 0
        self._path, self._rows = path, RowCollector(path, _WANTED)
        # {category id: name}, and {image id: name of its file}
        self._names: dict[int, str] = {}
        self._files: dict[str, str] = {}
        self._has_results = False

    def read(self, path: str, file: TextIO) -> None:
        """Reads all of ``file``; may raise what ``json_items.read_items`` raises."""
        self.num_entries = 0
        items = json_items.read_items(cast(TextIO, _AsObject(file)), json.JSONDecoder())
        for key, value, is_item in items:
            self.num_entries += is_item
            if key == "categories" and is_item:
                _add_name(self._names, value)
            elif key in _LISTS and is_item:
                where = f"{path}: entry {self.num_entries}"
                is_result = _add_entry(self._rows, where, key, value)
                self._has_results |= is_result
                if not is_result:
                    self._add_file(value)
            elif key in _LISTS and key != "images":
                # An empty list of results is one.
                self._has_results |= value == []

    def _add_file(self, value: object) -> None:
        fields = value if isinstance(value, dict) else {}
        image, name = key_of(fields.get("id")), fields.get("file_name")
        if image != _NO_IMAGE and isinstance(name, str) and name.strip():
            self._files.setdefault(image, printable(name))
        if len(self._files) > MAX_ROWS // 4:
            raise InputError(f"{self._path}: must have at most {MAX_ROWS // 4} images")

    def result(self, named: bool) -> OutsideDetections:
        """What has been read; if ``named``, with names of classes that the file itself gives."""
        if not self._has_results:
            raise InputError(f"{self._path}: has no list of results: {_WANTED}")
        found = dataclasses.replace(self._rows.result(), files=self._files)
        names = self._names if named else {}
        words = (names.get(word, word) if isinstance(word, int) else word for word in found.words)
        return dataclasses.replace(found, words=tuple(words))


def _add_entry(rows: RowCollector, where: str, key: str, value: object) -> bool:
    """Adds an entry of a list; returns whether it is of a list of results."""
    fields = value if isinstance(value, dict) else {}
    if "image_id" not in fields and "detections" in fields:
        _add_image(rows, where, fields)
    # `detect` could not read that image.
    elif not ("image" in fields and "error" in fields):
        # The images of an instances JSON say nothing here.
        if key == "images":
            return False
        _add_result(rows, where, fields or value)
    return True


def _add_result(rows: RowCollector, where: str, value: object) -> None:
    """Adds an entry of a list of results."""
    fields = value if isinstance(value, dict) else {}
    image, category = key_of(fields.get("image_id")), id_of(fields.get("category_id"))
    rectangle, score = _four(fields.get("bbox")), fields.get("score")
    if image == _NO_IMAGE or category is None or rectangle is None or not _is_number(score):
        rows.drop(where, MALFORMED, quoted(value))
        return
    x, y, width, height = rectangle
    box = (y, x, y + height, x + width)
    rows.add(where, image, category, box, to_float(score))


def _add_image(rows: RowCollector, where: str, fields: Mapping[str, Any]) -> None:
    """Adds the detections of an entry of detections.json."""
    image, items = fields.get("image"), fields["detections"]
    if not (isinstance(image, str) and isinstance(items, list)):
        rows.drop(where, MALFORMED, f"{quoted(fields)} ({_IMAGE_WANTED})")
        return
    image = printable(image)
    rows.add_key(image)
    for item in items:
        one = item if isinstance(item, dict) else {}
        name, score, box = one.get("label"), one.get("score"), _four(one.get("box"))
        if not isinstance(name, str) or not _is_number(score) or box is None:
            rows.drop(where, MALFORMED, f"{quoted(item)} ({_IMAGE_WANTED})")
            continue
        xmin, ymin, xmax, ymax = box
        rows.add(where, image, printable(name), (ymin, xmin, ymax, xmax), to_float(score))


def _add_name(names: dict[int, str], value: object) -> None:
    if isinstance(value, dict):
        category, name = id_of(value.get("id")), value.get("name")
        if category is not None and isinstance(name, str):
            names.setdefault(category, normal_name(printable(name)))


def _four(value: object) -> list[float] | None:
    """Four numbers, or None."""
    if isinstance(value, list) and len(value) == 4 and _NUMBERS.issuperset(map(type, value)):
        return [to_float(edge) for edge in value]
    return None


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) in _NUMBERS


class _AsObject:
    """A text that is a JSON object: that of ``file``, or one that has the file's list alone."""

    def __init__(self, file: TextIO) -> None:
        begin = file.read(2**10)
        is_list = begin.lstrip(" \t\r\n")[:1] == "["
        self._begin = f'{{"{_WHOLE}": {begin}' if is_list else begin
        self._end = "}" if is_list else ""
        self._file = file

    def read(self, count: int) -> str:
        """Returns about ``count`` of the next characters, or "" at the end."""
        found = self._begin or self._file.read(count)
        self._begin = ""
        if not found:
            found, self._end = self._end, ""
        return found
