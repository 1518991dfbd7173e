"""COCO instances JSON: float boxes, crowds, areas of masks, category ids with gaps."""

import collections
import json
import os
import reprlib

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.annotation import (
    SourceImage,
    SourceObject,
    SourceSet,
    degeneracy,
)
from ssd_tfrecord.records.paths import path_inside

WANTED = "must be an instances JSON: images, annotations with bbox, categories"
# Types that a value may have, and how a message says them.
WHOLE = ((int,), "a whole number")
NUMBER = ((int, float), "a number")
TEXT = ((str,), "a string")
IMAGE_ID = ((int, str), "a whole number or a string")
BBOX = ((list,), "[x, y, width, height] in pixels")
# Floats count single pixels up to here.
MAX_PIXELS = 2**53


def read_instances(annotations: str, images_dir: str) -> SourceSet:
    """The images of a COCO instances JSON; source_id is the image id, objects keep their order.

    A JSON without ``annotations`` (image_info_test2017) comes without objects. Boxes without
    area are rejected.

    Raises: InputError that names the JSON and the image or annotation.
    """
    if not os.path.isdir(images_dir):
        raise InputError(f"--images_dir={images_dir}: must be a folder")
    content = _read_json(annotations)
    categories = _categories(annotations, content["categories"])
    entries = {}
    for entry in content["images"]:
        image_id = _image_id(f"{annotations}: images", entry, "id")
        if image_id in entries:
            raise InputError(f"{annotations}: image id {image_id} is there twice: must be once")
        entries[image_id] = entry
    by_image = collections.defaultdict(list)
    for item in content.get("annotations", ()):
        where = f"{annotations}: annotation {item.get('id', '?')}"
        image_id = _image_id(where, item, "image_id")
        if image_id not in entries:
            raise InputError(f"{where}: image_id {image_id} is no image of the JSON")
        by_image[image_id].append((where, item))
    return SourceSet(
        images=tuple(
            _image(annotations, images_dir, entry, by_image.get(image_id, ()), categories)
            for image_id, entry in entries.items()
        ),
        origin={"annotations": annotations, "images_dir": images_dir},
        category_ids={name: category_id for category_id, name in categories.items()},
        notes=()
        if "annotations" in content
        else (f"{annotations}: has no annotations: converted without objects",),
    )


def _read_json(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            # The polygons are most of the file and are not used: a tenth of the memory without.
            content = json.load(file, object_hook=_without_segmentation)
    except OSError as error:
        raise InputError(f"--annotations={path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no JSON: {error}") from None
    for key in ("images", "categories", "annotations"):
        values = content.get(key) if isinstance(content, dict) else None
        if values is None and key == "annotations":
            continue
        if not isinstance(values, list) or not all(isinstance(item, dict) for item in values):
            raise InputError(f"{path}: no list of {key!r}: {WANTED}")
    return content


def _without_segmentation(mapping):
    mapping.pop("segmentation", None)
    return mapping


def _categories(path, entries):
    """{category id: name}, by id."""
    pairs = []
    for entry in entries:
        where = f"{path}: category {reprlib.repr(entry.get('name', '?'))}"
        pairs.append((_field(where, entry, "id", WHOLE), _field(where, entry, "name", TEXT)))
    categories = dict(sorted(pairs))
    if len(categories) != len(pairs) or len(set(categories.values())) != len(pairs):
        raise InputError(f"{path}: categories: must have each id and each name once")
    return categories


def _field(where, entry, key, kind):
    value = entry.get(key)
    if value is None:
        raise InputError(f"{where}: no {key!r}: {WANTED}")
    types, words = kind
    if not isinstance(value, types) or isinstance(value, bool):
        raise InputError(f"{where}: {key} {reprlib.repr(value)}: must be {words}")
    return value


def _image_id(where, entry, key):
    # As records keep it, in which 1 and "1" are one image.
    return str(_field(where, entry, key, IMAGE_ID))


def _image(annotations, images_dir, entry, items, categories):
    source_id = str(entry["id"])
    file = f"{annotations}: image {source_id}"
    path = path_inside(images_dir, _field(file, entry, "file_name", TEXT), file)
    if not os.path.isfile(path):
        raise InputError(f"{file}: {entry['file_name']!r} is not in {images_dir}")
    return SourceImage(
        source_id=source_id,
        image_path=path,
        file=file,
        size=_size(file, entry),
        objects=tuple(
            _object(where, index, item, categories) for index, (where, item) in enumerate(items, 1)
        ),
    )


def _size(where, entry):
    # Some tools write 0 for a size that they do not know.
    if entry.get("width") in (None, 0) or entry.get("height") in (None, 0):
        return None
    return tuple(_field(where, entry, key, NUMBER) for key in ("width", "height"))


def _object(where, index, item, categories):
    category_id = _field(where, item, "category_id", WHOLE)
    if category_id not in categories:
        raise InputError(f"{where}: category_id {category_id} is no category of the JSON")
    bbox = _field(where, item, "bbox", BBOX)
    if len(bbox) != 4 or not all(map(_counts_pixels, bbox)):
        raise InputError(f"{where}: bbox {reprlib.repr(bbox)}: must be {BBOX[1]}")
    area = item.get("area")
    if area is not None and not (_counts_pixels(area) and area >= 0):
        raise InputError(f"{where}: area {reprlib.repr(area)}: must be a number of pixels")
    crowd = item.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise InputError(f"{where}: iscrowd {reprlib.repr(crowd)}: must be 0 or 1")
    x, y, width, height = bbox
    box = (y, x, y + height, x + width)
    return SourceObject(
        index=index,
        name=categories[category_id],
        box=box,
        crowd=bool(crowd),
        area=area,
        flaw=degeneracy(box),
    )


def _counts_pixels(value):
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) <= MAX_PIXELS  # neither infinite nor NaN
    )
