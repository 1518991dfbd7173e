"""Reads the wire format of a tf.train.Example, whose bytes nobody vouches for.

The counterpart of ``records.wire``; see there for the format. Nothing is copied but what is asked
for, and no length is believed before it has been compared with what is there.
"""

import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# Wire types: a varint, eight bytes, a length and so many bytes, four bytes.
_VARINT, _EIGHT, _DELIMITED, _FOUR = 0, 1, 2, 5
# The longest list that is read: of one image's objects.
MAX_VALUES = 2**18


class WireError(ValueError):
    """Bytes that are no Example; the message says what is wrong."""


@dataclass(frozen=True)
class Slice:
    """A byte string in a buffer: where it begins, and its length."""

    begin: int
    length: int


@dataclass(frozen=True)
class Feature:
    """A feature: only one of ``strings``, ``floats`` and ``ints`` has values."""

    strings: tuple[Slice, ...] = ()
    floats: tuple[float, ...] = ()
    ints: tuple[int, ...] = ()


# (field number, wire type, begin and end of its content; of a varint, its value and 0).
_Field = tuple[int, int, int, int]


def read_features(buffer: bytes, wanted: Collection[str]) -> dict[str, Feature]:
    """Reads some features of an Example.

    Args:
        buffer: the serialized Example.
        wanted: the keys of the features to read; the others are passed over.

    Returns:
        {key: feature} of those that it has.

    Raises:
        WireError: the bytes are no Example, or a list is too long.
    """
    found = {}
    for number, kind, begin, end in _fields(buffer, 0, len(buffer)):
        # An Example has one field, its Features, and these have one, the entries of a map.
        if (number, kind) != (1, _DELIMITED):
            continue
        for inner, inner_kind, first, last in _fields(buffer, begin, end):
            if (inner, inner_kind) == (1, _DELIMITED):
                key, place = _entry(buffer, first, last)
                if key in wanted:
                    # Of several entries of a key, the last counts.
                    found[key] = _feature(buffer, place)
    return found


def _entry(buffer: bytes, begin: int, end: int) -> tuple[str, tuple[int, int]]:
    """(key, where the feature is) of an entry of the map; either may be absent, and so be empty."""
    key, place = b"", (end, end)
    for number, kind, first, last in _fields(buffer, begin, end):
        if kind == _DELIMITED and number == 1:
            key = buffer[first:last] if last - first < 2**10 else b""
        elif kind == _DELIMITED and number == 2:
            place = (first, last)
    return key.decode(errors="replace"), place


def _feature(buffer: bytes, place: tuple[int, int]) -> Feature:
    found: dict[int, list[Any]] = {number: [] for number in _LISTS}
    for number, kind, begin, end in _fields(buffer, *place):
        if kind != _DELIMITED or number not in _LISTS:
            continue
        values = found[number]
        for inner, inner_kind, first, last in _fields(buffer, begin, end):
            if inner == 1:
                values += _LISTS[number](buffer, inner_kind, first, last)
            if len(values) > MAX_VALUES:
                raise WireError(f"a list has more than {MAX_VALUES} values")
    strings, floats, ints = found.values()
    return Feature(tuple(strings), tuple(floats), tuple(ints))


def _strings(buffer: bytes, kind: int, begin: int, end: int) -> Sequence[Slice]:
    return [Slice(begin, end - begin)] if kind == _DELIMITED else []


def _floats(buffer: bytes, kind: int, begin: int, end: int) -> Sequence[float]:
    # Packed into one field, or each in a field of its own.
    if kind not in (_DELIMITED, _FOUR):
        return []
    count, rest = divmod(end - begin, 4)
    if rest:
        raise WireError("a list of floats does not end with a float")
    _check_count(count)
    return struct.unpack_from(f"<{count}f", buffer, begin)


def _ints(buffer: bytes, kind: int, begin: int, end: int) -> Sequence[int]:
    if kind == _VARINT:
        return [_signed(begin)]
    if kind != _DELIMITED:
        return []
    # An integer takes at most ten bytes.
    _check_count((end - begin) // 10)
    values = []
    while begin < end:
        value, begin = _varint(buffer, begin, end)
        values.append(_signed(value))
    return values


# What reads the values of a bytes_list, a float_list and an int64_list, by their field numbers.
_LISTS: dict[int, Callable[[bytes, int, int, int], Sequence[Any]]] = {
    1: _strings,
    2: _floats,
    3: _ints,
}


def _check_count(count: int) -> None:
    if count > MAX_VALUES:
        raise WireError(f"a list has more than {MAX_VALUES} values")


def _fields(buffer: bytes, begin: int, end: int) -> Iterator[_Field]:
    while begin < end:
        tag, begin = _varint(buffer, begin, end)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, begin = _varint(buffer, begin, end)
            yield number, kind, value, 0
            continue
        if kind == _DELIMITED:
            length, begin = _varint(buffer, begin, end)
        elif kind in (_EIGHT, _FOUR):
            length = 8 if kind == _EIGHT else 4
        else:
            raise WireError(f"wire type {kind} is not one of an Example")
        if length > end - begin:
            raise WireError("a field is longer than what is around it")
        yield number, kind, begin, begin + length
        begin += length


def _varint(buffer: bytes, begin: int, end: int) -> tuple[int, int]:
    """Returns (value, where the next field begins)."""
    value = 0
    for count, place in enumerate(range(begin, min(end, begin + 10))):
        byte = buffer[place]
        value |= (byte & 127) << 7 * count
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, place + 1
    raise WireError("a number is cut off or too long")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
