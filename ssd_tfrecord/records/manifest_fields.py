"""What each field of manifest.json must be: a record set, and so its manifest, may be a stranger's.

A check takes where a value stands, such as ``shards[1].bytes``, and the value.
"""

import json
import math
import os
import reprlib
import stat
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[str, object], None]

# What is read at most: thirty million records, where COCO's 118,287 take 1.2 MB.
MAX_BYTES = 2**28
# A serialized record is a protobuf message, which has at most as many bytes.
MAX_RECORD_BYTES = 2**31 - 1
# Of objects, bytes, pixels: sums of several sets are to fit into 64 bits.
_MAX_COUNT = 2**53
_MAX_ID = 2**63 - 1


class FieldError(ValueError):
    """A field that is not what it must be; the message names it, its value and what is allowed."""


def read_object(path: str, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Reads a JSON object from a file, of bounded size and without NaN or infinity.

    Args:
        path: of the file.
        max_bytes: nothing is read of a larger one.

    Raises:
        FieldError: it is not a file, too large, or holds something else.
        OSError: it cannot be read.
    """
    # Opening a pipe would wait for its writer for ever.
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise FieldError("must be a file")
    if status.st_size > max_bytes:
        raise FieldError(f"has {status.st_size:,} bytes: must have at most {max_bytes:,}")
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file, parse_constant=_refuse_constant)
    except RecursionError:
        raise FieldError("its JSON is nested too deeply") from None
    # OSError has a file name and a reason of its own; UnicodeDecodeError is a ValueError.
    except FieldError:
        raise
    except ValueError as error:
        raise FieldError(f"cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise FieldError("must contain a JSON object")
    return content


def check(content: Mapping[str, object], checks: Mapping[str, Check]) -> None:
    """Checks those of ``checks`` that ``content`` has.

    Raises:
        FieldError: a field is not what it must be.
    """
    for name, check_fn in checks.items():
        if name in content:
            check_fn(name, content[name])


def _refuse_constant(name: str) -> float:
    raise FieldError(f"cannot be read: {name} is no number")


def _refuse(where: str, value: object, what: str) -> None:
    # reprlib: a value of megabytes is not to be printed, nor its line breaks.
    raise FieldError(f"{where}: {reprlib.repr(value)}: must be {what}")


def _whole(least: int, most: int) -> Check:
    def check_whole(where: str, value: object) -> None:
        # True is an int of Python's, but not a number of JSON's.
        if type(value) is not int or not least <= value <= most:
            _refuse(where, value, f"a whole number from {least} to {most}")

    return check_whole


def _finite(where: str, value: object) -> None:
    # 1e999 is a number of JSON's, and infinite once it is read; 10**400 is no float.
    is_number = type(value) is int and abs(value) <= _MAX_COUNT
    if not is_number and not (isinstance(value, float) and math.isfinite(value)):
        _refuse(where, value, "a finite number")


def _text(where: str, value: object) -> None:
    if not isinstance(value, str):
        _refuse(where, value, "a text")


def _class_name(where: str, value: object) -> None:
    # Half of a UTF-16 pair, which JSON can hold, cannot be printed.
    if not isinstance(value, str) or not value or any("\ud800" <= c <= "\udfff" for c in value):
        _refuse(where, value, "a text that is not empty")


def _name_of(what: str) -> Check:
    def check_name(where: str, value: object) -> None:
        # It must not lead out of a folder, as a backslash does on Windows; control characters would
        # break the lines that name it.
        if (
            not isinstance(value, str)
            or value in ("", ".", "..")
            or any(c in "/\\" or c < " " for c in value)
        ):
            _refuse(where, value, f"the name of a {what}, without a path")
            return
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            _refuse(where, value, f"a name that a {what} can have")

    return check_name


def _list_of(item_fn: Check) -> Check:
    def check_list(where: str, value: object) -> None:
        if not isinstance(value, list):
            _refuse(where, value, "a list")
            return
        for place, item in enumerate(value):
            item_fn(f"{where}[{place}]", item)

    return check_list


def _table_of(item_fn: Check) -> Check:
    def check_table(where: str, value: object) -> None:
        if not isinstance(value, dict):
            _refuse(where, value, "a JSON object")
            return
        for key, item in value.items():
            item_fn(f"{where}[{reprlib.repr(key)}]", item)

    return check_table


def _object_of(**checks: Check) -> Check:
    def check_object(where: str, value: object) -> None:
        if not isinstance(value, dict) or value.keys() != checks.keys():
            _refuse(where, value, f"a JSON object of {', '.join(checks)}")
            return
        for name, check_fn in checks.items():
            check_fn(f"{where}.{name}", value[name])

    return check_object


def _histogram(where: str, value: object) -> None:
    _object_of(edges=_list_of(_finite), counts=_list_of(_COUNT))(where, value)
    if isinstance(value, dict) and len(value["edges"]) != len(value["counts"]):
        _refuse(f"{where}.counts", value["counts"], f"{len(value['edges'])} numbers, as its edges")


def _sizes(where: str, value: object) -> None:
    # All at once: a set of a million records has as many.
    if isinstance(value, list) and all(
        type(item) is int and 0 < item <= MAX_RECORD_BYTES for item in value
    ):
        return
    _list_of(_whole(1, MAX_RECORD_BYTES))(where, value)


_COUNT = _whole(0, _MAX_COUNT)

CLASSES: Mapping[str, Check] = {
    "classes": _list_of(
        _object_of(id=_whole(1, 2**31 - 1), name=_class_name, original_id=_whole(-_MAX_ID, _MAX_ID))
    )
}

# Of the other fields of ``manifest.Manifest``.
FIELDS: Mapping[str, Check] = {
    "tool": _text,
    # A folder of its reports is called so.
    "name": _name_of("folder"),
    "pixel_origin": _whole(0, 1),
    **dict.fromkeys(
        ("num_records", "num_objects", "num_difficult", "num_crowd", "max_objects", "num_pixels"),
        _COUNT,
    ),
    "per_class": _table_of(
        _object_of(objects=_COUNT, difficult=_COUNT, crowd=_COUNT, images=_COUNT)
    ),
    "histograms": _table_of(_histogram),
    "shards": _list_of(
        _object_of(
            file=_name_of("file"),
            num_records=_COUNT,
            bytes=_COUNT,
            sha256=_text,
            record_bytes=_sizes,
        )
    ),
    **dict.fromkeys(("rejects", "formats", "notes", "actions"), _table_of(_COUNT)),
    "flags": _list_of(_text),
    "source": _table_of(lambda where, value: None),
    "sha256": _table_of(_text),
}
