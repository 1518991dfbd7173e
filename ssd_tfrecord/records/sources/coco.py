"""COCO instances JSON: float boxes, crowds, areas of masks, category ids with gaps."""

import collections
import dataclasses
import json
import os
import posixpath
import reprlib
from collections.abc import Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes.progress import bar
from ssd_tfrecord.records.rejects import DROPPED, KEPT, MISSING_IMAGE, UNKNOWN_CLASS, Reject
from ssd_tfrecord.records.sources import spool
from ssd_tfrecord.records.sources.coco_files import coco_categories, coco_shapes
from ssd_tfrecord.records.sources.coco_files.coco_json import (
    CocoFile,
    Entry,
    key_of,
    place,
    read_coco_json,
)
from ssd_tfrecord.records.sources.file_tree import link_note
from ssd_tfrecord.records.sources.paths import ImageFolder, printable
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, SourceSet
from ssd_tfrecord.records.sources.spool import Codec, Spool

UNKNOWN_IMAGE = "unknown_image"
# Reasons for which an object is kept, but a value of it is not.
BAD_AREA, BAD_CROWD = "bad_area", "bad_iscrowd"

# Paths of image files, and images, found by the path.
_PATHS: Codec[str] = Codec(str, json.dumps, json.loads)
_BY_PATH: Codec[SourceImage] = Codec(
    lambda image: image.image_path, spool.IMAGES.to_line, spool.IMAGES.from_line
)


def read_instances(
    annotations: str,
    images_dir: str,
    *,
    bad_images: str = "fail",
    bad_boxes: str = "clip",
    unknown_classes: str = "fail",
    links: str = "inside",
) -> SourceSet:
    """Reads a COCO instances JSON; source_id is the image id, and objects keep their order.

    Only what an image or an object cannot do without is ever an error, and --bad_images,
    --bad_boxes and --unknown_classes decide whether. A JSON without ``annotations``
    (image_info_test2017) yields images without objects. ``origin["image_ids"]`` says whether all
    ids are integers ("integer") or not ("string"): records hold them as strings.

    Args:
        annotations: the JSON file, which may be gzipped.
        images_dir: the folder of its images.
        bad_images: fail, drop or repair: what to do with images that are not in ``images_dir``.
        bad_boxes: fail, drop or clip: what to do with annotations whose image the JSON lacks.
        unknown_classes: fail or drop: what to do with annotations whose category the JSON lacks.
        links: inside or follow: which links in ``images_dir`` are followed.

    Raises:
        InputError: the JSON or something in it is faulty; the message names the entry.
    """
    if not os.path.isdir(images_dir):
        raise InputError(f"--images_dir={images_dir}: must be a folder")
    content = read_coco_json(annotations)
    reader = InstancesReader(annotations, ImageFolder(images_dir, links), content)
    reader.read(bad_images, bad_boxes, unknown_classes)
    return SourceSet(
        images=reader.images,
        origin={
            "annotations": annotations,
            "images_dir": images_dir,
            "image_ids": "integer" if reader.has_integer_ids else "string",
        },
        category_ids={name: category_id for category_id, name in content.categories.items()},
        notes=tuple(reader.all_notes()),
        rejects=reader.rejects,
        lost=reader.lost,
    )


def _brief(text: str) -> str:
    # Names and ids are quoted as they are unless they would break or flood a message.
    return text if len(text) <= 40 and text.isprintable() else reprlib.repr(text)


