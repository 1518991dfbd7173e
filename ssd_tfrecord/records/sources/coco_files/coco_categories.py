"""The categories of a COCO JSON: which of them are classes, whatever else a tool has listed."""

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.names import normal_name
from ssd_tfrecord.records.sources.paths import printable

# The largest number of left out categories that a note names.
_NUM_QUOTED = 5


def id_of(value: object) -> int | None:
    """A category id as JSON has it, as an int; None if it is none.

    Some tools write 3.0 or "3".
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return value if isinstance(value, int) else None


def choose(
    path: str, entries: Iterable[Mapping[str, Any]], used: Mapping[object, int]
) -> tuple[dict[int, str], tuple[str, ...]]:
    """Chooses the categories that become classes.

    What no annotation refers to cannot stop anything: of two that share an id or a name the unused
    one is left out, and so is an unused one that others name as their supercategory (the root that
    Roboflow writes). Other unused categories are classes, as those of a small validation set are.

    Args:
        path: the file, for messages.
        entries: its categories: id, name, supercategory.
        used: {category id: annotations}.

    Returns:
        ({category id: name in normal form} sorted by id, notes for the user).

    Raises:
        InputError: two used categories share an id or a name.
    """
    named, nameless = _named(entries)
    left_out: list[str] = []
    parents = {parent for _, name, parent in named if parent != name}
    chosen: dict[int, str] = {}
    ids: dict[str, int] = {}
    # The used ones first, so that an unused one gives way to them, and not they to it.
    for category_id, name, _ in sorted(named, key=lambda item: not used.get(item[0])):
        is_used = bool(used.get(category_id))
        other = category_id if category_id in chosen else ids.get(name)
        if other is not None and chosen[other] == name and category_id == other:
            continue  # the same entry again
        if other is not None and is_used:
            what = f"id {category_id}" if category_id == other else "name"
            raise InputError(
                f"{path}: category {_brief(name)}: duplicate {what}; ids and names of categories "
                "that have annotations must be unique"
            )
        if other is not None or (not is_used and name in parents):
            left_out.append(f"{name} ({category_id})")
            continue
        chosen[category_id], ids[name] = name, category_id
    # Labels follow this order.
    notes = (
        *_note(f"{path}: left out categories that have no annotation", left_out),
        *_note(f"{path}: left out categories without an id or a name", nameless),
    )
    return dict(sorted(chosen.items())), notes


def _named(
    entries: Iterable[Mapping[str, Any]],
) -> tuple[list[tuple[int, str, str]], list[str]]:
    """([(id, name, name of the supercategory)], those without id or name)."""
    named, nameless = [], []
    for entry in entries:
        category_id, name = id_of(entry.get("id")), entry.get("name")
        if category_id is None or not isinstance(name, str) or not normal_name(name):
            nameless.append(reprlib.repr(entry.get("name", entry.get("id", "?"))))
            continue
        parent = entry.get("supercategory")
        parent = normal_name(parent) if isinstance(parent, str) else ""
        # A lone surrogate, which JSON can spell, is in no text that could be written.
        named.append((category_id, normal_name(printable(name)), parent))
    return named, nameless


def _note(what: str, names: Sequence[str]) -> Iterable[str]:
    if names:
        more = f" and {len(names) - _NUM_QUOTED} more" if len(names) > _NUM_QUOTED else ""
        yield f"{what}: {', '.join(map(_brief, names[:_NUM_QUOTED]))}{more}"


def _brief(text: str) -> str:
    return text if len(text) <= 60 and text.isprintable() else reprlib.repr(text)
