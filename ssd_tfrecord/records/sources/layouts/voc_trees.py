"""VOC XML in a folder: a VOCdevkit, lists of image sets, or XML and images in any arrangement."""

import contextlib
import dataclasses
import functools
import os
import posixpath
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources import voc
from ssd_tfrecord.records.sources.layouts import joined
from ssd_tfrecord.records.sources.layouts.layout import (
    Finding,
    Part,
    Policies,
    by_split,
    counted,
    in_order,
)
from ssd_tfrecord.records.sources.layouts.tree import Tree, common_folder
from ssd_tfrecord.records.sources.layouts.yolo_labels import read_text
from ssd_tfrecord.records.sources.source_set import SourceSet

LOOKED_FOR = "VOC XML (a VOCdevkit, Annotations/ and JPEGImages/, or XML beside images)"

# How many files of each folder are looked into to recognise the layout, and how far.
_NUM_LOOKED_AT, _LOOKED_AT = 3, 2**12
_ROOT_TAG = re.compile(rb"<annotation[\s>]")
_YEAR = re.compile(r"VOC(\w+)", re.ASCII)
# The challenge's own years, whose classes are VOC's 20.
_OFFICIAL = re.compile(r"VOC20(0[5-9]|1[0-2])", re.ASCII)
_MAX_LIST_BYTES = 2**26


@dataclasses.dataclass(frozen=True)
class _ImageSet:
    """A list of images: ``root`` has Annotations; ``name`` is the file's; "" for all its XML."""

    root: str
    name: str
    path: str = ""


def recognise(tree: Tree) -> Finding | None:
    """Returns the finding if the folder has VOC XML.

    Raises:
        InputError: a file cannot be read.
    """
    names = _voc_files(tree)
    if not names:
        return None
    roots = sorted({root for name in names if (root := _root_of(name)) is not None})
    sets, notes = _image_sets(tree, roots)
    all_in_roots = all(_root_of(name) is not None for name in names)
    years = [_YEAR.fullmatch(posixpath.basename(root)) for root in roots]
    parents = {posixpath.dirname(root) for root in roots}
    if roots and all_in_roots and all(years) and len(parents) == 1:
        return _devkit(tree, roots, sets, notes)
    if roots and all_in_roots and "" not in sets:
        what = f"VOC XML ({counted(len(names), 'file')}) with lists of image sets"
        return Finding("voc", what, _listed_parts(tree, sets), notes=notes)
    found = by_split(names)
    parts = tuple(
        Part(split, counted(len(files), "file"), functools.partial(_read, tree, files, split))
        for split, files in found.items()
    )
    return Finding("voc", f"VOC XML ({counted(len(names), 'file')})", parts)


def _root_of(name: str) -> str | None:
    """The folder whose Annotations holds the file ``name``; None if it is in no such folder."""
    root, found, _ = f"/{name}".partition("/Annotations/")
    return root.removeprefix("/") if found else None


def _voc_files(tree: Tree) -> list[str]:
    by_folder: dict[str, list[str]] = {}
    for name in tree.with_suffix(".xml"):
        by_folder.setdefault(posixpath.dirname(name), []).append(name)
    return sorted(
        name
        for files in by_folder.values()
        if any(_looks_like_voc(tree.path(name)) for name in files[:_NUM_LOOKED_AT])
        for name in files
    )


