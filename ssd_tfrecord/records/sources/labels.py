"""The class list of a record set: which names there are, and in which order."""

import collections
import reprlib

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import ClassLabel, load_classes
from ssd_tfrecord.records.sources.source_set import SourceSet

# The devkit's order (VOCinit.m), which is the alphabet's.
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

# id and name of COCO's 80 (2017), whose ids have gaps.
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

# COCO's fit in a message; LVIS's 1,203 do not.
_NUM_LISTED = 90


def choose_classes(
    classes: str, sources: SourceSet, unknown_classes: str = "fail"
) -> tuple[ClassLabel, ...]:
    """The class list that --classes asks for.

    Args:
        classes: ``default`` (the source's own list, else VOC's 20), ``voc`` (its 20), ``coco`` (its
            80, with its ids), ``auto`` (every name found, sorted), a file with a name a line, or a
            manifest.json.
        unknown_classes: drop, or fail: the list must hold every object's class.

    Raises:
        InputError that names the first object of another class.
    """
    if classes.endswith(".json"):
        chosen = load_classes(classes)
    else:
        chosen = _numbered(_names(classes, sources), classes, sources.category_ids)
    # Auto has just found every object's class.
    if unknown_classes == "fail" and classes != "auto":
        _check_objects(chosen, sources)
    return chosen


def _names(classes, sources):
    if classes == "default":
        return tuple(sources.category_ids) or VOC_CLASSES
    if classes in ("voc", "coco"):
        return VOC_CLASSES if classes == "voc" else tuple(COCO_CATEGORIES)
    if classes == "auto":
        names = {item.name for image in sources.images for item in image.objects}
        if not names:
            raise InputError("--classes=auto: no object has a class; name a file of classes")
        return tuple(sorted(names))
    return _names_of_file(classes)


def _names_of_file(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            names = [line.strip() for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--classes={path}: cannot be read ({error}): must be default, voc, coco, auto, a file "
            "with a name a line, or a manifest.json"
        ) from None
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice or not names:
        found = f"has {reprlib.repr(twice[0])} twice" if twice else "is empty"
        raise InputError(f"--classes={path}: {found}: must have each class on a line of its own")
    return tuple(names)


def _numbered(names, classes, category_ids):
    unknown = [name for name in names if category_ids and name not in category_ids]
    if unknown:
        raise InputError(
            f"--classes={classes}: {reprlib.repr(unknown[0])} is no category of the JSON, which "
            f"has: {_listed(category_ids)}"
        )
    if classes == "coco" and not category_ids:
        category_ids = COCO_CATEGORIES
    return tuple(
        ClassLabel(id=label, name=name, original_id=category_ids.get(name, label))
        for label, name in enumerate(names, 1)
    )


def _check_objects(chosen, sources):
    allowed = {item.name for item in chosen}
    for image in sources.images:
        for item in image.objects:
            if item.name not in allowed:
                raise InputError(
                    f"{image.file}: object {item.index}: class {reprlib.repr(item.name)} must be "
                    f"one of {_listed(entry.name for entry in chosen)}; or pass --classes=auto or "
                    "--unknown_classes=drop"
                )


def _listed(names):
    """``names`` in a line, whatever they are and however many."""
    names = list(names)
    shown = [
        name if name.isprintable() and len(name) <= 40 else reprlib.repr(name)
        for name in names[:_NUM_LISTED]
    ]
    more = f" and {len(names) - _NUM_LISTED} more" if len(names) > _NUM_LISTED else ""
    return ", ".join(shown) + more
