"""COCO instances JSON: float boxes, crowds, areas of masks, category ids with gaps."""

import math
import os
import reprlib
from collections.abc import Sequence
from typing import TypeGuard

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.annotation import MAX_COORDINATE, degeneracy
from ssd_tfrecord.records.processes.progress import bar
from ssd_tfrecord.records.rejects import DROPPED, UNKNOWN_CLASS, Reject
from ssd_tfrecord.records.sources import spool
from ssd_tfrecord.records.sources.coco_json import (
    BBOX,
    NUMBER,
    TEXT,
    WHOLE,
    CocoFile,
    Entry,
    field,
    place,
    read_coco_json,
)
from ssd_tfrecord.records.sources.paths import ImageFolder, is_file
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, SourceSet
from ssd_tfrecord.records.sources.spool import Spool

UNKNOWN_IMAGE, MISSING_IMAGE = "unknown_image", "missing_image"


def read_instances(
    annotations: str,
    images_dir: str,
    *,
    bad_images: str = "fail",
    bad_boxes: str = "clip",
    unknown_classes: str = "fail",
) -> SourceSet:
    """Reads a COCO instances JSON; source_id is the image id, and objects keep their order.

    A JSON without ``annotations`` (image_info_test2017) yields images without objects.

    Args:
        annotations: the JSON file.
        images_dir: the folder of its images.
        bad_images: fail, drop or repair: what to do with images that are not in ``images_dir``.
        bad_boxes: fail, drop or clip: what to do with annotations whose image the JSON lacks.
        unknown_classes: fail or drop: what to do with annotations whose category the JSON lacks.

    Raises:
        InputError: the JSON or something in it is faulty; the message names the entry.
    """
    if not os.path.isdir(images_dir):
        raise InputError(f"--images_dir={images_dir}: must be a folder")
    content = read_coco_json(annotations)
    reader = _Reader(annotations, ImageFolder(images_dir), content)
    reader.read(bad_images, bad_boxes, unknown_classes)
    return SourceSet(
        images=reader.images,
        origin={"annotations": annotations, "images_dir": images_dir},
        category_ids={name: category_id for category_id, name in content.categories.items()},
        notes=()
        if content.annotations is not None
        else (f"{annotations}: has no annotations; its images are converted without objects",),
        rejects=reader.rejects,
    )


def _brief(text: str) -> str:
    # Names and ids are quoted as they are unless they would break or flood a message.
    return text if len(text) <= 40 and text.isprintable() else reprlib.repr(text)


