"""Label maps of the TF Object Detection API: .pbtxt files of item { id: 1 name: "cat" }."""

import itertools
import re

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import ClassLabel

_TOKEN = re.compile(r"""#.*|"[^"\n]*"|'[^'\n]*'|[{}]|\w+""")
_FIELDS = ("id", "name", "display_name")


def read_label_map(path: str) -> tuple[ClassLabel, ...]:
    """The classes of a .pbtxt, 1…C; ids that it leaves out become classes called unused-12.

    ``display_name`` counts where there is one: names may be ids of their own (/m/01g317).

    Raises:
        InputError.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--label_map={path}: cannot be read: {error}") from None
    names = {}
    for fields in _items(text):
        name = (fields.get("display_name") or fields.get("name", "")).strip("\"'")
        number = fields.get("id", "")
        number = int(number) if re.fullmatch(r"\d{1,6}", number) else -1
        if not name or number < 0 or number in names:
            raise InputError(
                f"--label_map={path}: item {len(names) + 1}: must have a name and an id of its own"
            )
        names[number] = name
    names.pop(0, None)  # the background, in some
    if not names or len(set(names.values())) != len(names):
        raise InputError(f'--label_map={path}: must hold items as item {{ id: 1 name: "cat" }}')
    return fill_gaps(names)


def _items(text):
    """{field: token} of each item; what is nested in it is passed over."""
    tokens = [token for token in _TOKEN.findall(text) if not token.startswith("#")]
    items, depth = [], 0
    for token, following in itertools.pairwise([*tokens, ""]):
        if token == "item" and following == "{" and depth == 0:
            items.append({})
        elif token in _FIELDS and depth == 1 and items:
            items[-1].setdefault(token, following)
        depth += {"{": 1, "}": -1}.get(token, 0)
    return items


def fill_gaps(names) -> tuple[ClassLabel, ...]:
    """The classes of {id: name}, 1 to the largest id."""
    return tuple(
        ClassLabel(number, names.get(number, f"unused-{number}"), number)
        for number in range(1, max(names) + 1)
    )
