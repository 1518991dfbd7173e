"""Which layout a folder has."""

import dataclasses
from collections.abc import Callable, Iterable

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.file_tree import link_note
from ssd_tfrecord.records.sources.layouts import (
    coco_trees,
    csv_tables,
    labelme,
    open_images,
    voc_trees,
    yolo,
)
from ssd_tfrecord.records.sources.layouts.layout import Finding, in_order, split_of
from ssd_tfrecord.records.sources.layouts.tfrecords import od_records
from ssd_tfrecord.records.sources.layouts.tree import Tree

# {layout as of --layout: (what is looked for, what looks for it)}.
_LAYOUTS: dict[str, tuple[str, Callable[[Tree], Finding | None]]] = {
    "voc": (voc_trees.LOOKED_FOR, voc_trees.recognise),
    "coco": (coco_trees.LOOKED_FOR, coco_trees.recognise),
    "yolo": (yolo.LOOKED_FOR, yolo.recognise),
    "csv": (csv_tables.LOOKED_FOR, csv_tables.recognise),
    "openimages": (open_images.LOOKED_FOR, open_images.recognise),
    "labelme": (labelme.LOOKED_FOR, labelme.recognise),
    "tfrecord": (od_records.LOOKED_FOR, od_records.recognise),
}
NAMES = tuple(_LAYOUTS)


def recognise(
    folder: str, layout: str = "auto", without: str = "", links: str = "inside"
) -> Finding:
    """Recognises the layout of a folder.

    Args:
        folder: the folder.
        layout: one of NAMES to look for nothing else, or auto.
        without: a folder inside it that is passed over, such as that of the output.
        links: which symbolic links are followed: inside or follow.

    Raises:
        InputError: the folder has no layout, or several, or not the one that is looked for; or what
            it has cannot be used.
    """
    tree = Tree(folder, without, links)
    wanted = NAMES if layout == "auto" else (layout,)
    found = {name: finding for name in wanted if (finding := _LAYOUTS[name][1](tree))}
    if not found:
        listed = "; ".join(_LAYOUTS[name][0] for name in wanted)
        flag = f"--layout={layout}: " if layout != "auto" else ""
        raise InputError(
            f"{flag}--input={folder}: nothing found in {len(tree.files)} files, {len(tree.images)} "
            f"of them images; looked for: {listed}"
        )
    if len(found) > 1:
        listed = " and ".join(f"{item.what} ({name})" for name, item in found.items())
        raise InputError(
            f"--input={folder}: has {listed}; pass --layout={' or --layout='.join(found)}"
        )
    (finding,) = found.values()
    notes = [*finding.notes, *_unannotated_splits(tree, finding)]
    if note := link_note(tree.refused):
        notes.append(note)
    return dataclasses.replace(finding, notes=tuple(notes))


def _unannotated_splits(tree: Tree, finding: Finding) -> Iterable[str]:
    """Notes on folders of images of a split for which there are no annotations."""
    known = {"", *(part.name for part in finding.parts)}
    # YOLO knows its images without labels, and says so itself.
    others = () if finding.layout == "yolo" else tree.image_folders
    for split in in_order({split_of(folder) for folder in others} - known):
        folders = [folder for folder in tree.image_folders if split_of(folder) == split]
        yield f"{tree.path(folders[0])}: images of {split}: left out, as nothing annotates them"


def describe(folder: str, finding: Finding) -> str:
    """Returns a line about what was found."""
    parts = [f"{part.name or 'none'} ({part.what})" for part in finding.parts]
    alone = [part.name for part in finding.parts] == [""]
    return f"{folder}: {finding.what}, {'no splits' if alone else 'splits ' + ', '.join(parts)}"


def names_of_parts(folder: str, finding: Finding) -> list[str]:
    """Returns the names of the splits, or [""] if there are none.

    Raises:
        InputError: some annotations are of a split, and some of none.
    """
    names = [part.name for part in finding.parts]
    if len(names) > 1 and "" in names:
        stray = next(part for part in finding.parts if not part.name)
        others = ", ".join(name for name in names if name)
        raise InputError(
            f"--input={folder}: {stray.what} of no split, beside {others}: move them to a folder "
            "of a split, or pass --split=0.8,0.1,0.1 to divide all again"
        )
    return names
