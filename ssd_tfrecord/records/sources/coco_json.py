"""One COCO instances JSON: its entries, read one by one and kept on disk."""

import collections
import json
import os
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes.progress import bar
from ssd_tfrecord.records.sources import json_items
from ssd_tfrecord.records.sources.paths import printable
from ssd_tfrecord.records.sources.spool import Codec, Spool

_WANTED = "must be an instances JSON: images, annotations with bbox, categories"

# An entry of one of the lists, as JSON has it.
Entry = dict[str, Any]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Kind(Generic[Value]):
    """The types that a value may have, and the words for them in messages."""

    types: tuple[type, ...]
    words: str

    def holds(self, value: object) -> bool:
        """Returns whether ``value`` has one of the types; bool does not count as int."""
        return isinstance(value, self.types) and not isinstance(value, bool)


WHOLE: Kind[int] = Kind((int,), "a whole number")
NUMBER: Kind[float] = Kind((int, float), "a number")
TEXT: Kind[str] = Kind((str,), "a string")
BBOX: Kind[list[Any]] = Kind((list,), "[x, y, width, height] in pixels")
_IMAGE_ID: Kind[int | str] = Kind((int, str), "a whole number or a string")
# COCO's other kinds of files, by a key that only their annotations have.
_OTHER_FILES = {"segments_info": "panoptic", "caption": "captions"}
# What is kept of an entry: most of the file is polygons, which are not used.
_KEPT = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd"),
    "categories": ("id", "name"),
}
# How the long lists are stored, and what their entries are found by: the image's id, which _entry
# has checked.
_CODECS: dict[str, Codec[Entry]] = {
    "images": Codec(lambda entry: str(entry["id"]), json.dumps, json.loads),
    "annotations": Codec(lambda entry: str(entry["image_id"]), json.dumps, json.loads),
}


@dataclass(frozen=True)
class CocoFile:
    """The lists of an instances JSON.

    ``images`` and ``annotations`` are found by their image's id as a string. All have that id;
    their other values have not been checked. ``categories`` is {category id: name}, sorted by id.
    ``annotations`` is None if the file has no such list.
    """

    images: Spool[Entry]
    annotations: Spool[Entry] | None
    categories: Mapping[int, str]


def read_coco_json(path: str) -> CocoFile:
    """Reads the lists of an instances JSON.

    Args:
        path: the file.

    Raises:
        InputError: it cannot be read, is not such a JSON, or has a faulty entry.
    """
    # A pipe would be waited for.
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"--annotations={path}: must be a file")
    try:
        spools, categories = _read_lists(path)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"--annotations={path}: cannot be read: {error.strerror}") from None
    except json_items.NoObjectError as error:
        hint = "; this is a list, as in a file of results" if error.found == "[" else ""
        raise InputError(f"{path}: not a JSON object: {_WANTED}{hint}") from None
    except UnicodeDecodeError as error:
        # Without its position, which is only that in a chunk of the file.
        byte = error.object[error.start]
        raise InputError(
            f"{path}: not valid JSON: byte {byte:#04x}: must be text in UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from None
    if "images" not in spools or categories is None:
        missing = "categories" if "images" in spools else "images"
        raise InputError(f"{path}: no {missing!r} list: {_WANTED}")
    return CocoFile(spools["images"], spools.get("annotations"), _categories(path, categories))


def _read_lists(path: str) -> tuple[dict[str, Spool[Entry]], list[Entry] | None]:
    """Returns ({key: entries} of the long lists that the file has, its categories or None)."""
    spools: dict[str, Spool[Entry]] = {}
    categories: list[Entry] | None = None
    with (
        open(path, encoding="utf-8-sig") as file,
        bar(os.path.getsize(path), "B", "annotations") as progress,
    ):
        decoder = json.JSONDecoder(object_pairs_hook=_mapping)
        for key, value, is_item in json_items.read_items(file, decoder, progress.update):
            # null is the same as no list: the images are without objects.
            if key not in _KEPT or (key == "annotations" and value is None and not is_item):
                continue
            entries: Spool[Entry] | list[Entry]
            if key == "categories":
                entries = categories = [] if categories is None else categories
            else:
                if key not in spools:
                    spools[key] = Spool(_CODECS[key])
                entries = spools[key]
            # An empty list is there, but has nothing to append.
            if is_item or value != []:
                entries.append(_entry(path, key, value, is_item, not entries))
    return spools, categories


def _entry(path: str, key: str, value: object, is_item: bool, is_first: bool) -> Entry:
    """Checks ``value`` as far as storing it needs, and returns what is kept of it."""
    if not (is_item and isinstance(value, dict)):
        raise InputError(f"{path}: no {key!r} list: {_WANTED}")
    if key == "images":
        field(f"{path}: images", value, "id", _IMAGE_ID)
    elif key == "annotations":
        if is_first:
            _refuse_other_files(path, value)
        field(place(path, value), value, "image_id", _IMAGE_ID)
    return {name: value[name] for name in _KEPT[key] if name in value}


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Called for each object. json itself would silently take the last of two equal keys.
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        counts = collections.Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"duplicate key {reprlib.repr(twice)} in an object")
    return mapping


def _refuse_other_files(path: str, first: Entry) -> None:
    for key, kind in _OTHER_FILES.items():
        if key in first and "bbox" not in first:
            raise InputError(f"{path}: {_WANTED}; this is a {kind} file")


def _categories(path: str, entries: Iterable[Entry]) -> dict[int, str]:
    categories: dict[int, str] = {}
    names: set[str] = set()
    for entry in entries:
        where = f"{path}: category {reprlib.repr(entry.get('name', '?'))}"
        category_id, name = field(where, entry, "id", WHOLE), field(where, entry, "name", TEXT)
        if not name.strip():
            raise InputError(f"{where}: name must not be blank")
        if category_id in categories or name in names:
            key = f"id {category_id}" if category_id in categories else "name"
            raise InputError(f"{where}: duplicate {key}; ids and names must be unique")
        categories[category_id] = name
        names.add(name)
    # Labels follow this order.
    return dict(sorted(categories.items()))


def place(path: str, annotation: Entry) -> str:
    """Returns where an annotation of the file ``path`` is, for messages."""
    return f"{path}: annotation {reprlib.repr(annotation.get('id', '?'))}"


def field(where: str, entry: Entry, key: str, kind: Kind[Value]) -> Value:
    """Returns a value of an entry.

    Args:
        where: begins the message of an error.
        entry: of one of the lists.
        key: of the value.
        kind: what the value must be, such as TEXT.

    Raises:
        InputError: there is no such value, or it is of another kind.
    """
    value = entry.get(key)
    if value is None:
        raise InputError(f"{where}: no {key!r}: {_WANTED}")
    if not kind.holds(value) or _is_broken(value):
        raise InputError(f"{where}: {key} {reprlib.repr(value)}: must be {kind.words}")
    return value


def _is_broken(value: object) -> bool:
    """Returns whether ``value`` has a lone surrogate, which JSON can spell but UTF-8 cannot."""
    return isinstance(value, str) and not value.isascii() and printable(value) != value
