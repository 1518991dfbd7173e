"""The classes of published models, whose files hold numbers alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.known_classes import COCO_CATEGORIES, VOC_CLASSES

# Outputs of torchvision's models for COCO: ids 0 (background) to 90.
_TORCHVISION_DEPTH = 91


@dataclass(frozen=True)
class ClassList:
    """The classes of a file, and which of its outputs are theirs.

    Label i is ``names[i - 1]`` with ``original_ids[i - 1]`` and the output ``channels[i]``;
    ``channels[0]`` is the background. ``known`` is false of names that are made up.
    """

    names: tuple[str, ...]
    original_ids: tuple[int, ...]
    channels: tuple[int, ...]
    known: bool = True


def of_depth(depth: int, given: Sequence[str], where: str) -> ClassList:
    """The classes of a model by the number of its outputs.

    Args:
        depth: number of classes with the background.
        given: names that the user or the file itself gives, of the labels 1, 2, …; may be empty.
        where: names the file, for errors.

    Raises:
        InputError: there are more or fewer names than classes, or one is there twice.
    """
    plain = tuple(range(depth))
    if given:
        if len(given) != depth - 1:
            raise InputError(
                f"{where}: has {depth - 1} classes, but {len(given)} names are given; must be as "
                "many"
            )
        if twice := [name for place, name in enumerate(given) if name in given[:place]]:
            raise InputError(f"{where}: the class name {twice[0]!r} is given twice")
        return ClassList(tuple(given), plain[1:], plain)
    names, ids = tuple(COCO_CATEGORIES), tuple(COCO_CATEGORIES.values())
    # By name, the order of the authors' labelmap_voc.prototxt, of amdegroot and of lufficc.
    if depth == len(VOC_CLASSES) + 1:
        return ClassList(VOC_CLASSES, plain[1:], plain)
    if depth == len(names) + 1:
        return ClassList(names, ids, plain)
    if depth == _TORCHVISION_DEPTH:
        # Its ten other outputs are never trained: COCO has no such ids.
        return ClassList(names, ids, (0, *ids))
    return ClassList(tuple(f"class_{label}" for label in plain[1:]), plain[1:], plain, known=False)
