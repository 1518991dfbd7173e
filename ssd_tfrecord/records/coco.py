"""COCO instances JSON: float boxes, crowds, areas of masks, category ids with gaps."""

import collections
import json
import math
import os
import reprlib

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.annotation import (
    DROPPED,
    MAX_COORDINATE,
    UNKNOWN_CLASS,
    Reject,
    SourceImage,
    SourceObject,
    SourceSet,
    degeneracy,
)
from ssd_tfrecord.records.paths import ImageFolder, printable

WANTED = "must be an instances JSON: images, annotations with bbox, categories"
UNKNOWN_IMAGE, MISSING_IMAGE = "unknown_image", "missing_image"
# Types that a value may have, and how a message says them.
WHOLE = ((int,), "a whole number")
NUMBER = ((int, float), "a number")
TEXT = ((str,), "a string")
IMAGE_ID = ((int, str), "a whole number or a string")
BBOX = ((list,), "[x, y, width, height] in pixels")
# COCO's other files, by a key that their annotations have.
OTHER_FILES = {"segments_info": "panoptic", "caption": "captions"}


def read_instances(
    annotations: str,
    images_dir: str,
    *,
    bad_images: str = "fail",
    bad_boxes: str = "clip",
    unknown_classes: str = "fail",
) -> SourceSet:
    """The images of a COCO instances JSON; source_id is the image id, objects keep their order.

    A JSON without ``annotations`` (image_info_test2017) comes without objects.

    Args:
      bad_images: fail, drop or repair: images that are not in ``images_dir``.
      bad_boxes: fail, drop or clip: annotations of images that the JSON does not have.
      unknown_classes: fail or drop: annotations of categories that the JSON does not have.

    Raises: InputError that names the JSON and the image or annotation.
    """
    if not os.path.isdir(images_dir):
        raise InputError(f"--images_dir={images_dir}: must be a folder")
    content = _read_json(annotations)
    reader = _Reader(annotations, ImageFolder(images_dir), _categories(annotations, content))
    by_image = reader.read_annotations(content, bad_boxes)
    images = [
        image
        for image_id, entry in reader.entries.items()
        if (image := reader.image(entry, by_image[image_id], bad_images, unknown_classes))
    ]
    return SourceSet(
        images=tuple(images),
        origin={"annotations": annotations, "images_dir": images_dir},
        category_ids={name: category_id for category_id, name in reader.categories.items()},
        notes=()
        if content.get("annotations") is not None
        else (f"{annotations}: has no annotations: converted without objects",),
        rejects=tuple(reader.rejects),
    )


def _read_json(path):
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"--annotations={path}: must be a file")
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file, object_pairs_hook=_mapping)
    except OSError as error:
        raise InputError(f"--annotations={path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no JSON: {error}") from None
    for key in ("images", "categories", "annotations"):
        values = content.get(key) if isinstance(content, dict) else None
        if values is None and key == "annotations":
            continue
        if not isinstance(values, list) or not all(isinstance(item, dict) for item in values):
            raise InputError(f"{path}: no list of {key!r}: {WANTED}{_other_file(content)}")
    if _other_file(content):
        raise InputError(f"{path}: {WANTED}{_other_file(content)}")
    return content


def _mapping(pairs):
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has the key {reprlib.repr(twice)} twice")
    # The polygons are most of the file and are not used: a tenth of the memory without.
    mapping.pop("segmentation", None)
    return mapping


def _other_file(content):
    """What the file is instead, in words, or ""."""
    if isinstance(content, list):
        return "; this is a list, as files of results are"
    items = content.get("annotations") if isinstance(content, dict) else None
    first = items[0] if isinstance(items, list) and items else None
    for key, name in OTHER_FILES.items():
        if isinstance(first, dict) and key in first and "bbox" not in first:
            return f"; this is a {name} file"
    return ""


def _categories(path, content):
    """{category id: name}, by id."""
    pairs = []
    for entry in content["categories"]:
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
    if not isinstance(value, types) or isinstance(value, bool) or _is_broken(value):
        raise InputError(f"{where}: {key} {reprlib.repr(value)}: must be {words}")
    return value


def _is_broken(value):
    """Whether it is half a character, which JSON can spell and nothing can store."""
    return isinstance(value, str) and not value.isascii() and printable(value) != value


def _brief(text):
    return text if len(text) <= 40 and text.isprintable() else reprlib.repr(text)


