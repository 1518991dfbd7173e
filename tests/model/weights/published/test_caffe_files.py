"""The reader of .caffemodel, beside bytes worked out by hand."""

import struct
import tracemalloc

import numpy as np
import pytest
import weight_writers

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published import caffe_files, weight_files

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
ARRAYS = {"conv1_1/0": KERNEL, "conv1_1/1": np.float32([1, 2]), "conv4_3_norm/0": np.ones(5, "f4")}
# name: "n"; layer { name: "c" type: "X" blobs { shape { dim: 2 } data: 1.0 data: -2.0 } }
NUMBERS = struct.pack("<2f", 1, -2)
BLOB = b"\x3a\3\x0a\1\2" + b"\x2a\x08" + NUMBERS
LAYER = b"\x0a\1c\x12\1X\x3a" + bytes([len(BLOB)]) + BLOB
NET = b"\x0a\1n\xa2\6" + bytes([len(LAYER)]) + LAYER


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.caffemodel"


def net(blob):
    layer = b"\x0a\1c\x3a" + bytes([len(blob)]) + blob
    return b"\x0a\1n\xa2\6" + bytes([len(layer)]) + layer


def test_bytes_by_hand_are_read(path):
    path.write_bytes(NET)
    got = weight_files.read(path)
    assert (got.kind, list(got.arrays)) == ("caffe", ["c/0"])
    assert got.arrays["c/0"].tolist() == [1, -2]


@pytest.mark.parametrize("old", [False, True], ids=["layer", "layers"])
@pytest.mark.parametrize("double", [False, True], ids=["data", "double_data"])
def test_arrays_are_those_written(path, old, double):
    weight_writers.caffemodel(path, ARRAYS, old=old, double=double)
    got = weight_files.read(path)
    assert got.kind == "caffe" and list(got.arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert np.array_equal(got.arrays[name], array), name
        assert got.arrays[name].dtype == (np.float64 if double else np.float32)


def test_gradients_and_unknown_fields_are_passed_over(path):
    # diff (6) of the blob; phase (10), a float (field 13) and a double (field 14) of the layer.
    blob = BLOB + b"\x32\4" + struct.pack("<f", 9)
    layer = b"\x50\1\x6d" + bytes(4) + b"\x71" + bytes(8) + b"\x0a\1c\x3a" + bytes([len(blob)])
    layer += blob
    path.write_bytes(b"\x0a\1n\xa2\6" + bytes([len(layer)]) + layer)
    assert weight_files.read(path).arrays["c/0"].tolist() == [1, -2]


DAMAGED = {
    "another shape": (net(b"\x3a\3\x0a\1\3\x2a\x08" + NUMBERS), "shape .3. does not fit 8 bytes"),
    "a huge shape": (
        net(b"\x3a\x0b\x0a\x09" + b"\xff" * 8 + b"\1\x2a\x08" + NUMBERS),
        "does not fit 8 bytes",
    ),
    "a shape without end": (net(b"\x3a\3\x0a\1\xff\x2a\x08" + NUMBERS), "its shape is damaged"),
    "nine dimensions": (
        net(b"\x3a\x0b\x0a\x09" + b"\1" * 9 + b"\x2a\4" + NUMBERS[:4]),
        "more than 8 dimensions",
    ),
    "no numbers": (net(b"\x3a\3\x0a\1\2"), "not in one piece"),
    "numbers one by one": (
        net(b"\x3a\3\x0a\1\1\x2d" + NUMBERS[:4]),
        "not in one piece, as Caffe writes them",
    ),
    "numbers twice": (net(BLOB + b"\x2a\x08" + NUMBERS), "not in one piece"),
    "half a number": (net(b"\x3a\3\x0a\1\2\x2a\7" + NUMBERS[:7]), "does not fit 7 bytes"),
    "a blob beyond its layer": (NET[:-14] + b"\x3a\x7f" + NET[-12:], "is damaged at byte"),
    "two layers of one name": (NET + NET[3:], "has two layers 'c'"),
    "a group": (NET + b"\x0b", "is damaged at byte 29"),
    "a field without end": (NET + b"\x0a\xff", "is damaged at byte 29"),
    "a tag of eleven bytes": (NET + b"\xff" * 11, "is damaged at byte 29"),
    "a long name": (
        b"\x0a\1n\xa2\6\x84\x04\x0a\x81\4" + b"n" * 513,
        "a name of more than 512 bytes",
    ),
    "no blobs": (b"\x0a\1n\xa2\6\3\x0a\1c", "holds no arrays of floats"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_refused(what, path):
    data, said = DAMAGED[what]
    path.write_bytes(data)
    with pytest.raises(InputError, match=said) as error:
        weight_files.read(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"\n\n", b'name: "VGG"\nlayer { }\n', bytes(99), b"\xa2\6\0", NET[:20]],
    ids=["empty", "a line", "two lines", "a prototxt", "zeros", "an empty layer", "cut"],
)
def test_what_is_no_net_is_not_taken_for_one(data, path):
    path.write_bytes(data)
    assert weight_files.kind_of(path) is None


def test_many_fields_are_refused(path, monkeypatch):
    monkeypatch.setattr(caffe_files, "_MAX_FIELDS", 1000)
    path.write_bytes(NET + b"\x28\1" * 1000)
    tracemalloc.start()
    with pytest.raises(InputError, match="has more than 1000 fields"):
        weight_files.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000
