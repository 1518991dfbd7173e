import json
import struct

import numpy as np
import pytest

from ssd_tfrecord.devices.cluster import messages
from ssd_tfrecord.devices.cluster.messages import (
    MAX_ARRAY_BYTES,
    Frame,
    FrameError,
    Message,
    Sort,
    VersionError,
    pack,
    unpack,
)

ALL_DTYPES = [
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "float32", "float64"),
]


class TruncatedError(Exception):
    pass


def reader(data):
    place = 0

    def read(buffer):
        nonlocal place
        if place + len(buffer) > len(data):
            raise TruncatedError
        buffer[:] = data[place : place + len(buffer)]
        place += len(buffer)

    return read


def framed(header, body=b"", *, magic=b"SSDL", version=1, sort=5, lengths=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    lengths = lengths or (len(text), len(body))
    return struct.pack("<4sBBIQ", magic, version, sort, *lengths) + text + body


def header_of(arrays=(), **changed):
    return {"kind": "x", "number": 0, "values": {}, "arrays": list(arrays)} | changed


def test_values_and_arrays_arrive_as_they_were():
    values = {"step": 7, "loss": 0.1, "inf": float("inf"), "name": "é\n", "list": [1, [None, True]]}
    arrays = {
        "boxes": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "turned": np.arange(6).reshape(2, 3).T,
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 4), np.int64),
        "swapped": np.array([1, 2], ">i4"),
        "complex": np.array([1 + 2j], np.complex64),
    }
    frame = unpack(reader(pack(Frame(Sort.ANSWER, Message("done", values, arrays), 3))))
    assert (frame.sort, frame.number) == (Sort.ANSWER, 3)
    assert (frame.message.kind, frame.message.values) == ("done", values)
    assert list(frame.message.arrays) == list(arrays)
    for name, array in arrays.items():
        received = frame.message.arrays[name]
        assert received.dtype == array.dtype.newbyteorder("<")
        np.testing.assert_array_equal(received, array, strict=name != "swapped")


@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_bits_of_each_dtype_are_kept_and_may_be_written_to(dtype):
    array = np.random.default_rng(0).integers(0, 256, 160, np.uint8)
    array = (array % 2 if dtype == "bool" else array).view(dtype)
    received = unpack(reader(pack(Frame(Sort.TOLD, Message("x", {}, {"a": array}))))).message
    assert received.arrays["a"].tobytes() == array.tobytes()
    assert received.arrays["a"].dtype == array.dtype
    received.arrays["a"][:] = 0


def test_bytes_on_the_wire():
    """Little endian, and nothing but the array follows the header."""
    data = pack(Frame(Sort.TOLD, Message("x", {"a": 1}, {"b": np.array([1, 258], ">u2")}), 9))
    header = b'{"kind":"x","number":9,"values":{"a":1},"arrays":[["b","<u2",[2]]]}'
    prefix = b"SSDL\x01\x05" + len(header).to_bytes(4, "little") + (4).to_bytes(8, "little")
    assert data == prefix + header + b"\x01\x00\x02\x01"


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([object()]), "object"),
        (np.array(["text"]), "<U4"),
        (np.array([b"bytes"]), r"\|S5"),
        (np.zeros(2, [("a", "f4")]), "a"),
        (np.array(["2026-01-01"], "datetime64[D]"), "datetime64"),
        (np.zeros(1, np.longdouble), "float128"),
    ],
)
def test_only_numbers_travel(array, dtype):
    with pytest.raises(ValueError, match=rf"message 'x': array 'a' has dtype .*{dtype}"):
        pack(Frame(Sort.TOLD, Message("x", {}, {"a": array})))


def test_values_that_json_does_not_have_are_an_error():
    with pytest.raises(ValueError, match=r"message 'x': .*int64 is not JSON"):
        pack(Frame(Sort.TOLD, Message("x", {"a": np.int64(3)})))


