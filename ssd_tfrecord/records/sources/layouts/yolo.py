"""YOLO: a text file of labels for each image, and a list of class names."""

import collections
import functools
import itertools
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.image_suffixes import IMAGE_SUFFIXES
from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.processes.progress import bar
from ssd_tfrecord.records.sources.layouts import yolo_config, yolo_labels
from ssd_tfrecord.records.sources.layouts.collector import Collector, number, quoted
from ssd_tfrecord.records.sources.layouts.layout import (
    Finding,
    Part,
    Policies,
    by_split,
    counted,
    in_order,
)
from ssd_tfrecord.records.sources.layouts.tree import Tree
from ssd_tfrecord.records.sources.layouts.yolo_config import YoloConfig
from ssd_tfrecord.records.sources.layouts.yolo_labels import Line, read_labels
from ssd_tfrecord.records.sources.paths import ImageFolder, printable
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, SourceSet

LOOKED_FOR = "YOLO labels (a .txt for each image, and data.yaml, obj.data or classes.txt)"
# From the folder of images to that of their labels. Ultralytics and Darknet replace the last
# "images" or "JPEGImages" of a path; the others are what people call them.
_PLURAL, _SINGULAR = re.compile(r"jpegimages|images|imgs", re.I), re.compile(r"image|img", re.I)
# How many label files are looked into to recognise the layout.
_NUM_LOOKED_AT = 20
# Room for a list of a million images.
_MAX_LIST_BYTES = 2**28


def recognise(tree: Tree) -> Finding | None:
    """Returns the finding if the folder has YOLO labels.

    Raises:
        InputError: it has, but its data.yaml, class names or lists cannot be used.
    """
    if not _has_labels(tree):
        return None
    config = yolo_config.find_config(tree)
    listed, left_out = _images_of_splits(tree, config)
    _refuse_overlap(tree, listed)
    kept, notes = _with_labels(tree, listed)
    parts = tuple(
        Part(
            name,
            counted(len(images), "image"),
            functools.partial(_read, tree, config, tuple(images), name),
        )
        for name, images in kept.items()
    )
    names = f"{counted(len(config.names), 'name')} in {config.file}" if config.names else "no names"
    return Finding(
        "yolo", f"YOLO labels ({names})", parts, "fraction", (*config.notes, *left_out, *notes)
    )


def _has_labels(tree: Tree) -> bool:
    paired = (_label_of(tree, image) for image in tree.images)
    found = itertools.islice((name for name in paired if name), _NUM_LOOKED_AT)
    # Empty files may be those of images without objects.
    return any(yolo_labels.looks_like_labels(tree.path(name)) for name in found)


def _label_of(tree: Tree, image: str) -> str | None:
    """Returns the label file of an image, or None if there is none."""
    folder, name = posixpath.split(posixpath.splitext(image)[0])
    for candidate in (*_label_folders(folder), folder):
        found = posixpath.join(candidate, name + ".txt")
        if found in tree.known:
            return found
    return None


@functools.lru_cache(maxsize=2**14)
def _label_folders(folder: str) -> tuple[str, ...]:
    """Returns where the labels of images in ``folder`` may be, apart from ``folder`` itself."""
    names = folder.split("/")
    found = []
    # The last one first: images/a/images/1.jpg has its labels in images/a/labels.
    for place in reversed(range(len(names))):
        for pattern, word in ((_PLURAL, "labels"), (_SINGULAR, "label")):
            replaced = pattern.sub(word, names[place])
            if replaced != names[place]:
                found.append("/".join([*names[:place], replaced, *names[place + 1 :]]))
    return tuple(found)


def _images_of_splits(
    tree: Tree, config: YoloConfig
) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """({split: images} by the paths in a configuration, or else by folders; notes)."""
    if not config.splits:
        says = config.file.endswith((".txt", ".names")) or not config.file
        note = f"{tree.path(config.file)}: has no splits; those of the names of folders are taken"
        return by_split(tree.images), () if says else (note,)
    here = posixpath.dirname(config.file)
    base = tree.lead(config.base, (here, "")) if config.base else None
    bases = tuple(dict.fromkeys([here, ""] if base is None else [base, here, ""]))
    found: dict[str, list[str]] = {}
    notes = []
    for split in in_order(config.splits):
        images: dict[str, None] = {}
        for text in config.splits[split]:
            place = tree.lead(text, bases)
            here_are = list(_images_at(tree, place)) if place is not None else []
            images |= dict.fromkeys(here_are)
            what = "has no images" if place is not None else f"is not in {tree.folder}"
            where = f"{tree.path(config.file)}: {split}: {quoted(text)}"
            if not here_are and split == "train":
                raise InputError(f"{where} {what}; must be a folder of images or a list of them")
            # Many exports name a test set that they do not have.
            if not here_are:
                notes.append(f"{where} {what}: left out")
        if images:
            found[split] = list(images)
    if not found:
        raise InputError(f"{tree.path(config.file)}: its splits have no images")
    return found, tuple(notes)


def _images_at(tree: Tree, place: str) -> Iterable[str]:
    """The images of a folder, or of a file that lists them."""
    if place not in tree.known:
        return tree.below(place, tree.images)
    return [place] if place.lower().endswith(IMAGE_SUFFIXES) else _listed(tree, place)


def _listed(tree: Tree, name: str) -> list[str]:
    path = tree.path(name)
    bases = tuple(dict.fromkeys((posixpath.dirname(name), "")))
    lines = yolo_labels.read_text(path, _MAX_LIST_BYTES).splitlines()
    texts = [line.strip() for line in lines if line.strip()]
    # A missing one keeps its name: --bad_images decides.
    found = [tree.lead(text, bases) or text for text in texts]
    twice = [item for item, count in collections.Counter(found).items() if count > 1]
    if twice:
        raise InputError(f"{path}: {quoted(twice[0])} is listed twice; must be listed only once")
    return found


