"""The class list of a record set: its names and their order."""

import collections
import reprlib
from collections.abc import Iterable, Mapping, Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import ClassLabel, load_classes
from ssd_tfrecord.records.sources.names import normal_name
from ssd_tfrecord.records.sources.source_set import SourceSet
from ssd_tfrecord.records.sources.survey import Survey, survey

# In the devkit's order (VOCinit.m), which is alphabetical.
VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

# Ids and names of COCO's 80 categories (2017). The ids have gaps: 11 of the paper's 91 categories
# were not released.
_COCO = (
    "1 person, 2 bicycle, 3 car, 4 motorcycle, 5 airplane, 6 bus, 7 train, 8 truck, 9 "
    "boat, 10 traffic light, 11 fire hydrant, 13 stop sign, 14 parking meter, 15 "
    "bench, 16 bird, 17 cat, 18 dog, 19 horse, 20 sheep, 21 cow, 22 elephant, 23 "
    "bear, 24 zebra, 25 giraffe, 27 backpack, 28 umbrella, 31 handbag, 32 tie, 33 "
    "suitcase, 34 frisbee, 35 skis, 36 snowboard, 37 sports ball, 38 kite, 39 "
    "baseball bat, 40 baseball glove, 41 skateboard, 42 surfboard, 43 tennis racket, "
    "44 bottle, 46 wine glass, 47 cup, 48 fork, 49 knife, 50 spoon, 51 bowl, 52 "
    "banana, 53 apple, 54 sandwich, 55 orange, 56 broccoli, 57 carrot, 58 hot dog, 59 "
    "pizza, 60 donut, 61 cake, 62 chair, 63 couch, 64 potted plant, 65 bed, 67 dining "
    "table, 70 toilet, 72 tv, 73 laptop, 74 mouse, 75 remote, 76 keyboard, 77 cell "
    "phone, 78 microwave, 79 oven, 80 toaster, 81 sink, 82 refrigerator, 84 book, 85 "
    "clock, 86 vase, 87 scissors, 88 teddy bear, 89 hair drier, 90 toothbrush"
)
COCO_CATEGORIES = {
    name: int(number) for number, _, name in (entry.partition(" ") for entry in _COCO.split(", "))
}

# How many names a message lists: COCO's 80 fit in, LVIS's 1,203 do not.
_NUM_LISTED = 90


def choose_classes(
    classes: str,
    sources: SourceSet,
    unknown_classes: str = "fail",
    *,
    surveyed: Survey | None = None,
) -> tuple[ClassLabel, ...]:
    """Returns the class list that --classes asks for.

    Args:
        classes: ``default`` (the source's own list, or else VOC's 20), ``voc`` (its 20), ``coco``
            (its 80, with its ids), ``auto`` (every name found, sorted), a text file with one name
            per line, or a manifest.json.
        sources: the set whose objects are to be labelled.
        unknown_classes: drop, or fail: the list must contain every object's class.
        surveyed: the set's Survey, if it has been made already.

    Raises:
        InputError: the list cannot be read, does not fit the source's own, or lacks a class; the
            message then names the first object of that class.
    """
    surveyed = surveyed or survey(sources)
    if classes.endswith(".json"):
        chosen = _renumbered(load_classes(classes), sources.category_ids)
    else:
        names = _names(classes, sources, surveyed)
        chosen = _numbered(names, classes, sources.category_ids)
    if unknown_classes == "fail":
        _check_objects(chosen, surveyed)
    return chosen


def _names(classes: str, sources: SourceSet, surveyed: Survey) -> tuple[str, ...]:
    if classes == "default":
        # Only a COCO JSON has a list of its own.
        return tuple(sources.category_ids) or VOC_CLASSES
    if classes in ("voc", "coco"):
        return VOC_CLASSES if classes == "voc" else tuple(COCO_CATEGORIES)
    if classes == "auto":
        if not surveyed.names:
            raise InputError(
                "--classes=auto: there are no objects; pass a file of class names instead"
            )
        return tuple(surveyed.names)
    return _names_of_file(classes)


def _names_of_file(path: str) -> tuple[str, ...]:
    try:
        # With or without a byte order mark, which some Windows editors write.
        with open(path, encoding="utf-8-sig") as file:
            names = [normal_name(line) for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--classes={path}: cannot be read ({error}); must be default, voc, coco, auto, a text "
            "file with one name per line, or a manifest.json"
        ) from None
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice or not names:
        found = f"duplicate class {reprlib.repr(twice[0])}" if twice else "is empty"
        raise InputError(f"--classes={path}: {found}; must list each class once, one per line")
    return tuple(names)


def _numbered(
    names: Sequence[str], classes: str, category_ids: Mapping[str, int]
) -> tuple[ClassLabel, ...]:
    unknown = [name for name in names if category_ids and name not in category_ids]
    if unknown:
        raise InputError(
            f"--classes={classes}: {reprlib.repr(unknown[0])} is not a category of the JSON, which "
            f"has: {_listed(category_ids)}"
        )
    # VOC XML can be converted with COCO's classes; ``original_id`` is then COCO's.
    if classes == "coco" and not category_ids:
        category_ids = COCO_CATEGORIES
    return tuple(
        ClassLabel(id=label, name=name, original_id=category_ids.get(name, label))
        for label, name in enumerate(names, 1)
    )


def _renumbered(
    chosen: Sequence[ClassLabel], category_ids: Mapping[str, int]
) -> tuple[ClassLabel, ...]:
    """Gives the classes of another set's manifest the ids that this set has for them.

    Ids belong to the data that they describe: results are compared with this set's own JSON. A
    class that the set does not know keeps its id, or gets the next free one where that is taken.
    """
    if not category_ids:
        return tuple(chosen)
    taken = set(category_ids.values())
    renumbered = []
    for item in chosen:
        own = category_ids.get(item.name, item.original_id)
        if item.name not in category_ids and own in taken:
            own = max(taken) + 1
        taken.add(own)
        renumbered.append(ClassLabel(id=item.id, name=item.name, original_id=own))
    return tuple(renumbered)


def _check_objects(chosen: Sequence[ClassLabel], surveyed: Survey) -> None:
    allowed = {item.name for item in chosen}
    for name, found in surveyed.classes.items():
        if name not in allowed:
            raise InputError(
                f"{found.first}: class {reprlib.repr(name)} is not one of "
                f"{_listed(entry.name for entry in chosen)}; add it to --classes, or pass "
                "--classes=auto or --unknown_classes=drop"
            )


def _listed(names: Iterable[str]) -> str:
    """Joins ``names`` into one line, whatever they contain and however many there are."""
    names = list(names)
    shown = [
        name if name.isprintable() and len(name) <= 40 else reprlib.repr(name)
        for name in names[:_NUM_LISTED]
    ]
    more = f" and {len(names) - _NUM_LISTED} more" if len(names) > _NUM_LISTED else ""
    return ", ".join(shown) + more
