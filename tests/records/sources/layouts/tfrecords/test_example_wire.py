"""The reader of Examples against TensorFlow's own writer, and bytes that are none."""

import random
import struct

import pytest
import tensorflow as tf

from ssd_tfrecord.records import wire
from ssd_tfrecord.records.sources.layouts.tfrecords import example_wire
from ssd_tfrecord.records.sources.layouts.tfrecords.example_wire import Feature, WireError


def _serialized(**values):
    kinds = {bytes: "bytes_list", float: "float_list", int: "int64_list"}
    example = tf.train.Example()
    for key, items in values.items():
        feature = example.features.feature[key]
        for item in items:
            getattr(feature, kinds[type(item)]).value.append(item)
    return example.SerializeToString()


def _values(data, feature):
    strings = tuple(data[item.begin : item.begin + item.length] for item in feature.strings)
    return strings or feature.floats or feature.ints


def test_all_kinds_of_values():
    values = {
        "a": [b"x", b"", b"\xff" * 300],
        "b": [1.5, -0.0, 3e38],
        "c": [0, -1, 2**63 - 1, -(2**63), 300],
        "d": [],
        "e": [7],
    }
    data = _serialized(**values)
    found = example_wire.read_features(data, set("abcd"))
    assert set(found) == set("abcd")
    assert _values(data, found["a"]) == (b"x", b"", b"\xff" * 300)
    assert found["b"].floats == struct.unpack("3f", struct.pack("3f", 1.5, -0.0, 3e38))
    assert found["c"].ints == tuple(values["c"])
    assert found["d"] == Feature()


def test_what_this_package_writes():
    data = wire.example({"k": wire.ints((5, -6)), "l": wire.floats([0.25]), "m": wire.ints(())})
    found = example_wire.read_features(data, {"k", "l", "m"})
    assert (found["k"].ints, found["l"].floats, found["m"].ints) == ((5, -6), (0.25,), ())


def _field(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


def _example(key, feature):
    return _field(1, _field(1, _field(1, key) + _field(2, feature)))


def test_values_that_are_not_packed():
    floats = _field(2, b"\x0d" + struct.pack("<f", 0.5) + b"\x0d" + struct.pack("<f", 2.0))
    assert example_wire.read_features(_example(b"k", floats), {"k"})["k"].floats == (0.5, 2.0)
    ints = _field(3, b"\x08\x05\x08\x80\x01")
    assert example_wire.read_features(_example(b"k", ints), {"k"})["k"].ints == (5, 128)


def test_of_two_entries_with_one_key_the_last_counts_and_other_fields_are_passed_over():
    one, two = (
        _field(1, _field(1, b"k") + _field(2, _field(3, b"\x08" + n))) for n in (b"1", b"2")
    )
    other = b"\x4d1234" + b"\x519abcdefgh"[:9] + b"\x18\x07"
    data = _field(1, one + two) + other
    assert example_wire.read_features(data, {"k"})["k"].ints == (50,)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x0a\x05abc", "a field is longer than what is around it"),
        (b"\x0a", "a number is cut off or too long"),
        (b"\x0a" + b"\xff" * 11, "a number is cut off or too long"),
        (b"\x0b", "wire type 3 is not one of an Example"),
        (
            _example(b"k", _field(2, _field(1, b"123"))),
            "a list of floats does not end with a float",
        ),
        (_example(b"k", _field(3, _field(1, b"\xff"))), "a number is cut off or too long"),
        (b"\x09" + b"1234567", "a field is longer than what is around it"),
    ],
)
def test_bytes_that_are_no_example(data, problem):
    with pytest.raises(WireError, match=problem):
        example_wire.read_features(data, {"k"})


def test_lists_have_an_end(monkeypatch):
    monkeypatch.setattr(example_wire, "MAX_VALUES", 10)
    for values in ([1.0] * 11, [b""] * 11, [1] * 11):
        with pytest.raises(WireError, match="a list has more than 10 values"):
            example_wire.read_features(_serialized(k=values), {"k"})
        assert example_wire.read_features(_serialized(k=values[1:]), {"k"})


def test_what_is_read_of_mutations_is_what_tensorflow_reads():
    values = {"k": [b"xy", b"z"], "f": [0.25, 0.5], "i": [1, 300, -1]}
    data = _serialized(**values)
    rng, agreed, refused = random.Random(0), 0, 0
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(changed))
            changed[place : place + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 2))
        changed = bytes(changed)
        try:
            found = example_wire.read_features(changed, set(values))
        except WireError:
            refused += 1
            continue
        try:
            example = tf.train.Example.FromString(changed)
        except Exception:
            continue  # keys and groups that protobuf checks further
        for key, feature in found.items():
            wanted = example.features.feature[key]
            kind = wanted.WhichOneof("kind")
            if kind is None or sum(map(bool, (feature.strings, feature.floats, feature.ints))) > 1:
                continue  # of two kinds in one feature, protobuf keeps the last
            got = _values(changed, feature)
            assert repr(tuple(got)) == repr(tuple(getattr(wanted, kind).value)), changed
            agreed += 1
    assert agreed > 500 and refused > 300