class InstancesReader:
    """Joins the images of one JSON with their annotations, and collects what it drops.

    Args:
        path: of the JSON.
        folder: of its images.
        content: of the JSON.
    """

    def __init__(self, path: str, folder: ImageFolder, content: CocoFile) -> None:
        self.images, self.rejects = Spool(spool.IMAGES), Spool(spool.REJECTS)
        self.lost: collections.Counter[str] = collections.Counter()
        self.has_integer_ids = True
        self._path, self._folder, self._content = path, folder, content
        # How often images were found otherwise than by their path, and the first of each way.
        self._ways: collections.Counter[str] = collections.Counter()
        self._first_of: dict[str, str] = {}
        self._files = Spool(_PATHS)
        self._num_shared = 0

    def all_notes(self) -> list[str]:
        """Returns lines for the user about what may be unexpected."""
        found = list(self._content.notes)
        if self._content.annotations is None:
            found.append(
                f"{self._path}: has no annotations; its images are converted without objects"
            )
        for way, count in sorted(self._ways.items()):
            what, _, done = way.partition(":")
            found.append(
                f"{self._path}: {what} for {count} of {len(self._content.images)} images "
                f"({self._first_of[way]}):{done}"
            )
        if self._num_shared:
            found.append(
                f"{self._path}: image files that are listed under several ids: "
                f"{self._num_shared}; each is one image with the objects of all"
            )
        if refused := self._folder.tree.refused:
            found.append(link_note(refused))
        return [printable(note) for note in found]

    def read(self, bad_images: str, bad_boxes: str, unknown_classes: str) -> None:
        """Adds a SourceImage to ``images`` for each image of the JSON that is not dropped."""
        entries, annotations = self._content.images, self._content.annotations
        if repeated := [key for key in entries.repeated_keys() if key != key_of(None)]:
            raise InputError(
                f"{self._path}: duplicate image id {_brief(repeated[0])}; ids must be unique"
            )
        # The JSON has annotations in any order; of_key() finds those of an image on disk.
        num_taken = 0
        with bar(len(entries), " images", "annotations") as progress:
            for entry in entries:
                # Without an id of its own an image has no annotations either.
                key = key_of(entry.get("id"))
                has_id = key != key_of(None)
                items = annotations.of_key(key) if annotations and has_id else []
                self._add(entry, items, bad_images, unknown_classes)
                num_taken += len(items)
                progress.update()
        # Only if some were not taken is a second pass needed, to find annotations that belong to no
        # image.
        if annotations and num_taken < len(annotations):
            self._drop_strangers(annotations, bad_boxes)
        if shared := self._files.repeated_keys():
            self._merge(set(shared))

    def _drop_strangers(self, annotations: Sequence[Entry], bad_boxes: str) -> None:
        known = next((entry.get("id") for entry in self._content.images), None)
        for item in annotations:
            image_id = item.get("image_id")
            key = key_of(image_id)
            if key != key_of(None) and self._content.images.of_key(key):
                continue
            where = place(self._path, item)
            what = f"image_id {reprlib.repr(image_id)} is not an image of the JSON"
            if bad_boxes == "fail":
                raise InputError(f"{where}: {what}; correct it, or pass --bad_boxes=drop")
            # -1: it counts as an object, but of no known image.
            detail = f"{what}, whose ids are such as {reprlib.repr(known)}"
            source_id = _brief(str(image_id))
            self.rejects.append(Reject(where, source_id, UNKNOWN_IMAGE, DROPPED, -1, detail=detail))

    def _add(
        self, entry: Entry, items: Sequence[Entry], bad_images: str, unknown_classes: str
    ) -> None:
        source_id = key_of(entry.get("id"))
        if source_id == key_of(None):
            self._miss("no usable id", f"{self._path}: image", "?", items, bad_images)
            return
        self.has_integer_ids &= not isinstance(entry["id"], str)
        file = f"{self._path}: image {_brief(source_id)}"
        name, path = _file_name(entry), None
        if name:
            path, way = self._folder.locate(name, file)
            if way:
                self._ways[way] += 1
                self._first_of.setdefault(way, file)
        if path is None:
            folder = self._folder.folder
            what = f"{reprlib.repr(name)} is not in {folder}" if name else "no file_name"
            self._miss(what, file, source_id, items, bad_images)
            return
        objects = []
        for index, item in enumerate(items, 1):
            found = self._object(source_id, index, item, unknown_classes)
            if found:
                objects.append(found)
        self._files.append(path)
        self.images.append(SourceImage(source_id, path, file, _size(entry), tuple(objects)))

    def _miss(
        self, what: str, file: str, source_id: str, items: Sequence[Entry], bad_images: str
    ) -> None:
        if bad_images == "fail":
            hint = self._folder.hint()
            raise InputError(f"{file}: {what}; add it, or pass --bad_images=drop{hint}")
        what += self._folder.hint()
        self.rejects.append(
            Reject(file, source_id, MISSING_IMAGE, DROPPED, detail=what, num_objects=len(items))
        )
        for item in items:
            if name := self._class_of(item):
                self.lost[name] += 1

    def _class_of(self, item: Entry) -> str:
        category_id = coco_categories.id_of(item.get("category_id"))
        return "" if category_id is None else self._content.categories.get(category_id, "")

    def _object(
        self, source_id: str, index: int, item: Entry, unknown_classes: str
    ) -> SourceObject | None:
        """The object of an annotation, or None if its class is unknown and it is dropped."""
        where, name = place(self._path, item), self._class_of(item)
        if not name:
            detail = f"category_id {reprlib.repr(item.get('category_id'))}"
            if unknown_classes == "fail":
                raise InputError(
                    f"{where}: {detail} is not a category of the JSON; correct it, or pass "
                    "--unknown_classes=drop"
                )
            self._note_object(where, source_id, UNKNOWN_CLASS, DROPPED, index, detail=detail)
            return None
        shape = coco_shapes.shape_of(item)
        area, has_sound_area = coco_shapes.area_of(item)
        crowd, has_sound_crowd = coco_shapes.crowd_of(item)
        if shape.reason:
            self._note_object(
                where, source_id, shape.reason, shape.action, index, name, shape.box, shape.detail
            )
        if not has_sound_area:
            detail = f"area {reprlib.repr(item['area'])}: that of the box is used"
            self._note_object(where, source_id, BAD_AREA, KEPT, index, name, detail=detail)
        if not has_sound_crowd:
            detail = f"iscrowd {reprlib.repr(item['iscrowd'])}: 0 is used"
            self._note_object(where, source_id, BAD_CROWD, KEPT, index, name, detail=detail)
        return SourceObject(
            index=index,
            name=name,
            box=shape.box,
            crowd=crowd,
            area=area,
            annotation_id=_annotation_id(item),
            flaw=shape.flaw,
        )

    def _note_object(
        self,
        where: str,
        source_id: str,
        reason: str,
        action: str,
        index: int,
        name: str = "",
        box: tuple[float, float, float, float] | None = None,
        detail: str = "",
    ) -> None:
        self.rejects.append(Reject(where, source_id, reason, action, index, name, box, detail))

    def _merge(self, shared: set[str]) -> None:
        """Makes one image of those that are the same file; the first gives the id."""
        self._num_shared = len(shared)
        by_path = Spool(_BY_PATH, self.images)
        merged, done = Spool(spool.IMAGES), set()
        for image in self.images:
            path = image.image_path
            if path not in shared:
                merged.append(image)
            elif path not in done:
                done.add(path)
                objects = [item for same in by_path.of_key(path) for item in same.objects]
                numbered = [
                    dataclasses.replace(item, index=index) for index, item in enumerate(objects, 1)
                ]
                merged.append(dataclasses.replace(image, objects=tuple(numbered)))
        self.images = merged


def _file_name(entry: Entry) -> str:
    """The name of an image's file; "" if the entry has none."""
    name = entry.get("file_name")
    if isinstance(name, str) and name.strip():
        return printable(name)
    url = entry.get("coco_url")
    return posixpath.basename(url) if isinstance(url, str) else ""


def _size(entry: Entry) -> tuple[float, float] | None:
    """(width, height), or None if the JSON does not say; some tools write 0, -1 or nothing."""
    width, height = entry.get("width"), entry.get("height")
    if coco_shapes.counts_pixels(width) and coco_shapes.counts_pixels(height):
        return width, height
    return None


def _annotation_id(item: Entry) -> int:
    # Kept if it is an integer that the schema can store; nothing depends on it.
    value = item.get("id", -1)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        return -1
    return value
