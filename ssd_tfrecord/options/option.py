"""A program's choices as frozen dataclasses: each field with its help and range, validated."""

import dataclasses
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ssd_tfrecord.errors import InputError

# What changing a field's value affects. A run can be resumed with other values of every role but
# "result" (runs/identity.py); --num_steps not with --lr_schedule=cosine.
Role = Literal[
    "result",  # what is computed
    "cadence",  # how long it runs, how often it looks or saves; each step stays the same
    "view",  # what is shown of a result
    "means",  # who does the work, and how fast
    "place",  # where the outcome is written, and whether it replaces an earlier one
]


# Of whole numbers that have no other bound: TensorFlow counts most things in 32 bits.
LARGEST = 2**31 - 1


def option(
    default: Any,
    text: str,
    *,
    choices: Collection[object] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    words: Mapping[str, int] | None = None,
    role: Role = "result",
) -> Any:
    """A dataclass field that carries its help text, its allowed range and its role.

    The return type is Any, as that of ``dataclasses.field``: the field's own annotation counts.
    For a tuple, the range applies to each of its items.

    Args:
        default: the value of the flag if it is not given.
        text: what ``--help`` says; the range is appended to it.
        choices: the allowed values.
        minimum: the smallest allowed value.
        maximum: the largest allowed value.
        above: the value must be greater than this.
        words: {word: number}: words that the flag of a whole number takes, too, and the number that
            the field then holds, which the flag itself does not take.
        role: what changing the value affects.
    """
    limits = {"choices": choices, "minimum": minimum, "maximum": maximum, "above": above}
    limits["words"] = words
    return dataclasses.field(default=default, metadata={"text": text, "role": role, **limits})


def allowed(field: dataclasses.Field[Any]) -> str:
    """The allowed range of ``field`` in words; empty if every value of its type is allowed."""
    limits = field.metadata
    if limits.get("choices"):
        return "one of " + ", ".join(str(choice) or "empty" for choice in limits["choices"])
    low, high, above = limits.get("minimum"), limits.get("maximum"), limits.get("above")
    parts = [f"above {_plain(above)}"] if above is not None else []
    parts += [f"at least {_plain(low)}"] if low is not None else []
    parts += [f"at most {_plain(high)}"] if high is not None else []
    return " or ".join([*(limits.get("words") or ()), *filter(None, [" and ".join(parts)])])


def _plain(number: float) -> str:
    # :g would round whole numbers to six digits.
    return f"{number:g}" if isinstance(number, float) else str(number)


def _fits(value: Any, limits: Mapping[str, Any]) -> bool:
    if limits.get("choices"):
        return value in limits["choices"]
    if value in (limits.get("words") or {}).values():
        return True
    # NaN and infinity would pass wherever a bound is missing.
    if isinstance(value, float) and not math.isfinite(value):
        return False
    low, high, above = limits.get("minimum"), limits.get("maximum"), limits.get("above")
    return (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
    )


@dataclass(frozen=True)
class Options:
    """Validates every field against its range on creation.

    Raises:
        InputError: a value is out of range; the message names the flag and the range.
    """

    # The flag that a word without dashes is the value of; "": such a word is an error.
    bare_word: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for item in value if isinstance(value, tuple) else (value,):
                if not _fits(item, field.metadata):
                    raise InputError(f"--{field.name}={item}: must be {allowed(field)}")
                if isinstance(item, int) and abs(item) > LARGEST:
                    raise InputError(f"--{field.name}={item}: must be within ±{LARGEST}")


def names_of_role(options: Options | type[Options], *roles: Role) -> set[str]:
    """Names of the fields of ``options``, and of the options nested in it, that have a role.

    Args:
        options: options or their class.
        *roles: the roles to look for; a field needs to have one of them.
    """
    names = set()
    for field in dataclasses.fields(options):
        value = field.default
        if isinstance(value, Options):
            names |= names_of_role(value, *roles)
        elif field.metadata["role"] in roles:
            names.add(field.name)
    return names


def field_text(field: dataclasses.Field[Any], value: object) -> str:
    """``value`` of ``field`` as it is written in its flag: the word for it if there is one."""
    words = field.metadata.get("words") or {}
    return next((word for word, number in words.items() if number == value), flag_text(value))


def flag_text(value: object) -> str:
    """A field's value as it is written in a flag; ``flags`` reads it back as an equal value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(_quoted(flag_text(item)) for item in value)
    # 4.0 is written as 4, as in the recipes; repr keeps every digit of the others.
    return re.sub(r"\.0$", "", repr(value)) if isinstance(value, float) else str(value)


def _quoted(item: str) -> str:
    # As in CSV, which is what absl reads lists as.
    return '"' + item.replace('"', '""') + '"' if any(c in item for c in ',"\r\n') else item
