"""Label maps of the TF Object Detection API: .pbtxt files of item { id: 1 name: "cat" }."""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import ClassLabel

# A comment, a string in either kind of quotes, a brace or a word. Colons and commas mean nothing.
_TOKEN = re.compile(r"""#.*|"[^"\n]*"|'[^'\n]*'|[{}]|\w+""")
_FIELDS = ("id", "name", "display_name")
# Of 600 classes with keypoints it has a tenth.
_MAX_BYTES = 2**24


@dataclass(frozen=True)
class MapItem:
    """A class of a label map: ``name`` may be a code (/m/01g317), ``shown`` is what to call it."""

    name: str
    shown: str


def read_label_map(path: str, flag: str = "--label_map=") -> tuple[ClassLabel, ...]:
    """The classes of a .pbtxt, 1…C; ids that it skips become classes called unused-12.

    ``display_name`` has precedence, since names may be codes (/m/01g317).

    Args:
        path: of the file.
        flag: what named the file, for messages.

    Raises:
        InputError: the file cannot be read, or has items without a name or a unique id, or names
            that are not unique, or no item.
    """
    return fill_gaps({number: item.shown for number, item in read_items(path, flag).items()})


def read_items(path: str, flag: str = "--label_map=") -> dict[int, MapItem]:
    """The items of a .pbtxt by their ids, from 1; arguments and errors as of ``read_label_map``."""
    try:
        # -sig: files written on Windows may begin with a byte order mark.
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(_MAX_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{flag}{path}: cannot be read: {error}") from None
    found: dict[int, MapItem] = {}
    for fields in _items(text):
        name = fields.get("name", "").strip("\"'")
        shown = fields.get("display_name", "").strip("\"'") or name
        number = _to_id(fields.get("id", ""))
        if not shown or number < 0 or number in found:
            raise InputError(
                f"{flag}{path}: item {len(found) + 1}: must have a name and a unique id"
            )
        found[number] = MapItem(name, shown)
    found.pop(0, None)  # some list the background
    if not found or len({item.shown for item in found.values()}) != len(found):
        raise InputError(
            f'{flag}{path}: must contain items such as item {{ id: 1 name: "cat" }}, with unique '
            "names"
        )
    return dict(sorted(found.items()))


def _to_id(token: str) -> int:
    """The id that a token spells, or -1."""
    # At most six digits: a class is made for each id up to the largest.
    return int(token) if re.fullmatch(r"\d{1,6}", token) else -1


def _items(text: str) -> list[dict[str, str]]:
    """{field: token} of each item; messages nested in it, such as keypoints, are skipped."""
    # Only now are comments dropped: a # inside a string is part of a longer token.
    tokens = [token for token in _TOKEN.findall(text) if not token.startswith("#")]
    items: list[dict[str, str]] = []
    depth = 0
    for token, following in itertools.pairwise([*tokens, ""]):
        if token == "item" and following == "{" and depth == 0:
            items.append({})
        elif token in _FIELDS and depth == 1 and items:
            items[-1].setdefault(token, following)
        depth += {"{": 1, "}": -1}.get(token, 0)
    return items


def fill_gaps(names: Mapping[int, str]) -> tuple[ClassLabel, ...]:
    """The classes of {id: name}, from 1 to the largest id."""
    return tuple(
        ClassLabel(number, names.get(number, f"unused-{number}"), number)
        for number in range(1, max(names) + 1)
    )
