"""One COCO instances JSON: its entries, read one by one and kept on disk."""

import collections
import json
import os
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes.progress import bar
from ssd_tfrecord.records.sources import json_items
from ssd_tfrecord.records.sources.paths import printable
from ssd_tfrecord.records.sources.spool import Codec, Spool

_WANTED = "must be an instances JSON: images, annotations with bbox, categories"
# Types that a value may have, and how a message says them.
WHOLE = ((int,), "a whole number")
NUMBER = ((int, float), "a number")
TEXT = ((str,), "a string")
BBOX = ((list,), "[x, y, width, height] in pixels")
_IMAGE_ID = ((int, str), "a whole number or a string")
# COCO's other files, by a key that their annotations have.
_OTHER_FILES = {"segments_info": "panoptic", "caption": "captions"}
# What is kept of an entry: polygons are most of the file, and not used.
_KEPT = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd"),
    "categories": ("id", "name"),
}


@dataclass(frozen=True)
class CocoFile:
    """``images`` and ``annotations`` are dicts, found by their image's id as a string, which each
    has; other values are still to be looked at. ``categories`` is {category id: name}, by id.
    ``annotations`` is None where the file has no such list.
    """

    images: Spool
    annotations: Spool | None
    categories: Mapping[int, str]


def read_coco_json(path: str) -> CocoFile:
    """Reads the lists of an instances JSON.

    Raises:
        InputError that names the file and the entry.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"--annotations={path}: must be a file")
    try:
        lists = _read_lists(path)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"--annotations={path}: cannot be read: {error.strerror}") from None
    except json_items.NoObjectError as error:
        hint = "; this is a list, as files of results are" if error.found == "[" else ""
        raise InputError(f"{path}: no JSON object: {_WANTED}{hint}") from None
    except UnicodeDecodeError as error:
        # Its position is that in a chunk of the file.
        byte = error.object[error.start]
        raise InputError(f"{path}: no JSON: byte {byte:#04x}: must be text in UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no JSON: {error}") from None
    for key in ("images", "categories"):
        if key not in lists:
            raise InputError(f"{path}: no list of {key!r}: {_WANTED}")
    return CocoFile(
        lists["images"], lists.get("annotations"), _categories(path, lists["categories"])
    )


def _read_lists(path):
    """{key: entries} of the lists that are there."""
    kinds = {
        "images": lambda: Spool(Codec(lambda entry: str(entry["id"]), json.dumps, json.loads)),
        "annotations": lambda: Spool(
            Codec(lambda entry: str(entry["image_id"]), json.dumps, json.loads)
        ),
        "categories": list,
    }
    lists = {}
    with (
        open(path, encoding="utf-8-sig") as file,
        bar(os.path.getsize(path), "B", "annotations") as progress,
    ):
        decoder = json.JSONDecoder(object_pairs_hook=_mapping)
        for key, value, is_item in json_items.read_items(file, decoder, progress.update):
            if key not in kinds or (key == "annotations" and value is None and not is_item):
                continue
            if key not in lists:
                lists[key] = kinds[key]()
            if is_item or value != []:
                lists[key].append(_entry(path, key, value, is_item, not lists[key]))
    return lists


def _entry(path, key, value, is_item, is_first):
    """What is kept of ``value``."""
    if not (is_item and isinstance(value, dict)):
        raise InputError(f"{path}: no list of {key!r}: {_WANTED}")
    if key == "images":
        field(f"{path}: images", value, "id", _IMAGE_ID)
    elif key == "annotations":
        if is_first:
            _refuse_other_files(path, value)
        field(place(path, value), value, "image_id", _IMAGE_ID)
    return {name: value[name] for name in _KEPT[key] if name in value}


def _mapping(pairs):
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        counts = collections.Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"an object has the key {reprlib.repr(twice)} twice")
    return mapping


def _refuse_other_files(path, first):
    for key, kind in _OTHER_FILES.items():
        if key in first and "bbox" not in first:
            raise InputError(f"{path}: {_WANTED}; this is a {kind} file")


def _categories(path, entries):
    categories, names = {}, set()
    for entry in entries:
        where = f"{path}: category {reprlib.repr(entry.get('name', '?'))}"
        category_id, name = field(where, entry, "id", WHOLE), field(where, entry, "name", TEXT)
        if not name.strip():
            raise InputError(f"{where}: name: must be something else than spaces")
        if category_id in categories or name in names:
            key = f"id {category_id}" if category_id in categories else "name"
            raise InputError(f"{where}: its {key} is there twice: must be once")
        categories[category_id] = name
        names.add(name)
    return dict(sorted(categories.items()))


def place(path: str, annotation: Mapping) -> str:
    """Where an annotation is, for messages."""
    return f"{path}: annotation {reprlib.repr(annotation.get('id', '?'))}"


def field(where: str, entry: Mapping, key: str, kind):
    """The value of ``key``, of a ``kind`` such as TEXT; InputError that begins with ``where``."""
    value = entry.get(key)
    if value is None:
        raise InputError(f"{where}: no {key!r}: {_WANTED}")
    types, words = kind
    if not isinstance(value, types) or isinstance(value, bool) or _is_broken(value):
        raise InputError(f"{where}: {key} {reprlib.repr(value)}: must be {words}")
    return value


def _is_broken(value):
    """Whether it is half a character, which JSON can spell and nothing can store."""
    return isinstance(value, str) and not value.isascii() and printable(value) != value
