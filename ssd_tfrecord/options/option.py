"""A program's choices as frozen dataclasses: each field with its help and range, validated."""

import dataclasses
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from ssd_tfrecord.errors import InputError

# What another value of a field changes.
Role = Literal[
    "result",  # what comes out
    "cadence",  # how long, and how often something is looked at or kept: each step stays as it is
    "view",  # what is shown of a result
    "means",  # who does the work, and how fast
    "place",  # where the outcome goes, and whether it replaces another
]


def option(
    default: Any,
    text: str,
    *,
    choices: Collection | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    role: Role = "result",
) -> Any:
    """A dataclass field that carries its help ``text``, its allowed range and its role."""
    limits = {"choices": choices, "minimum": minimum, "maximum": maximum, "above": above}
    return dataclasses.field(default=default, metadata={"text": text, "role": role, **limits})


def allowed(field):
    """What ``field`` takes, in words; empty where everything of its type is taken."""
    limits = field.metadata
    if limits.get("choices"):
        return "one of " + ", ".join(str(choice) or "empty" for choice in limits["choices"])
    low, high, above = limits.get("minimum"), limits.get("maximum"), limits.get("above")
    parts = [f"above {_plain(above)}"] if above is not None else []
    parts += [f"at least {_plain(low)}"] if low is not None else []
    parts += [f"at most {_plain(high)}"] if high is not None else []
    return " and ".join(parts)


def _plain(number):
    # :g would round whole numbers to six digits.
    return f"{number:g}" if isinstance(number, float) else str(number)


def _fits(value, limits):
    if limits.get("choices"):
        return value in limits["choices"]
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
    """Validates every field against its range when it is made."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for item in value if isinstance(value, tuple) else (value,):
                if not _fits(item, field.metadata):
                    raise InputError(f"--{field.name}={item}: must be {allowed(field)}")


def names_of_role(options: Options | type[Options], *roles: Role) -> set[str]:
    """Names of the fields of ``options``, and of the options within, that have one of ``roles``."""
    names = set()
    for field in dataclasses.fields(options):
        value = field.default
        if dataclasses.is_dataclass(value):
            names |= names_of_role(value, *roles)
        elif field.metadata["role"] in roles:
            names.add(field.name)
    return names


def flag_text(value):
    """A field's value as its flag is written; ``flags`` reads it back to an equal value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(flag_text(item) for item in value)
    return re.sub(r"\.0$", "", repr(value)) if isinstance(value, float) else str(value)
