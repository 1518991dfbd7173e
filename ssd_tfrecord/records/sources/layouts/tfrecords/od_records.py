"""Records of the TF Object Detection API: images and boxes in TFRecords, beside a label map.

Images stay where they are: a SourceImage says where its bytes are in the file.
"""

import dataclasses
import functools
import posixpath
import re
from collections.abc import Mapping, Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources import spool
from ssd_tfrecord.records.sources.layouts.collector import Collector, quoted
from ssd_tfrecord.records.sources.layouts.layout import Finding, Part, Policies, by_split, counted
from ssd_tfrecord.records.sources.layouts.tfrecords import label_map, od_example, record_frames
from ssd_tfrecord.records.sources.layouts.tfrecords.example_wire import WireError
from ssd_tfrecord.records.sources.layouts.tfrecords.label_map import MapItem
from ssd_tfrecord.records.sources.layouts.tfrecords.od_example import OdExample, OdObject
from ssd_tfrecord.records.sources.layouts.tfrecords.record_frames import Frame
from ssd_tfrecord.records.sources.layouts.tree import Tree
from ssd_tfrecord.records.sources.names import normal_name
from ssd_tfrecord.records.sources.paths import ImageFolder, printable
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceSet
from ssd_tfrecord.records.sources.spool import Spool

LOOKED_FOR = "TFRecords of the TF Object Detection API (.record or .tfrecord)"

_NAME = re.compile(r".*\.(record|records|tfrecord|tfrecords|tfrec)(-\d+-of-\d+)?", re.I)
# A record is read whole; a larger one holds no image that would be decoded.
MAX_RECORD = 2**28
_NUM_LOOKED_AT = 5


def recognise(tree: Tree) -> Finding | None:
    """Returns the finding if the folder has TFRecords with images.

    Raises:
        InputError: two label maps differ, or one is damaged.
    """
    names = [name for name in tree.files if _NAME.fullmatch(posixpath.basename(name))]
    if not any(_has_image(tree.path(name)) for name in names[:_NUM_LOOKED_AT]):
        return None
    file, items = _label_map(tree)
    parts = tuple(
        Part(
            split,
            counted(len(files), "file"),
            functools.partial(_read, tree, files, items, split),
        )
        for split, files in by_split(names).items()
    )
    names_in = f"{counted(len(items), 'name')} in {file}" if file else "no label map"
    what = f"TFRecords of the TF Object Detection API ({names_in})"
    return Finding("tfrecord", what, parts, "fraction")


def _has_image(path: str) -> bool:
    try:
        frame = next(record_frames.scan(path), None)
        return frame is not None and od_example.has_image(_data(path, frame))
    except InputError:
        return True  # it is damaged, which reading it will say
    except WireError:
        return False


def _data(path: str, frame: Frame) -> bytes:
    if frame.length > MAX_RECORD:
        raise InputError(
            f"{path}: record {frame.index} has {frame.length} bytes: must have at most {MAX_RECORD}"
        )
    try:
        with open(path, "rb") as file:
            file.seek(frame.data_offset)
            return file.read(frame.length)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _label_map(tree: Tree) -> tuple[str, Mapping[int, MapItem]]:
    """(file, items) of the label map; ("", {}) if there is none."""
    found: dict[str, dict[int, MapItem]] = {}
    for name in tree.with_suffix(".pbtxt"):
        try:
            found[name] = label_map.read_items(tree.path(name), flag="")
        except InputError:
            # Other things are kept in .pbtxt too, such as graphs.
            if "label" in posixpath.basename(name).lower():
                raise
    if not found:
        return "", {}
    file, items = min(found.items(), key=lambda item: (item[0].count("/"), item[0]))
    for name, other in found.items():
        if other != items:
            raise InputError(
                f"{tree.path(name)}: its classes are not those of {tree.path(file)}; must be the "
                "same"
            )
    return file, items


def _read(
    tree: Tree,
    files: Sequence[str],
    items: Mapping[int, MapItem],
    split: str,
    policies: Policies,
) -> SourceSet:
    """Reads the records of ``files``; see ``Part.read``."""
    collector = Collector(ImageFolder(tree.folder, policies.links), policies)
    reader = _Reader(collector, items)
    for name in files:
        reader.read(tree.path(name), name)
    if not reader.has_boxes:
        raise InputError(
            f"{tree.path(files[0])}: no record has boxes; must be for object detection"
        )
    ids = {normal_name(item.shown): number for number, item in items.items()}
    origin = {"input": tree.folder, "split": split, "files": list(files)}
    found = collector.result(origin, ids)
    return _with_unique_ids(found) if found.images.repeated_keys() else found


def _with_unique_ids(found: SourceSet) -> SourceSet:
    """Calls each image by its record, as several have the same id."""
    images = Spool(spool.IMAGES)
    for image in found.images:
        images.append(dataclasses.replace(image, source_id=printable(image.file)))
    return dataclasses.replace(found, images=images)


class _Reader:
    def __init__(self, collector: Collector, items: Mapping[int, MapItem]) -> None:
        self.has_boxes = False
        self._collector, self._items = collector, items
        names = {item.name: item.shown for item in items.values() if item.name}
        self._shown = {**names, **{item.shown: item.shown for item in items.values()}}

    def read(self, path: str, name: str) -> None:
        """Adds the images of a file; ``name`` is its path in the folder."""
        for frame in record_frames.scan(path):
            file = f"{path}: record {frame.index}"
            fallback = printable(f"{name}: record {frame.index}")
            try:
                example = od_example.parse(_data(path, frame))
            except WireError as error:
                problem = f"is no tf.train.Example: {error}"
                self._collector.miss(file, fallback, problem, reason="damaged")
                continue
            self.has_boxes |= example.has_boxes
            source_id = example.source_id or example.filename or fallback
            if example.problem:
                names = [self._shown.get(text, text) for text in example.names]
                self._collector.miss(file, source_id, example.problem, names, reason="damaged")
            else:
                self._add(path, file, source_id, frame, example)

    def _add(self, path: str, file: str, source_id: str, frame: Frame, example: OdExample) -> None:
        objects = []
        for index, item in enumerate(example.objects, 1):
            where = f"{file}: object {index}"
            name = self._class_of(item, where)
            if name:
                objects.append(self._collector.sound(index, name, item.box, **item.flags))
                continue
            written = f"label {item.label} {quoted(item.text)}"
            problem = f"{written}: must be in the label map" if self._items else "has no class name"
            self._collector.unknown_class(index, where, source_id, problem)
        self._collector.add(
            SourceImage(
                source_id,
                path,
                file,
                example.size,
                tuple(objects),
                frame.data_offset + example.image.begin,
                example.image.length,
                example.filename,
            )
        )

    def _class_of(self, item: OdObject, where: str) -> str:
        """The class of an object, "" if it is unknown.

        Raises:
            InputError: the label map contradicts the record, and so is that of other records.
        """
        if not self._items:
            if not item.text:
                raise InputError(
                    f"{where}: label {item.label} has no class name; add a label_map.pbtxt"
                )
            return item.text
        mapped = self._items.get(item.label)
        if mapped is None:
            return normal_name(self._shown.get(item.text, "")) if item.label < 0 else ""
        if item.text and self._shown.get(item.text) != mapped.shown:
            raise InputError(
                f"{where}: label {item.label} is {quoted(item.text)}, but in the label map "
                f"{quoted(mapped.shown)}; must be the label map of these records"
            )
        return normal_name(mapped.shown)
