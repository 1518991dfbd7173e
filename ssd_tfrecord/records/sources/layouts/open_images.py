"""Open Images: CSV of boxes as fractions by image id, and of descriptions of the classes' codes.

See https://storage.googleapis.com/openimages/web/download_v7.html, "Data formats".
"""

import functools
import json
import posixpath
import re
from collections.abc import Mapping, Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.layouts import csv_files
from ssd_tfrecord.records.sources.layouts.collector import Collector, number, quoted
from ssd_tfrecord.records.sources.layouts.layout import Finding, Part, Policies, by_split, counted
from ssd_tfrecord.records.sources.layouts.tree import Tree, common_folder
from ssd_tfrecord.records.sources.names import normal_name
from ssd_tfrecord.records.sources.paths import ImageFolder, printable
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, SourceSet
from ssd_tfrecord.records.sources.spool import Codec, Spool

LOOKED_FOR = "Open Images CSV (ImageID, LabelName, XMin, XMax, YMin, YMax)"

_EDGES = ("ymin", "xmin", "ymax", "xmax")
_FLAGS = ("isoccluded", "istruncated", "isgroupof", "isdepiction")
_NEEDED = ("imageid", "labelname", *_EDGES)
_TITLES = {kind: (kind,) for kind in (*_NEEDED, *_FLAGS)}
# A code of Google's knowledge graph.
_CODE = re.compile(r"/[mgt]/\w+", re.ASCII)

# A row: the image's id, the line, and the cells by what they hold; found by the id.
_Row = tuple[str, int, dict[str, str]]
_ROWS: Codec[_Row] = Codec(lambda row: row[0], json.dumps, lambda line: tuple(json.loads(line)))


def recognise(tree: Tree) -> Finding | None:
    """Returns the finding if the folder has Open Images' CSV.

    Raises:
        InputError: a CSV cannot be read.
    """
    firsts = {name: csv_files.first_row(tree.path(name)) for name in tree.with_suffix(".csv")}
    tables = [name for name, first in firsts.items() if _is_table(first)]
    if not tables:
        return None
    described = [name for name, first in firsts.items() if _is_description(first)]
    parts = tuple(
        Part(split, ", ".join(names), functools.partial(_read, tree, names, described, split))
        for split, names in by_split(tables).items()
    )
    what = f"Open Images CSV ({counted(len(tables), 'file')} of boxes)"
    others = [
        name for name, first in firsts.items() if not (_is_table(first) or _is_description(first))
    ]
    notes = csv_files.notes_on_others(map(tree.path, others))
    return Finding("openimages", what, parts, "fraction", notes)


def _is_table(first: Sequence[str]) -> bool:
    found = csv_files.columns(first, _TITLES)
    return all(kind in found for kind in _NEEDED)


def _is_description(first: Sequence[str]) -> bool:
    # Some versions have a header, LabelName,DisplayName.
    cells = [cell.strip().lower() for cell in first]
    return cells == ["labelname", "displayname"] or (
        len(cells) == 2 and _CODE.fullmatch(first[0].strip()) is not None
    )


def _descriptions(tree: Tree, names: Sequence[str]) -> dict[str, str]:
    """{code: name} of all descriptions, in the order of the files."""
    found: dict[str, str] = {}
    for name in names:
        path = tree.path(name)
        for line, cells in csv_files.read_rows(path):
            code = cells[0]
            if code.lower() == "labelname":
                continue
            described = normal_name(cells[1]) if len(cells) > 1 else ""
            if not described or found.get(code, described) != described:
                raise InputError(
                    f"{path}: line {line}: {quoted(code)} must have one name, the same everywhere"
                )
            found[code] = described
    return found


