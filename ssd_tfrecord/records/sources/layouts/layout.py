"""What is found in a folder: a layout, the splits in it, and a function that reads each."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ssd_tfrecord.records.sources.source_set import SourceSet

# What tools and people call the splits. Words of other meanings, such as "eval", are left alone.
_SPLITS = {
    **dict.fromkeys(("train", "training", "trainset", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "minival"), "val"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
}
SPLIT_NAMES = ("train", "val", "test")


@dataclass(frozen=True)
class Policies:
    """How annotations are read: the flags of these names."""

    pixel_origin: int = 1
    unannotated: str = "auto"
    bad_images: str = "fail"
    bad_boxes: str = "clip"
    unknown_classes: str = "fail"
    links: str = "inside"
    workers: int = 1

    def for_unannotated(self, usual: str) -> str:
        """What to do with images without annotations; ``usual`` is what the layout means by it."""
        return usual if self.unannotated == "auto" else self.unannotated


@dataclass(frozen=True)
class Part:
    """A split: ``name`` is train, val, test or "" for none; ``what`` describes it in a few words.

    ``read`` reads its annotations, and raises InputError for what the policies call an error.
    """

    name: str
    what: str
    read: Callable[[Policies], SourceSet]


@dataclass(frozen=True)
class Finding:
    """A layout that a folder has.

    ``layout`` is its name for --layout and ``what`` describes it. ``box_unit`` is the unit of its
    boxes, "" if --box_unit decides. ``classes`` is what --classes=default stands for if the layout
    has no class list of its own. ``notes`` are lines for the user.
    """

    layout: str
    what: str
    parts: tuple[Part, ...]
    box_unit: str = ""
    notes: tuple[str, ...] = ()
    classes: str = "auto"


def split_of(path: str) -> str:
    """Returns the split that a relative path speaks of: train, val, test, or "".

    The last name that has such a word decides: of train/images/test_set.json it is test.
    """
    for name in reversed(path.replace("\\", "/").split("/")):
        words = re.split(r"[^a-z]+", name.lower())
        found = {_SPLITS[word] for word in words if word in _SPLITS}
        if len(found) == 1:
            return found.pop()
    return ""


def in_order(names: Iterable[str]) -> list[str]:
    """Returns the names of splits sorted: train, val, test, then others."""
    order = {name: rank for rank, name in enumerate(SPLIT_NAMES)}
    return sorted(set(names), key=lambda name: (order.get(name, len(order)), name))


def by_split(paths: Iterable[str]) -> dict[str, list[str]]:
    """Returns {split: its paths}, the splits in order."""
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(split_of(path), []).append(path)
    return {name: found[name] for name in in_order(found)}


def counted(number: int, what: str) -> str:
    """Returns "1 image" or "2 images"; ``what`` is in the singular."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