def _refuse_overlap(tree: Tree, listed: Mapping[str, Iterable[str]]) -> None:
    owner: dict[str, str] = {}
    for split, images in listed.items():
        for image in images:
            if (other := owner.setdefault(image, split)) != split:
                raise InputError(
                    f"{tree.path(image)}: is in both {other} and {split}; must be in only one"
                )


def _with_labels(
    tree: Tree, listed: Mapping[str, list[str]]
) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """(the splits that are worth reading, notes on the others).

    Test images are often published without labels, and a folder of splits may hold other pictures.
    """
    kept, notes = {}, []
    taken = {image for images in listed.values() for image in images}
    others = [name for name in tree.images if name not in taken and _label_of(tree, name)]
    if others:
        notes.append(
            f"{tree.path(others[0])}: {counted(len(others), 'image')} with labels in no split: "
            "left out"
        )
    for split, images in listed.items():
        optional = split == "test" or (split == "" and len(listed) > 1)
        if optional and not any(_label_of(tree, image) for image in images):
            what = f"{split or 'images outside of the splits'} ({counted(len(images), 'image')})"
            notes.append(f"{tree.folder}: {what}: left out, as there are no labels for them")
        else:
            kept[split] = images
    return kept, tuple(notes)


def _read(
    tree: Tree, config: YoloConfig, images: Sequence[str], split: str, policies: Policies
) -> SourceSet:
    """Reads the labels of ``images``; see ``Part.read``."""
    if not config.names:
        raise InputError(
            f"{tree.folder}: has YOLO labels but no class names; add a classes.txt with one name "
            "per line, the first for class 0"
        )
    reader = _Reader(tree, config, policies)
    reader.read(images)
    reader.miss_orphans(images)
    ids = {name: number for number, name in config.names.items()}
    return reader.collector.result({"input": tree.folder, "split": split}, ids)


class _Reader:
    def __init__(self, tree: Tree, config: YoloConfig, policies: Policies) -> None:
        self._tree, self._config = tree, config
        self.collector = Collector(ImageFolder(tree.folder, policies.links), policies)
        self._known_names = frozenset(config.names.values())

    def read(self, images: Sequence[str]) -> None:
        """Adds each image with the objects of its label file."""
        found = [(image, _label_of(self._tree, image)) for image in images]
        labels = [name for _, name in found if name]
        if not labels:
            raise InputError(
                f"{self._tree.folder}: none of {counted(len(images), 'image')}, such as "
                f"{quoted(images[0])}, has a label file; must have one of the same name, in "
                "labels/ instead of images/ or beside the image"
            )
        contents = self._parsed(labels)
        for image, label in found:
            source_id = printable(image)
            lines = next(contents) if label else None
            if image not in self._tree.known:
                where = self._tree.path(self._config.file)
                self.collector.miss(where, source_id, f"image {quoted(image)} does not exist")
                continue
            path = self._tree.path(image)
            if label is None or lines is None:
                # As Ultralytics reads them: backgrounds.
                self.collector.unannotated(image, path, "label file", "negative")
                continue
            file = self._tree.path(label)
            objects = self._objects(lines, file, source_id)
            self.collector.add(SourceImage(source_id, path, file, objects=objects))

    def _parsed(self, labels: Sequence[str]) -> Iterator[tuple[Line, ...]]:
        """Yields the lines of each label file, read by worker processes."""
        chosen = workers.choose_number(self.collector.policies.workers, len(labels), len(labels))
        read = functools.partial(read_labels, num_keypoint_values=self._config.num_keypoint_values)
        paths = map(self._tree.path, labels)
        with bar(len(labels), " label files", "annotations") as progress:
            for lines in workers.map_in_order(read, paths, chosen):
                yield lines
                progress.update()

    def _objects(
        self, lines: Iterable[Line], file: str, source_id: str
    ) -> tuple[SourceObject, ...]:
        objects = []
        for index, line in enumerate(lines, 1):
            where = f"{file}: line {line.number}"
            name = self._class_of(line.word)
            if name is None:
                ids = f"{min(self._config.names)} to {max(self._config.names)}"
                problem = f"class {quoted(line.word)}: must be one of {ids}, as in "
                problem += self._config.file
                self.collector.unknown_class(index, where, source_id, problem)
            elif line.box is None:
                objects.append(self.collector.boxless(index, name, where, line.problem))
            else:
                objects.append(self.collector.sound(index, name, line.box))
                if line.shape:
                    self.collector.enclosed(objects[-1], where, source_id, line.shape)
                if line.extra:
                    self.collector.note("lines with a sixth number, which is ignored: {}", where)
        return tuple(objects)

    def _class_of(self, word: str) -> str | None:
        value = number(word)
        # Some tools write 0.0 or 3.000000, others the name itself.
        if value is None:
            return word if word in self._known_names else None
        return self._config.names.get(int(value)) if value == value // 1 else None

    def miss_orphans(self, images: Iterable[str]) -> None:
        """Misses the images of label files that are in this split's folders without an image."""
        labels = (_label_of(self._tree, image) for image in images)
        folders = {posixpath.dirname(label) for label in labels if label}
        taken = {_label_of(self._tree, image) for image in self._tree.images}
        for name in self._tree.with_suffix(".txt"):
            path = self._tree.path(name)
            if name in taken or posixpath.dirname(name) not in folders:
                continue
            if not yolo_labels.looks_like_labels(path):
                continue
            lines = read_labels(path, self._config.num_keypoint_values)
            names = [self._class_of(line.word) or "" for line in lines]
            self.collector.miss(path, printable(name), "has no image", names)