def _read(
    tree: Tree,
    names: Sequence[str],
    described: Sequence[str],
    split: str,
    policies: Policies,
) -> SourceSet:
    """Reads the boxes of the images that are there; see ``Part.read``."""
    near = common_folder(map(posixpath.dirname, names))
    folder = tree.images_for(split, near)
    collector = Collector(ImageFolder(tree.path(folder), policies.links), policies)
    reader = _Reader(tree, collector, _descriptions(tree, described))
    images = {
        posixpath.splitext(posixpath.basename(name))[0]: name
        for name in tree.below(folder, tree.images)
    }
    if len(images) < sum(1 for _ in tree.below(folder, tree.images)):
        raise InputError(f"{tree.path(folder)}: two images have the same id; ids must be unique")
    for name in names:
        reader.read(tree.path(name), images)
    if not reader.num_rows:
        raise InputError(
            f"{tree.path(folder)}: none of {counted(len(images), 'image')} is in {names[0]}, which "
            "has ids such as 000a1249af2bc5f0; must be called by these"
        )
    for image_id, name in images.items():
        reader.add(image_id, name)
    origin = {"input": tree.folder, "split": split, "files": list(names)}
    return collector.result(origin, reader.used_ids())


class _Reader:
    def __init__(self, tree: Tree, collector: Collector, described: Mapping[str, str]) -> None:
        self.num_rows = 0
        self._tree, self._collector, self._described = tree, collector, described
        self._rows = Spool(_ROWS)
        self._used: set[str] = set()
        self._file_of: dict[str, str] = {}
        # Two codes may have one description.
        counts: dict[str, int] = {}
        for name in described.values():
            counts[name] = counts.get(name, 0) + 1
        self._shared = {name for name, count in counts.items() if count > 1}

    def read(self, path: str, images: Mapping[str, str]) -> None:
        """Stores the rows of a table that are of one of ``images``, {id: file}."""
        places: dict[str, int] = {}
        absent = 0
        for line, cells in csv_files.read_rows(path):
            if not places:
                places = csv_files.columns(cells, _TITLES)
                continue
            found = {kind: cells[place] for kind, place in places.items() if place < len(cells)}
            image_id = found.get("imageid", "")
            # Nearly everybody has a part of the images, whose rows are found in CSV of all.
            if image_id in images:
                self._file_of.setdefault(image_id, path)
                self._rows.append((image_id, line, found))
                self.num_rows += 1
            else:
                absent += 1
        if absent:
            self._collector.note("rows of images that are not there: {}, passed over", path, absent)

    def add(self, image_id: str, name: str) -> None:
        """Adds an image with the objects of its rows."""
        rows, path = self._rows.of_key(image_id), self._tree.path(name)
        if not rows:
            self._collector.unannotated(name, path, "box in the CSV", "skip")
            return
        file, source_id = self._file_of[image_id], printable(image_id)
        objects: list[SourceObject] = []
        for _, line, cells in rows:
            found = self._object(len(objects) + 1, cells, f"{file}: line {line}", source_id)
            objects += [found] if found else []
        self._collector.add(
            SourceImage(source_id, path, f"{file}: image {source_id}", objects=tuple(objects))
        )

    def used_ids(self) -> dict[str, int]:
        """{class: number of its description} of the classes that occur, or {} without descriptions.

        Descriptions are of 600 classes, of which nearly everybody needs a few.
        """
        numbered = {self._name_of(code): index for index, code in enumerate(self._described, 1)}
        return {name: index for name, index in numbered.items() if name in self._used}

    def _name_of(self, code: str) -> str:
        name = self._described[code]
        return f"{name} ({code})" if name in self._shared else name

    def _object(
        self, index: int, cells: Mapping[str, str], where: str, source_id: str
    ) -> SourceObject | None:
        code = cells.get("labelname", "")
        if not code or (self._described and code not in self._described):
            problem = f"LabelName {quoted(code)}: must be among the class descriptions"
            self._collector.unknown_class(index, where, source_id, problem)
            return None
        name = self._name_of(code) if self._described else normal_name(code)
        self._used.add(name)
        if cells.get("isdepiction") == "1":
            self._collector.note("depictions (drawings, toys, statues) taken as objects: {}", where)
        texts = [cells.get(edge, "") for edge in _EDGES]
        ymin, xmin, ymax, xmax = map(number, texts)
        if ymin is None or xmin is None or ymax is None or xmax is None:
            problem = (
                f"box {quoted(', '.join(texts))} (YMin, XMin, YMax, XMax): must be four numbers"
            )
            return self._collector.boxless(index, name, where, problem)
        return self._collector.sound(
            index,
            name,
            (ymin, xmin, ymax, xmax),
            # -1 is unknown.
            occluded=cells.get("isoccluded") == "1",
            truncated=cells.get("istruncated") == "1",
            crowd=cells.get("isgroupof") == "1",
        )
