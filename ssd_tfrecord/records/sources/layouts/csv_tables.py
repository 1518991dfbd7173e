"""CSV with a row for each box in pixels, as of TensorFlow's tutorials or of RetinaNet.

filename,width,height,class,xmin,ymin,xmax,ymax is the header of the former, in any order; the
latter is path,x1,y1,x2,y2,class without a header, beside a file of name,id for the classes.
"""

import functools
import itertools
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.annotation import MAX_COORDINATE
from ssd_tfrecord.records.image_suffixes import IMAGE_SUFFIXES
from ssd_tfrecord.records.processes.progress import bar
from ssd_tfrecord.records.sources.layouts import csv_files
from ssd_tfrecord.records.sources.layouts.collector import Collector, number, quoted
from ssd_tfrecord.records.sources.layouts.layout import Finding, Part, Policies, by_split, counted
from ssd_tfrecord.records.sources.layouts.tree import Tree, common_folder
from ssd_tfrecord.records.sources.names import normal_name
from ssd_tfrecord.records.sources.paths import ImageFolder, printable
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, SourceSet
from ssd_tfrecord.records.sources.spool import Codec, Spool

LOOKED_FOR = "CSV of boxes (filename, class, xmin, ymin, xmax, ymax, or RetinaNet's)"

# What the columns are called.
_TITLES = {
    "image": (
        *("filename", "file", "imagename", "imagepath", "imagefile", "image", "img", "path"),
        *("filepath", "imgname", "imgpath", "imageid"),
    ),
    "class": ("class", "label", "classname", "category", "object", "name"),
    "xmin": ("xmin", "x1", "left", "bboxxmin", "minx"),
    "ymin": ("ymin", "y1", "top", "bboxymin", "miny"),
    "xmax": ("xmax", "x2", "right", "bboxxmax", "maxx"),
    "ymax": ("ymax", "y2", "bottom", "bboxymax", "maxy"),
    "width": ("width", "imagewidth", "imgwidth"),
    "height": ("height", "imageheight", "imgheight"),
}
_NEEDED = ("image", "class", "xmin", "ymin", "xmax", "ymax")
# In the order of a box's numbers.
_EDGES = ("ymin", "xmin", "ymax", "xmax")
_RETINANET = {"image": 0, "xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4, "class": 5}


@dataclass(frozen=True)
class _Row:
    """A row of one image: ``cells`` are by what they hold, ``where`` is its file and line."""

    image: str
    where: str
    cells: Mapping[str, str]


_ROWS: Codec[_Row] = Codec(
    lambda row: row.image,
    lambda row: json.dumps([row.image, row.where, row.cells]),
    lambda line: _Row(*json.loads(line)),
)


def recognise(tree: Tree) -> Finding | None:
    """Returns the finding if the folder has CSV with boxes in pixels.

    Raises:
        InputError: a CSV cannot be read, or two lists of classes differ.
    """
    firsts = {name: csv_files.first_row(tree.path(name)) for name in tree.with_suffix(".csv")}
    tables = [name for name, first in firsts.items() if _columns(first)]
    if not tables:
        return None
    headed = _has_header(firsts[tables[0]])
    ids = _class_ids(tree, [name for name, first in firsts.items() if _is_class_row(first)])
    parts = tuple(
        Part(
            split,
            ", ".join(names[:3]) + ("…" if len(names) > 3 else ""),
            functools.partial(_read, tree, names, ids, split),
        )
        for split, names in by_split(tables).items()
    )
    what = "CSV of boxes" if headed else "RetinaNet's CSV"
    others = [
        name for name, first in firsts.items() if not (_columns(first) or _is_class_row(first))
    ]
    notes = csv_files.notes_on_others(map(tree.path, others))
    return Finding("csv", f"{what} ({counted(len(tables), 'file')})", parts, notes=notes)


def _columns(first: Sequence[str]) -> dict[str, int]:
    """{what it holds: column} of a table that begins with the row ``first``; {} if it is none."""
    found = csv_files.columns(first, _TITLES)
    if all(kind in found for kind in _NEEDED):
        return found
    cells = [cell.strip() for cell in first]
    # Without a header: blank cells are an image without objects.
    if len(cells) == len(_RETINANET) and cells[0].lower().endswith(IMAGE_SUFFIXES):
        numbers = cells[1:5]
        if not any(numbers) or all(number(cell) is not None for cell in numbers):
            return _RETINANET
    return {}


def _has_header(first: Sequence[str]) -> bool:
    return _columns(first) is not _RETINANET


def _is_class_row(first: Sequence[str]) -> bool:
    return len(first) == 2 and re.fullmatch(r"\d{1,6}", first[1].strip(), re.ASCII) is not None


def _class_ids(tree: Tree, names: Sequence[str]) -> dict[str, int]:
    """{class name: id} of RetinaNet's lists of classes; {} if there is none."""
    found: dict[str, int] = {}
    for name in names:
        path, ids = tree.path(name), dict[str, int]()
        for line, cells in csv_files.read_rows(path):
            class_name = normal_name(cells[0])
            if not _is_class_row(cells) or not class_name or class_name in ids:
                raise InputError(f"{path}: line {line}: must be a class name and its id, each once")
            ids[class_name] = int(cells[1])
        if len(set(ids.values())) < len(ids):
            raise InputError(f"{path}: two classes have the same id; ids must be unique")
        if found and ids != found:
            raise InputError(f"{path}: its classes are not those of {tree.path(names[0])}")
        found = ids
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _read(
    tree: Tree, names: Sequence[str], ids: Mapping[str, int], split: str, policies: Policies
) -> SourceSet:
    """Reads the tables ``names``; see ``Part.read``."""
    near = common_folder(os.path.dirname(name) for name in names)
    folder = tree.path(tree.images_for(split, near, _example(tree.path(names[0]))))
    reader = _Reader(tree, Collector(ImageFolder(folder, policies.links), policies), ids)
    for name in names:
        reader.read(tree.path(name))
    reader.finish()
    origin = {"input": tree.folder, "split": split, "files": list(names)}
    return reader.collector.result(origin, ids)


def _example(path: str) -> str:
    """The name of the first image in a table, "" if there is none."""
    rows = itertools.islice(csv_files.read_rows(path), 2)
    cells = [cells for _, cells in rows]
    columns = _columns(cells[0]) if cells else {}
    place = columns.get("image", 0)
    row = cells[-1] if len(cells) > _has_header(cells[0]) else []
    return row[place] if place < len(row) else ""


class _Reader:
    def __init__(self, tree: Tree, collector: Collector, ids: Mapping[str, int]) -> None:
        self.collector = collector
        self._tree, self._ids = tree, ids
        self._rows = Spool(_ROWS)
        # A dictionary for its order: images come as they are met first.
        self._images: dict[str, None] = {}

    def read(self, path: str) -> None:
        """Stores the rows of a table by their images."""
        places: Mapping[str, int] = {}
        for line, cells in csv_files.read_rows(path):
            where = f"{path}: line {line}"
            if not places:
                places = _columns(cells)
                if _has_header(cells):
                    continue
            found = {kind: cells[place] for kind, place in places.items() if place < len(cells)}
            image = found.get("image", "")
            if not image:
                self.collector.miss(where, "?", "has no image name", [found.get("class", "")])
                continue
            self._images.setdefault(image)
            self._rows.append(_Row(image, where, found))

    def finish(self) -> None:
        """Adds each image with the objects of its rows."""
        with bar(len(self._images), " images", "annotations") as progress:
            for image in self._images:
                self._add(image, self._rows.of_key(image))
                progress.update()

    def _add(self, image: str, rows: Sequence[_Row]) -> None:
        where = rows[0].where
        path = self.collector.locate(image, where)
        if path is None:
            names = [row.cells.get("class", "") for row in rows]
            problem = f"image {quoted(image)} does not exist"
            self.collector.miss(where, printable(image), problem, names)
            return
        source_id = printable(os.path.relpath(path, self._tree.folder).replace(os.sep, "/"))
        objects: list[SourceObject] = []
        for row in rows:
            # Without class and box, it says that the image has no object.
            if any(row.cells.get(kind) for kind in ("class", *_EDGES)):
                found = self._object(len(objects) + 1, row, source_id)
                objects += [found] if found else []
        size = next((size for row in rows if (size := _size(row.cells))), None)
        self.collector.add(SourceImage(source_id, path, where, size, tuple(objects)))

    def _object(self, index: int, row: _Row, source_id: str) -> SourceObject | None:
        name = normal_name(row.cells.get("class", ""))
        if not name or (self._ids and name not in self._ids):
            problem = f"class {quoted(name)}: must be " + (
                "in the list of classes" if name else "given"
            )
            self.collector.unknown_class(index, row.where, source_id, problem)
            return None
        texts = [row.cells.get(edge, "") for edge in _EDGES]
        ymin, xmin, ymax, xmax = map(number, texts)
        if ymin is None or xmin is None or ymax is None or xmax is None:
            problem = (
                f"box {quoted(', '.join(texts))} (ymin, xmin, ymax, xmax): must be four numbers"
            )
            return self.collector.boxless(index, name, row.where, problem)
        return self.collector.sound(index, name, (ymin, xmin, ymax, xmax))


def _size(cells: Mapping[str, str]) -> tuple[float, float] | None:
    width, height = (number(cells.get(kind, "")) for kind in ("width", "height"))
    # Some tools write 0 if they do not know the size.
    if width is None or height is None:
        return None
    sound = min(width, height) > 0 and max(width, height) <= MAX_COORDINATE
    return (width, height) if sound else None