def test_too_much_is_an_error_before_it_is_copied(monkeypatch):
    monkeypatch.setattr(messages, "MAX_ARRAY_BYTES", 100)
    monkeypatch.setattr(messages, "MAX_HEADER_BYTES", 1000)
    pack(Frame(Sort.TOLD, Message("x", {}, {"a": np.zeros(60, "i1"), "b": np.zeros(40, "i1")})))
    with pytest.raises(ValueError, match="more than 100 bytes, up to 'b' 101"):
        pack(Frame(Sort.TOLD, Message("x", {}, {"a": np.zeros(60, "i1"), "b": np.zeros(41, "i1")})))
    with pytest.raises(ValueError, match=r"its values have 1,0\d\d bytes, more than 1,000"):
        pack(Frame(Sort.TOLD, Message("x", {"a": "b" * 1000})))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"GET / HTTP/1.1\r\nHost: node0:3222\r\n\r\n", r"begins with b'GET '"),
        (framed(header_of(), sort=77), "unknown sort, 77"),
        (framed(header_of(), lengths=(2**31, 0)), "too large"),
        (framed(header_of(), lengths=(50, MAX_ARRAY_BYTES + 1)), "too large"),
        (framed(b"{"), "not JSON"),
        (framed(b"\xff\xfe"), "not JSON"),
        (framed(b"[" * 100_000), "not JSON"),
        (framed([1]), "other keys"),
        (framed({"kind": "x"}), "other keys"),
        (framed(header_of(kind=3)), "'kind' is no str"),
        (framed(header_of(number=True)), "'number' is no int"),
        (framed(header_of(number=1.5)), "'number' is no int"),
        (framed(header_of(values=[])), "'values' is no dict"),
        (framed(header_of() | {"arrays": {}}), "'arrays' is no list"),
        (framed(header_of(["a"])), "without name"),
        (framed(header_of([["a", "<f4"]])), "without name"),
        (framed(header_of([["a", "|O", [1]]]), bytes(8)), r"dtype '\|O'"),
        (framed(header_of([["a", ["<f4"], [1]]]), bytes(4)), "dtype"),
        (framed(header_of([["a", "<f4", 1]]), bytes(4)), "without a shape"),
        (framed(header_of([["a", "<f4", [1] * 33]]), bytes(4)), "without a shape"),
        (framed(header_of([["a", "<f4", [-1]]]), bytes(4)), "impossible shape"),
        (framed(header_of([["a", "<f4", [True]]]), bytes(4)), "impossible shape"),
        (framed(header_of([["a", "<f4", [0, 2**40]]])), "impossible shape"),
        (framed(header_of([["a", "<f4", [0, 2**20, 2**20]]])), "impossible shape"),
        (framed(header_of([["a", "<f4", [2]]]), bytes(4)), "other arrays"),
        (framed(header_of([["a", "<f4", [2**20, 2**10]]]), bytes(4)), "other arrays"),
        (framed(header_of(), bytes(4)), "other arrays"),
        (framed(header_of([["a", "|u1", [2]]] * 2), bytes(4)), "two arrays of one name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_frame_is_refused(data, match):
    with pytest.raises(FrameError, match=match):
        unpack(reader(data))


def test_limits_hold_before_anything_is_read():
    data = framed(header_of([["a", "|u1", [1000]]]), bytes(1000))
    assert unpack(reader(data), max_arrays=1000).message.arrays["a"].shape == (1000,)
    with pytest.raises(FrameError, match="too large"):
        unpack(reader(data[:18]), max_arrays=999)
    with pytest.raises(FrameError, match="too large"):
        unpack(reader(data[:18]), max_header=20)


def test_another_version_is_told_from_nonsense():
    with pytest.raises(VersionError, match="version 2 of the link, but this is 1"):
        unpack(reader(framed(b"whatever", version=2)))


def test_truncated_and_changed_frames_do_no_harm():
    arrays = {"a": np.arange(5), "b": np.ones((2, 2), np.float32)}
    data = pack(Frame(Sort.ANSWER, Message("done", {"n": [1, 2]}, arrays), 4))
    for length in range(len(data)):
        with pytest.raises(TruncatedError):
            unpack(reader(data[:length]))
    rng = np.random.default_rng(1)
    for _ in range(3000):
        changed = bytearray(data)
        for place in rng.integers(0, len(data) - 56, 1 + rng.integers(3)):
            changed[place] = rng.integers(256)
        try:
            frame = unpack(reader(bytes(changed)))
        except (FrameError, TruncatedError):
            continue
        assert sum(array.nbytes for array in frame.message.arrays.values()) == 56
