"""COCO in a folder: which JSON files are instances, of which split, and where their images are."""

import functools
import itertools
import json
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ssd_tfrecord.records.sources import coco
from ssd_tfrecord.records.sources.coco_files import json_items
from ssd_tfrecord.records.sources.layouts import joined
from ssd_tfrecord.records.sources.layouts.layout import (
    Finding,
    Part,
    Policies,
    by_split,
    counted,
    split_of,
)
from ssd_tfrecord.records.sources.layouts.tree import Tree
from ssd_tfrecord.records.sources.source_set import SourceSet
from ssd_tfrecord.records.sources.text_files import open_text

LOOKED_FOR = "COCO instances JSON (images, annotations with bbox, categories)"

# How many items and files are looked into: the lists may be in any order.
_NUM_ITEMS, _NUM_FILES = 2000, 200
_ROBOFLOW = "_annotations.coco.json"


@dataclass(frozen=True)
class _Json:
    """An instances JSON; ``file_name`` is that of its first image, "" if it comes late."""

    name: str
    file_name: str


def recognise(tree: Tree) -> Finding | None:
    """Returns the finding if the folder has COCO's instances JSON."""
    stems = {posixpath.splitext(posixpath.basename(image))[0] for image in tree.images}
    names = [
        name
        for name in tree.with_suffix(".json", ".json.gz")
        # One that is called like an image is labelme's.
        if posixpath.basename(name).split(".")[0] not in stems
    ]
    found = [item for name in names[:_NUM_FILES] if (item := _look(tree, name))]
    # Beside instances, COCO has captions and keypoints of the same images.
    main = [item for item in found if posixpath.basename(item.name).startswith("instances")]
    left_out = [item.name for item in found if main and item not in main]
    found = main or found
    if not found:
        return None
    by_name = {item.name: item for item in found}
    parts = tuple(
        Part(
            split,
            ", ".join(names),
            functools.partial(_read, tree, [by_name[name] for name in names], split),
        )
        for split, names in by_split(by_name).items()
    )
    tool = " of Roboflow" if all(item.name.endswith(_ROBOFLOW) for item in found) else ""
    notes = [f"not used, as there are instances: {', '.join(left_out)}"] if left_out else []
    what = f"COCO instances JSON{tool} ({counted(len(found), 'file')})"
    return Finding("coco", what, parts, notes=tuple(notes))


def _look(tree: Tree, name: str) -> _Json | None:
    """What the beginning of a JSON shows, or None if it is not of COCO's instances."""
    is_instances, file_name = False, ""
    try:
        with open_text(tree.path(name)) as file:
            items = json_items.read_items(file, json.JSONDecoder())
            for key, value, is_item in itertools.islice(items, _NUM_ITEMS):
                if not is_item or not isinstance(value, dict):
                    continue
                if key == "images" and not file_name:
                    written = value.get("file_name")
                    file_name = written if isinstance(written, str) else ""
                    is_instances |= "id" in value and bool(file_name)
                elif key == "annotations":
                    return _Json(name, file_name) if _is_instance(value) else None
                elif key == "categories":
                    is_instances |= "id" in value and "name" in value
    # Whatever is wrong with it: if the file is COCO's, the reader says so.
    except (OSError, ValueError, RecursionError):
        pass
    return _Json(name, file_name) if is_instances else None


def _is_instance(item: dict[str, Any]) -> bool:
    return "image_id" in item and "caption" not in item and "segments_info" not in item


def _read(tree: Tree, found: Sequence[_Json], split: str, policies: Policies) -> SourceSet:
    """Reads the files ``found`` as one set; see ``Part.read``."""
    sets = {}
    for item in found:
        sets[item.name] = coco.read_instances(
            tree.path(item.name),
            tree.path(_images_of(tree, item)),
            bad_images=policies.bad_images,
            bad_boxes=policies.bad_boxes,
            unknown_classes=policies.unknown_classes,
            links=policies.links,
        )
    return joined.join(sets, {"input": tree.folder, "split": split})


def _images_of(tree: Tree, item: _Json) -> str:
    """The folder to which the file names of a JSON are relative."""
    return tree.images_for(split_of(item.name), posixpath.dirname(item.name), item.file_name)
