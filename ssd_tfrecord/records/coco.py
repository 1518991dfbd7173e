"""COCO instances JSON: float boxes, crowds, areas of masks, category ids with gaps."""

import collections
import json
import math
import os

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.annotation import (
    SourceImage,
    SourceObject,
    SourceSet,
    degeneracy,
    reject,
)
from ssd_tfrecord.records.paths import path_inside

WANTED = "must be an instances JSON: images, annotations with bbox, categories"


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
        image_id = _field(f"{annotations}: images", entry, "id")
        if image_id in entries:
            raise InputError(f"{annotations}: image id {image_id} is there twice: must be once")
        entries[image_id] = entry
    by_image = collections.defaultdict(list)
    for item in content.get("annotations", ()):
        where = f"{annotations}: annotation {item.get('id', '?')}"
        image_id = _field(where, item, "image_id")
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
        with open(path, encoding="utf-8") as file:
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
        where = f"{path}: category {entry.get('name', '?')!r}"
        pairs.append((_field(where, entry, "id"), str(_field(where, entry, "name"))))
    if not all(isinstance(category_id, int) for category_id, _ in pairs):
        raise InputError(f"{path}: category ids: must be whole numbers")
    categories = dict(sorted(pairs))
    if len(categories) != len(pairs) or len(set(categories.values())) != len(pairs):
        raise InputError(f"{path}: categories: must have each id and each name once")
    return categories


def _field(where, entry, key):
    if entry.get(key) is None:
        raise InputError(f"{where}: no {key!r}: {WANTED}")
    return entry[key]


def _image(annotations, images_dir, entry, items, categories):
    source_id = str(entry["id"])
    file = f"{annotations}: image {source_id}"
    path = path_inside(images_dir, _field(file, entry, "file_name"), file)
    if not os.path.isfile(path):
        raise InputError(f"{file}: {entry['file_name']!r} is not in {images_dir}")
    objects, rejects = [], []
    for index, (where, item) in enumerate(items, 1):
        found = _object(where, index, item, categories)
        reason = degeneracy(found.box)
        if reason:
            rejects.append(reject(source_id, file, found, reason))
        else:
            objects.append(found)
    size = (entry.get("width"), entry.get("height"))
    return SourceImage(
        source_id=source_id,
        image_path=path,
        file=file,
        size=size if all(size) else None,
        objects=tuple(objects),
        rejects=tuple(rejects),
    )


def _object(where, index, item, categories):
    category_id = _field(where, item, "category_id")
    if category_id not in categories:
        raise InputError(f"{where}: category_id {category_id} is no category of the JSON")
    bbox = _field(where, item, "bbox")
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        raise InputError(f"{where}: bbox {bbox}: must be [x, y, width, height] in pixels")
    area = item.get("area")
    if area is not None and not _is_number(area):
        raise InputError(f"{where}: area {area!r}: must be a number of pixels")
    crowd = item.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise InputError(f"{where}: iscrowd {crowd!r}: must be 0 or 1")
    x, y, width, height = bbox
    return SourceObject(
        index=index,
        name=categories[category_id],
        box=(y, x, y + height, x + width),
        crowd=bool(crowd),
        area=area,
    )


def _is_number(value):
    return isinstance(value, (int, float)) and math.isfinite(value)