def _image_id(where, entry, key):
    # As records keep it, in which 1 and "1" are one image.
    return str(_field(where, entry, key, IMAGE_ID))


class _Reader:
    """Reads the lists of one JSON; gathers what it drops."""

    def __init__(self, path, folder, categories):
        self.categories, self.rejects = categories, []
        # {image id: entry}
        self.entries = {}
        self._path, self._folder = path, folder

    def read_annotations(self, content, bad_boxes):
        """{image id: [(where, annotation)]}; ``entries`` are read first."""
        for entry in content["images"]:
            image_id = _image_id(f"{self._path}: images", entry, "id")
            if image_id in self.entries:
                raise InputError(
                    f"{self._path}: image id {_brief(image_id)} is there twice: must be once"
                )
            self.entries[image_id] = entry
        by_image = collections.defaultdict(list)
        for item in content.get("annotations") or ():
            where = f"{self._path}: annotation {reprlib.repr(item.get('id', '?'))}"
            image_id = _image_id(where, item, "image_id")
            if image_id in self.entries:
                by_image[image_id].append((where, item))
            elif bad_boxes == "fail":
                raise InputError(
                    f"{where}: image_id {_brief(image_id)} must be an image of the JSON; or "
                    "pass --bad_boxes=drop"
                )
            else:
                self.rejects.append(Reject(where, image_id, UNKNOWN_IMAGE, DROPPED))
        return by_image

    def image(self, entry, items, bad_images, unknown_classes):
        """The SourceImage, or None where its file is missing and ``bad_images`` is not fail."""
        source_id = str(entry["id"])
        file = f"{self._path}: image {_brief(source_id)}"
        name = _field(file, entry, "file_name", TEXT)
        path = self._folder.path(name, file)
        if not os.path.isfile(path):
            if bad_images == "fail":
                raise InputError(
                    f"{file}: {reprlib.repr(name)} is not in {self._folder.folder}; or pass "
                    "--bad_images=drop"
                )
            self.rejects.append(Reject(file, source_id, MISSING_IMAGE, DROPPED))
            return None
        objects = []
        for index, (where, item) in enumerate(items, 1):
            category_id = _field(where, item, "category_id", WHOLE)
            if category_id in self.categories:
                objects.append(_object(where, index, item, self.categories[category_id]))
            elif unknown_classes == "fail":
                raise InputError(
                    f"{where}: category_id {reprlib.repr(category_id)} must be a category of the "
                    "JSON; or pass --unknown_classes=drop"
                )
            else:
                self.rejects.append(Reject(where, source_id, UNKNOWN_CLASS, DROPPED, index))
        return SourceImage(source_id, path, file, _size(file, entry), tuple(objects))


def _size(where, entry):
    # Some tools write 0 for a size that they do not know.
    if entry.get("width") in (None, 0) or entry.get("height") in (None, 0):
        return None
    size = tuple(_field(where, entry, key, NUMBER) for key in ("width", "height"))
    if not all(map(_counts_pixels, size)):
        raise InputError(f"{where}: size {reprlib.repr(size)}: must be numbers of pixels")
    return size


def _object(where, index, item, name):
    bbox = _field(where, item, "bbox", BBOX)
    if len(bbox) != 4 or not all(map(_is_number, bbox)):
        raise InputError(f"{where}: bbox {reprlib.repr(bbox)}: must be {BBOX[1]}")
    area = item.get("area")
    if area is not None and not (_counts_pixels(area) and area >= 0):
        raise InputError(f"{where}: area {reprlib.repr(area)}: must be a number of pixels")
    crowd = item.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise InputError(f"{where}: iscrowd {reprlib.repr(crowd)}: must be 0 or 1")
    x, y, width, height = map(_to_float, bbox)
    box = (y, x, y + height, x + width)
    return SourceObject(
        index=index,
        name=name,
        box=box,
        crowd=bool(crowd),
        area=area,
        annotation_id=_annotation_id(where, item),
        flaw=degeneracy(box),
    )


def _annotation_id(where, item):
    value = item.get("id", -1)
    if not isinstance(value, int):
        return -1
    if not -(2**63) <= value < 2**63:
        raise InputError(f"{where}: id must be a whole number of 64 bits")
    return int(value)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _counts_pixels(value):
    return _is_number(value) and abs(value) <= MAX_COORDINATE  # neither infinite nor NaN


def _to_float(value):
    try:
        return float(value)
    except OverflowError:
        return math.inf