def _looks_like_voc(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            # Without the zeros of UTF-16.
            return _ROOT_TAG.search(file.read(_LOOKED_AT).replace(b"\0", b"")) is not None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _image_sets(
    tree: Tree, roots: Sequence[str]
) -> tuple[dict[str, list[_ImageSet]], tuple[str, ...]]:
    """({split: image sets} of all roots, notes)."""
    found: dict[str, list[_ImageSet]] = {}
    notes = []
    for root in roots:
        main = posixpath.join(root, "ImageSets/Main")
        paths = {name: posixpath.join(main, name + ".txt") for name in ("train", "val", "trainval")}
        have = {name: path for name, path in paths.items() if path in tree.known}
        chosen = ["train", "val"] if {"train", "val"} <= have.keys() else sorted(have)[-1:]
        if len(have) == 3:
            notes.append(f"{tree.path(have['trainval'])}: not used, as train.txt and val.txt are")
        test = posixpath.join(main, "test.txt")
        if test in tree.known and _has_annotations(tree, root, test):
            have["test"] = test
            chosen.append("test")
        elif test in tree.known:
            notes.append(f"{tree.path(test)}: left out, as none of its images has an XML")
        for name in chosen:
            split = "train" if name == "trainval" else name
            found.setdefault(split, []).append(_ImageSet(root, name, have[name]))
        if not chosen:
            found.setdefault("", []).append(_ImageSet(root, ""))
    return found, tuple(notes)


def _has_annotations(tree: Tree, root: str, image_set: str) -> bool:
    lines = read_text(tree.path(image_set), _MAX_LIST_BYTES).splitlines()
    listed = {posixpath.basename(line.strip()) for line in lines}
    # Lists may have file names, or a second column.
    listed |= {posixpath.splitext(name)[0] for name in listed}
    listed |= {re.sub(r"\s+(-1|0|1)$", "", name) for name in listed}
    known = {
        posixpath.splitext(posixpath.basename(name))[0]
        for name in tree.below(posixpath.join(root, "Annotations"), tree.with_suffix(".xml"))
    }
    return not listed.isdisjoint(known)


def _devkit(
    tree: Tree,
    roots: Sequence[str],
    sets: Mapping[str, Sequence[_ImageSet]],
    notes: tuple[str, ...],
) -> Finding:
    parts = []
    for split in in_order(sets):
        # As --sets has them: 2007_trainval, or 2007 for all XML.
        names = []
        for item in sets[split]:
            year = posixpath.basename(item.root).removeprefix("VOC")
            names.append(f"{year}_{item.name}" if item.name else year)
        read = functools.partial(_read_devkit, tree, posixpath.dirname(roots[0]), names, split)
        parts.append(Part(split, ", ".join(names), read))
    official = all(_OFFICIAL.fullmatch(posixpath.basename(root)) for root in roots)
    years = ", ".join(posixpath.basename(root) for root in roots)
    classes = "voc" if official else "auto"
    return Finding("voc", f"VOCdevkit ({years})", tuple(parts), notes=notes, classes=classes)


def _listed_parts(tree: Tree, sets: Mapping[str, Sequence[_ImageSet]]) -> tuple[Part, ...]:
    return tuple(
        Part(
            split,
            ", ".join(item.path for item in sets[split]),
            functools.partial(_read_listed, tree, sets[split], split),
        )
        for split in in_order(sets)
    )


def _reading(policies: Policies) -> dict[str, Any]:
    return {
        "pixel_origin": policies.pixel_origin,
        "unannotated": policies.for_unannotated("skip"),
        "bad_images": policies.bad_images,
        "workers": policies.workers,
        "links": policies.links,
    }


def _read_devkit(
    tree: Tree, root: str, names: Sequence[str], split: str, policies: Policies
) -> SourceSet:
    found = voc.read_devkit(tree.path(root), names, **_reading(policies))
    return _with_origin(found, tree, split, {"sets": list(names)})


def _read_listed(
    tree: Tree, sets: Sequence[_ImageSet], split: str, policies: Policies
) -> SourceSet:
    found = {}
    for item in sets:
        images = next(
            (
                folder
                for name in ("JPEGImages", "images", "Images")
                if (folder := posixpath.join(item.root, name)) in tree.folders
            ),
            tree.images_for("", item.root),
        )
        found[item.root or "."] = voc.read_folder(
            tree.path(posixpath.join(item.root, "Annotations")),
            tree.path(images),
            tree.path(item.path),
            **_reading(policies),
        )
    sets_of = {"image_sets": [item.path for item in sets]}
    return _with_origin(joined.join(found, {}), tree, split, sets_of)


def _read(tree: Tree, files: Sequence[str], split: str, policies: Policies) -> SourceSet:
    """Reads the XML ``files``; see ``Part.read``."""
    folder = common_folder(map(posixpath.dirname, files))
    images = tree.images_for(split, folder)
    # What else is below these folders belongs to other splits, or is no VOC at all.
    others = len(files) < sum(1 for _ in tree.below(folder, tree.with_suffix(".xml")))
    shared = len(files) < sum(1 for _ in tree.below(images, tree.with_suffix(".xml")))
    with _list_of(files, folder) if others or shared else contextlib.nullcontext("") as listed:
        found = voc.read_folder(tree.path(folder), tree.path(images), listed, **_reading(policies))
    return _with_origin(found, tree, split, {"annotations_dir": folder, "images_dir": images})


@contextlib.contextmanager
def _list_of(files: Sequence[str], folder: str) -> Iterator[str]:
    """Writes the stems of ``files``, relative to ``folder``, to a temporary file."""
    start = len(folder) + 1 if folder else 0
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "images.txt")
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(posixpath.splitext(name[start:])[0] + "\n" for name in files)
        yield path


def _with_origin(found: SourceSet, tree: Tree, split: str, more: Mapping[str, object]) -> SourceSet:
    return dataclasses.replace(found, origin={"input": tree.folder, "split": split, **more})
