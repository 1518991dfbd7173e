"""labelme and the tools that write its JSON: a file for each image, with shapes of any kind."""

import functools
import json
import math
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.annotation import MAX_COORDINATE
from ssd_tfrecord.records.image_suffixes import IMAGE_SUFFIXES
from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.processes.progress import bar
from ssd_tfrecord.records.rejects import POLYGON, ROTATION
from ssd_tfrecord.records.sources import shapes
from ssd_tfrecord.records.sources.layouts.collector import Collector, quoted
from ssd_tfrecord.records.sources.layouts.layout import Finding, Part, Policies, by_split, counted
from ssd_tfrecord.records.sources.layouts.tree import Tree, common_folder
from ssd_tfrecord.records.sources.layouts.yolo_labels import read_text
from ssd_tfrecord.records.sources.names import normal_name
from ssd_tfrecord.records.sources.paths import ImageFolder, printable
from ssd_tfrecord.records.sources.shapes import Box
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, SourceSet

LOOKED_FOR = "labelme JSON (one for each image, with shapes)"
# Most of a file is its image once more, in base64, which is not decoded.
MAX_BYTES = 2**26
# How many files are looked into to recognise the layout, and how far.
_NUM_LOOKED_AT, _LOOKED_AT = 50, 2**16
# Shapes that cover nothing, by the names of labelme and of X-AnyLabeling.
_NO_REGIONS = ("point", "points", "line", "linestrip")


@dataclass(frozen=True)
class Shape:
    """One shape: ``box`` in pixels, or None with a ``problem``.

    ``kind`` is as the file has it; ``around`` is POLYGON or ROTATION if the box is the one around
    it. Shapes of equal ``label`` and ``group``, unless that is None, are parts of one object.
    """

    label: str
    kind: str
    box: Box | None = None
    problem: str = ""
    around: str = ""
    group: str | None = None
    difficult: bool = False


@dataclass(frozen=True)
class LabelmeFile:
    """What a file says: the path of its image, (width, height) or None, and its shapes."""

    image_path: str
    size: tuple[float, float] | None
    shapes: tuple[Shape, ...]


def recognise(tree: Tree) -> Finding | None:
    """Returns the finding if the folder has labelme's JSON.

    Raises:
        InputError: a file cannot be read.
    """
    stems = {_stem(image) for image in tree.images}
    names = tree.with_suffix(".json")
    # COCO's JSON is called like no image.
    paired = [name for name in names if _stem(name) in stems]
    if not any(_looks_like_labelme(tree.path(name)) for name in paired[:_NUM_LOOKED_AT]):
        return None
    known = {*paired}
    files = [name for name in names if name in known or _looks_like_labelme(tree.path(name))]
    parts = tuple(
        Part(split, counted(len(names), "file"), functools.partial(_read, tree, names, split))
        for split, names in by_split(files).items()
    )
    return Finding("labelme", f"labelme JSON ({counted(len(files), 'file')})", parts)


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]


def _looks_like_labelme(path: str) -> bool:
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            beginning = file.read(_LOOKED_AT)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    keys = ('"shapes"', '"imagePath"', '"imageData"')
    return beginning.lstrip().startswith("{") and any(key in beginning for key in keys)


def _read(tree: Tree, names: Sequence[str], split: str, policies: Policies) -> SourceSet:
    """Reads the files ``names``; see ``Part.read``."""
    folder = tree.images_for(split, common_folder(map(posixpath.dirname, names)))
    collector = Collector(ImageFolder(tree.path(folder), policies.links), policies)
    taken, stems = set(), {_stem(name) for name in tree.with_suffix(".json")}
    for name, content in _parsed(tree, names, policies.workers):
        path = _image(tree, collector, name, content.image_path)
        if path is not None:
            taken.add(os.path.normpath(path))
        _add(tree, collector, tree.path(name), path, content)
    for image in tree.below(folder, tree.images):
        path = tree.path(image)
        # Of several splits that share a folder, another may have it.
        if os.path.normpath(path) not in taken and _stem(image) not in stems:
            collector.unannotated(image, path, "JSON", "skip")
    return collector.result({"input": tree.folder, "split": split})


def _parsed(
    tree: Tree, names: Sequence[str], num_workers: int
) -> Iterator[tuple[str, LabelmeFile]]:
    chosen = workers.choose_number(num_workers, len(names), len(names))
    with bar(len(names), " JSON", "annotations") as progress:
        for name, content in zip(
            names, workers.map_in_order(read_labelme, map(tree.path, names), chosen)
        ):
            yield name, content
            progress.update()


def _image(tree: Tree, collector: Collector, name: str, image_path: str) -> str | None:
    """The path of the image of the file ``name``: the one of its stem, or what it says itself."""
    where = tree.path(name)
    written = image_path.replace("\\", "/")
    # ../images/1.jpg is relative to the JSON.
    said = posixpath.normpath(posixpath.join(posixpath.dirname(name), written)) if written else ""
    own = posixpath.splitext(name)[0]
    # As of VOC's XML: one that was renamed or copied keeps its old imagePath.
    same = next((own + suffix for suffix in IMAGE_SUFFIXES if own + suffix in tree.known), "")
    if same and said in tree.known and _stem(said) != _stem(own):
        collector.note("imagePath is of another image than the one called like the JSON: {}", where)
    if same and _stem(said) != _stem(own):
        return tree.path(same)
    if said in tree.known:
        return tree.path(said)
    return tree.path(same) if same else collector.locate(written or _stem(name), where)


