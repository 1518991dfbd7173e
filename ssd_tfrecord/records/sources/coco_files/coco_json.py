"""One COCO instances JSON: its entries, read one by one and kept on disk."""

import collections
import json
import os
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes.progress import bar
from ssd_tfrecord.records.sources import text_files
from ssd_tfrecord.records.sources.coco_files import coco_categories, json_items
from ssd_tfrecord.records.sources.paths import printable
from ssd_tfrecord.records.sources.spool import Codec, Spool

_WANTED = "must be an instances JSON: images, annotations with bbox, categories"

# An entry of one of the lists, as JSON has it.
Entry = dict[str, Any]

# COCO's other kinds of files, by a key that only their annotations have.
_OTHER_FILES = {"segments_info": "panoptic", "caption": "captions"}
# What is kept of an entry: most of the file is polygons, which are not used where there is a box.
_KEPT = {
    "images": ("id", "file_name", "coco_url", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd"),
    "categories": ("id", "name", "supercategory"),
}
# No id can be this: ids are kept as JSON texts or numbers.
_NO_ID = "\0"


def key_of(image_id: object) -> str:
    """What entries are found by: 7, 7.0 and "7" are one id, as tools mix them; [7] is none."""
    if isinstance(image_id, str):
        return printable(image_id)
    number = coco_categories.id_of(image_id)
    return _NO_ID if number is None else str(number)


# How the long lists are stored.
_CODECS: dict[str, Codec[Entry]] = {
    "images": Codec(lambda entry: key_of(entry.get("id")), json.dumps, json.loads),
    "annotations": Codec(lambda entry: key_of(entry.get("image_id")), json.dumps, json.loads),
}


@dataclass(frozen=True)
class CocoFile:
    """The lists of an instances JSON; the values of their entries have not been checked.

    ``images`` and ``annotations`` are found by the ``key_of`` their image's id. ``categories`` is
    {category id: name}, sorted by id. ``annotations`` is None if the file has no such list.
    ``notes`` are lines for the user.
    """

    images: Spool[Entry]
    annotations: Spool[Entry] | None
    categories: Mapping[int, str]
    notes: tuple[str, ...] = ()


@dataclass
class _Lists:
    """What has been read of a file: ``used`` counts the annotations of each category id."""

    spools: dict[str, Spool[Entry]] = field(default_factory=dict)
    categories: list[Entry] | None = None
    used: collections.Counter[object] = field(default_factory=collections.Counter)


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
        lists = _read_lists(path)
    except InputError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"--annotations={path}: cannot be read: {reason}") from None
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
    spools = lists.spools
    if "images" not in spools or lists.categories is None:
        missing = "categories" if "images" in spools else "images"
        raise InputError(f"{path}: no {missing!r} list: {_WANTED}")
    categories, notes = coco_categories.choose(path, lists.categories, lists.used)
    return CocoFile(spools["images"], spools.get("annotations"), categories, notes)


def _read_lists(path: str) -> _Lists:
    lists = _Lists()
    decoder = json.JSONDecoder(object_pairs_hook=_mapping)
    with (
        bar(os.path.getsize(path), "B", "annotations") as progress,
        text_files.open_text(path, progress.update) as file,
    ):
        for key, value, is_item in json_items.read_items(file, decoder):
            # null is the same as no list: the images are without objects.
            if key not in _KEPT or (key == "annotations" and value is None and not is_item):
                continue
            entries: Spool[Entry] | list[Entry]
            if key == "categories":
                entries = lists.categories = lists.categories or []
            else:
                if key not in lists.spools:
                    lists.spools[key] = Spool(_CODECS[key])
                entries = lists.spools[key]
            # An empty list is there, but has nothing to append.
            if not is_item and value == []:
                continue
            entry = _entry(path, key, value, is_item, not entries)
            if key == "annotations":
                lists.used[coco_categories.id_of(entry.get("category_id"))] += 1
            entries.append(entry)
    return lists


def _entry(path: str, key: str, value: object, is_item: bool, is_first: bool) -> Entry:
    """Returns what is kept of ``value``, which must be an object."""
    if not (is_item and isinstance(value, dict)):
        raise InputError(f"{path}: no {key!r} list: {_WANTED}")
    entry = {name: value[name] for name in _KEPT[key] if name in value}
    if key == "annotations":
        if is_first:
            _refuse_other_files(path, value)
        _keep_shape(entry, value)
    return entry


def _keep_shape(entry: Entry, value: Entry) -> None:
    """Keeps what the box is taken from if it is not the bbox alone."""
    # CVAT and others turn a bbox about its centre.
    attributes = value.get("attributes")
    rotation = attributes.get("rotation") if isinstance(attributes, dict) else None
    if rotation is None:
        rotation = value.get("rotation")
    if rotation:
        entry["rotation"] = rotation
    # Missing, null or []; of any other kind the reader finds it out.
    bbox = entry.get("bbox")
    if not (isinstance(bbox, list) and len(bbox) == 4) and value.get("segmentation"):
        entry["segmentation"] = value["segmentation"]


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


def place(path: str, annotation: Entry) -> str:
    """Returns where an annotation of the file ``path`` is, for messages."""
    return f"{path}: annotation {reprlib.repr(annotation.get('id', '?'))}"
