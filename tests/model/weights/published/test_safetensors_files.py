"""The reader of .safetensors, beside the headers that it refuses."""

import json
import struct

import numpy as np
import pytest
import weight_writers

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published import weight_files

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.safetensors"


def test_arrays_and_metadata_are_those_written(path):
    arrays = {
        "conv.weight": KERNEL,
        "half": np.float16([1, 1.5]),
        "brain": np.uint16([0x3F80, 0xC000]),
        "double": np.float64([0.1]),
        "scalar": np.array(3, np.float32),
        "steps": np.arange(3),
        "mask": np.ones(2, bool),
        "empty": np.zeros((0, 4), np.float32),
    }
    weight_writers.safetensors(path, arrays, metadata={"anchors": "voc"})
    got = weight_files.read(path)
    assert (got.kind, got.metadata) == ("safetensors", {"anchors": "voc"})
    assert list(got.arrays) == ["conv.weight", "half", "brain", "double", "scalar"]
    assert got.arrays["conv.weight"].tobytes() == KERNEL.tobytes()
    assert got.arrays["half"].tolist() == [1, 1.5] and got.arrays["brain"].tolist() == [1, -2]
    assert got.arrays["scalar"].shape == () and got.arrays["scalar"] == 3
    dtypes = {name: array.dtype for name, array in got.arrays.items()}
    assert dtypes == dict.fromkeys(dtypes, np.float32) | {"double": np.float64}


def write(path, header, data=bytes(24)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


ENTRY = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
HEADERS = {
    "no JSON": (b"{'a'}", "is not the JSON of a .safetensors"),
    "not UTF-8": (b'{"\xff": 1}', "is not the JSON"),
    "brackets without end": (b'{"a":' + b"[" * 10**5, "is not the JSON"),
    "a number of 5,000 digits": (b'{"a":' + b"9" * 5000 + b"}", "is not the JSON"),
    "a name twice": (b'{"a": {}, "a": {}}', "is not the JSON"),
    "an entry that is a list": ({"a": []}, "array 'a': no dtype, shape and data_offsets"),
    "an unknown dtype": ({"a": ENTRY | {"dtype": "F31"}}, "no dtype, shape"),
    "a dtype that is a list": ({"a": ENTRY | {"dtype": ["F32"]}}, "no dtype, shape"),
    "a negative size": ({"a": ENTRY | {"shape": [-2, -3]}}, "no dtype, shape"),
    "a size of a half": ({"a": ENTRY | {"shape": [2.0, 3]}}, "no dtype, shape"),
    "nine dimensions": ({"a": ENTRY | {"shape": [1] * 8 + [6]}}, "no dtype, shape"),
    "another size": ({"a": ENTRY | {"shape": [2, 2]}}, "shape .* does not fit its data_offsets"),
    "a huge size": ({"a": ENTRY | {"shape": [2**62, 2**62]}}, "does not fit its data_offsets"),
    "no offset": ({"a": ENTRY | {"data_offsets": []}}, "does not fit its data_offsets"),
    "three offsets": ({"a": ENTRY | {"data_offsets": [0, 24, 24]}}, "no dtype, shape"),
    "backward": ({"a": ENTRY | {"data_offsets": [24, 0]}}, "does not fit its data_offsets"),
    "beyond the end": ({"a": ENTRY | {"data_offsets": [4, 28]}}, "beyond the end of the file"),
    "far beyond the end": (
        {"a": {"dtype": "F32", "shape": [2**60], "data_offsets": [0, 2**62]}},
        "beyond the end of the file",
    ),
    "only integers": ({"a": ENTRY | {"dtype": "I32"}}, "holds no arrays of floats"),
    "nothing": ({}, "holds no arrays of floats"),
}


@pytest.mark.parametrize("what", HEADERS)
def test_another_header_is_refused(what, path):
    header, said = HEADERS[what]
    write(path, header)
    with pytest.raises(InputError, match=said) as error:
        weight_files.read(path)
    assert str(error.value).startswith(f"{path}: ")


def test_names_that_claim_the_same_bytes_are_refused(path):
    """Ninety-nine arrays of one piece of the file would be 99 times its memory."""
    entry = {"dtype": "F32", "shape": [9000], "data_offsets": [0, 36000]}
    write(path, {f"{index}": entry for index in range(99)}, bytes(36000))
    with pytest.raises(InputError, match="array '1': its arrays claim more bytes than the file"):
        weight_files.read(path)


def test_odd_metadata_is_left_out(path):
    write(path, {"__metadata__": {"a": "b", "c": 1}, "x": ENTRY})
    assert weight_files.read(path).metadata == {"a": "b"}
    write(path, {"__metadata__": [1], "x": ENTRY})
    assert weight_files.read(path).metadata == {}


def test_a_huge_header_is_refused_unread(path):
    path.write_bytes(struct.pack("<Q", 2**20 + 1) + b"{" + bytes(2**20))
    with pytest.raises(InputError, match="its header has 1048577 bytes, more than 1048576"):
        weight_files.read(path)


def test_a_length_beyond_the_end_is_no_safetensors(path):
    path.write_bytes(struct.pack("<Q", 2**40) + b"{}")
    assert weight_files.kind_of(path) is None