def _add(
    tree: Tree, collector: Collector, file: str, path: str | None, content: LabelmeFile
) -> None:
    if path is None:
        problem = f"image {quoted(content.image_path)} does not exist"
        stem = os.path.splitext(os.path.relpath(file, tree.folder))[0]
        names = [shape.label for shape in content.shapes]
        collector.miss(file, printable(stem), problem, names)
        return
    source_id = printable(os.path.relpath(path, tree.folder).replace(os.sep, "/"))
    objects = []
    for index, shape in enumerate(_joined(content.shapes), 1):
        found = _object(collector, index, shape, f"{file}: shape {index}", source_id)
        objects += [found] if found else []
    collector.add(SourceImage(source_id, path, file, content.size, tuple(objects)))


def _object(
    collector: Collector, index: int, shape: Shape, where: str, source_id: str
) -> SourceObject | None:
    if shape.kind in _NO_REGIONS:
        collector.skipped(index, shape.label, where, source_id, shape.kind)
        collector.note(
            f"shapes of the kind {shape.kind!r}, which have no area, skipped: {{}}", where
        )
        return None
    if not shape.label:
        collector.unknown_class(index, where, source_id, "no label: must have one")
        return None
    if shape.box is None:
        return collector.boxless(index, shape.label, where, shape.problem)
    item = collector.sound(index, shape.label, shape.box, difficult=shape.difficult)
    if shape.around:
        collector.enclosed(item, where, source_id, shape.around)
    return item


def _joined(found: Sequence[Shape]) -> list[Shape]:
    """Makes one shape of those that are parts of one object, as labelme's own converter does."""
    joined: dict[object, Shape] = {}
    for place, shape in enumerate(found):
        apart = shape.group is None or shape.box is None or shape.kind in _NO_REGIONS
        key: object = place if apart else (shape.label, shape.group)
        first = joined.get(key)
        if first is None or first.box is None or shape.box is None:
            joined[key] = shape
            continue
        (top, left, bottom, right), (ymin, xmin, ymax, xmax) = first.box, shape.box
        box = (min(top, ymin), min(left, xmin), max(bottom, ymax), max(right, xmax))
        joined[key] = Shape(shape.label, shape.kind, box, around=POLYGON, group=shape.group)
    return list(joined.values())


def read_labelme(path: str) -> LabelmeFile:
    """Reads one file; shapes that make no sense have a ``problem``.

    Args:
        path: the file.

    Raises:
        InputError: it cannot be read, is too large, or is not labelme's JSON.
    """
    try:
        content = json.loads(read_text(path, MAX_BYTES))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        reason = str(error).partition(";")[0]
        raise InputError(f"{path}: cannot be read as JSON: {reason}") from None
    found = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise InputError(f"{path}: must be labelme's JSON: an object with a list of shapes")
    image_path = content.get("imagePath")
    size = content.get("imageWidth"), content.get("imageHeight")
    sound = all(_is_number(side) and 0 < side <= MAX_COORDINATE for side in size)
    return LabelmeFile(
        printable(image_path) if isinstance(image_path, str) else "",
        (size[0], size[1]) if sound else None,
        tuple(map(_shape, found)),
    )


def _shape(item: Any) -> Shape:
    if not isinstance(item, dict):
        return Shape("", "", problem="must be an object with label and points")
    label, kind, group = item.get("label"), item.get("shape_type"), item.get("group_id")
    # Files of old versions have polygons only, and say nothing about it.
    kind = kind if isinstance(kind, str) else "polygon"
    # A number is a name like any other, but for labelme itself.
    name = str(label) if _is_number(label) else label if isinstance(label, str) else ""
    label = normal_name(printable(name))
    box, around = _box_of(kind, item.get("points"))
    return Shape(
        label,
        printable(kind),
        box,
        ""
        if box
        else f"{quoted(kind)} with points {quoted(str(item.get('points')))[:80]}: {_WANTED}",
        around,
        None if group is None else str(group),
        item.get("difficult") is True,
    )


_WANTED = "must have finite points [x, y]: two of a rectangle or circle, three or more of a polygon"


def _box_of(kind: str, points: Any) -> tuple[Box | None, str]:
    """(the box of a shape or None, POLYGON or ROTATION if it is the one around it)."""
    if not isinstance(points, list) or not all(map(_is_point, points)):
        return None, ""
    found = [(float(x), float(y)) for x, y in points]
    if kind == "circle" and len(found) == 2:
        # Its centre and a point on its edge.
        (x, y), (edge_x, edge_y) = found
        radius = math.hypot(edge_x - x, edge_y - y)
        found = [(x - radius, y - radius), (x + radius, y + radius)]
        return shapes.around_points(found), POLYGON
    if kind in ("rectangle", "mask"):
        # Two corners in any order; some tools write all four.
        return (shapes.around_points(found), "") if len(found) in (2, 4) else (None, "")
    if kind in _NO_REGIONS:
        return shapes.around_points(found), ""
    if len(found) < 3:
        return None, ""
    return shapes.around_points(found), ROTATION if kind == "rotation" else POLYGON


def _is_number(value: object) -> bool:
    # In Python, bool is a subtype of int.
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_point(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
        return False
    # JSON allows integers of any length, which no float can hold.
    return all(abs(number) <= MAX_COORDINATE for number in value)