class _Reader:
    """Joins the images of one JSON with their annotations, and collects what it drops."""

    def __init__(self, path: str, folder: ImageFolder, content: CocoFile) -> None:
        self.images, self.rejects = Spool(spool.IMAGES), Spool(spool.REJECTS)
        self._path, self._folder, self._content = path, folder, content

    def read(self, bad_images: str, bad_boxes: str, unknown_classes: str) -> None:
        """Adds a SourceImage to ``images`` for each image of the JSON that is not dropped."""
        entries, annotations = self._content.images, self._content.annotations
        if repeated := entries.repeated_keys():
            raise InputError(
                f"{self._path}: duplicate image id {_brief(repeated[0])}; ids must be unique"
            )
        # The JSON has annotations in any order; of_key() finds those of an image on disk.
        num_taken = 0
        with bar(len(entries), " images", "annotations") as progress:
            for entry in entries:
                items = annotations.of_key(str(entry["id"])) if annotations else []
                self._add(entry, items, bad_images, unknown_classes)
                num_taken += len(items)
                progress.update()
        # Only if some were not taken is a second pass needed, to find annotations that belong to no
        # image.
        if annotations and num_taken < len(annotations):
            self._drop_strangers(annotations, bad_boxes)

    def _drop_strangers(self, annotations: Sequence[Entry], bad_boxes: str) -> None:
        for item in annotations:
            image_id = str(item["image_id"])
            if self._content.images.of_key(image_id):
                continue
            where = place(self._path, item)
            if bad_boxes == "fail":
                raise InputError(
                    f"{where}: image_id {_brief(image_id)} is not an image of the JSON; correct "
                    "it, or pass --bad_boxes=drop"
                )
            # -1: it counts as an object, but of no known image.
            self.rejects.append(Reject(where, image_id, UNKNOWN_IMAGE, DROPPED, -1))

    def _add(
        self, entry: Entry, items: Sequence[Entry], bad_images: str, unknown_classes: str
    ) -> None:
        source_id = str(entry["id"])
        file = f"{self._path}: image {_brief(source_id)}"
        name = field(file, entry, "file_name", TEXT)
        path = self._folder.path(name, file)
        if not is_file(path):
            if bad_images == "fail":
                raise InputError(
                    f"{file}: {reprlib.repr(name)} is not in {self._folder.folder}; add it, or "
                    "pass --bad_images=drop"
                )
            detail = f"looked for {_brief(name)}"
            self.rejects.append(
                Reject(
                    file,
                    source_id,
                    MISSING_IMAGE,
                    DROPPED,
                    detail=detail,
                    num_objects=len(items),
                )
            )
            return
        objects = []
        for index, item in enumerate(items, 1):
            where = place(self._path, item)
            category_id = field(where, item, "category_id", WHOLE)
            if category_id in self._content.categories:
                objects.append(_object(where, index, item, self._content.categories[category_id]))
            elif unknown_classes == "fail":
                raise InputError(
                    f"{where}: category_id {reprlib.repr(category_id)} is not a category of the "
                    "JSON; correct it, or pass --unknown_classes=drop"
                )
            else:
                detail = f"category_id {reprlib.repr(category_id)}"
                self.rejects.append(
                    Reject(where, source_id, UNKNOWN_CLASS, DROPPED, index, detail=detail)
                )
        size = _size(file, entry)
        self.images.append(SourceImage(source_id, path, file, size, tuple(objects)))


def _size(where: str, entry: Entry) -> tuple[float, float] | None:
    # Some tools write 0 if they do not know the size.
    if entry.get("width") in (None, 0) or entry.get("height") in (None, 0):
        return None
    size = field(where, entry, "width", NUMBER), field(where, entry, "height", NUMBER)
    if not all(map(_counts_pixels, size)):
        raise InputError(f"{where}: size {reprlib.repr(size)}: must be numbers of pixels")
    return size


def _object(where: str, index: int, item: Entry, name: str) -> SourceObject:
    bbox = field(where, item, "bbox", BBOX)
    if len(bbox) != 4 or not all(map(_is_number, bbox)):
        raise InputError(f"{where}: bbox {reprlib.repr(bbox)}: must be {BBOX.words}")
    area = item.get("area")
    if area is not None and not (_counts_pixels(area) and area >= 0):
        raise InputError(f"{where}: area {reprlib.repr(area)}: must be a number of pixels")
    # In JSON, true and 1.0 are possible too; both equal 1.
    crowd = item.get("iscrowd")
    if crowd not in (None, 0, 1):
        raise InputError(f"{where}: iscrowd {reprlib.repr(crowd)}: must be 0 or 1")
    # COCO's pixels are counted from 0, and its boxes have edges between pixels: nothing to shift.
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


def _annotation_id(where: str, item: Entry) -> int:
    # Kept if it is an integer, which the schema can store; nothing depends on it.
    value = item.get("id", -1)
    if not isinstance(value, int):
        return -1
    if not -(2**63) <= value < 2**63:
        raise InputError(f"{where}: id must be a 64-bit integer")
    return int(value)


def _is_number(value: object) -> TypeGuard[float]:
    # In Python, bool is a subtype of int.
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _counts_pixels(value: object) -> bool:
    # False for infinity and NaN, which Python's JSON accepts.
    return _is_number(value) and abs(value) <= MAX_COORDINATE


def _to_float(value: float) -> float:
    try:
        return float(value)
    # JSON allows integers of any length.
    except OverflowError:
        return math.inf
