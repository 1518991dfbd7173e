"""What a scheduler says in environment variables, read with one-line errors."""

import re
import reprlib
from collections.abc import Mapping

from ssd_tfrecord.errors import InputError

# More is a mistake, and this much is read and expanded in no time.
MAX_WORKERS = 4096
# RFC 1123, and the underscore that some sites have in host names.
MAX_HOST_NAME = 253
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def optional(environment: Mapping[str, str], name: str) -> str:
    """The value of a variable, without white space around it; empty if it is not set."""
    return environment.get(name, "").strip()


def required(environment: Mapping[str, str], name: str, advice: str) -> str:
    """The value of a variable that must be set.

    Args:
        environment: where to look.
        name: of the variable.
        advice: what to do if it is not set; ends the error's line.

    Returns:
        Its value, not empty, without white space around it.

    Raises:
        InputError: it is not set, or empty.
    """
    value = optional(environment, name)
    if not value:
        raise InputError(f"{name} is not set; {advice}")
    return value


def number(
    environment: Mapping[str, str], name: str, advice: str, *, minimum: int, maximum: int
) -> int:
    """The value of a variable that holds a whole number.

    Args:
        environment: where to look.
        name: of the variable.
        advice: what to do if it is not set, or is wrong; ends the error's line.
        minimum: least allowed value.
        maximum: greatest allowed value.

    Returns:
        The number.

    Raises:
        InputError: the variable is not set, is not a whole number, or lies outside the limits.
    """
    value = required(environment, name, advice)
    # Neither signs nor the underscores and foreign digits that int() would take.
    if re.fullmatch(r"[0-9]{1,9}", value) and minimum <= int(value) <= maximum:
        return int(value)
    if minimum == maximum:
        raise InputError(f"{name}={shortened(value)}: must be {minimum}; {advice}")
    raise InputError(
        f"{name}={shortened(value)}: must be a whole number, {minimum}..{maximum}; {advice}"
    )


def is_host_name(name: str) -> bool:
    """Whether this can name a host: letters, digits, ``.``, ``-`` and ``_``."""
    return len(name) <= MAX_HOST_NAME and _HOST_NAME.fullmatch(name) is not None


def shortened(value: str) -> str:
    """A value for a message: as it is if it is short and plain, else quoted, cut in the middle."""
    return value if re.fullmatch(r"[\w.,:()\[\]-]{1,40}", value) else reprlib.repr(value)
