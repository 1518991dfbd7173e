"""The class list of a record set: its names and their order."""

import collections
import reprlib
from collections.abc import Iterable, Mapping, Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.known_classes import COCO_CATEGORIES, VOC_CLASSES
from ssd_tfrecord.records.manifest import ClassLabel, load_classes
from ssd_tfrecord.records.sources.names import normal_name
from ssd_tfrecord.records.sources.source_set import SourceSet
from ssd_tfrecord.records.sources.survey import Survey, survey

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
