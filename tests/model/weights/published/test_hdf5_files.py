"""The reader of Keras's .h5, beside HDF5 that Keras does not write."""

import unittest.mock

import h5py
import numpy as np
import pytest
import weight_writers

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published import hdf5_files, weight_files

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 2, 3, 2)
ARRAYS = {"conv1_1/kernel:0": KERNEL, "conv1_1/bias:0": np.float32([1, 2])}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.h5"


def equal(got, want):
    return got.dtype == np.float32 and got.shape == want.shape and np.array_equal(got, want)


def test_arrays_are_those_written(path):
    weight_writers.keras_h5(path, ARRAYS)
    got = weight_files.read(path)
    assert got.kind == weight_files.kind_of(path) == "keras_h5"
    assert got.arrays.keys() == ARRAYS.keys()
    assert all(equal(got.arrays[name], array) for name, array in ARRAYS.items())


def test_a_whole_model_gives_its_weights_alone(path):
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
        # Layers without the name said twice, as in the VGG-16 that Keras offers.
        file["model_weights/block1_conv1/block1_conv1_W_1:0"] = KERNEL
        file["model_weights/conv2/conv2/kernel:0"] = KERNEL + 1
        file["optimizer_weights/conv2/kernel/momentum:0"] = KERNEL + 2
    arrays = weight_files.read(path).arrays
    assert sorted(arrays) == ["block1_conv1/block1_conv1_W_1:0", "conv2/kernel:0"]
    assert equal(arrays["conv2/kernel:0"], KERNEL + 1)


def test_other_orders_and_widths_are_read_and_integers_left_out(path):
    with h5py.File(path, "w") as file:
        file["a/big"] = KERNEL.astype(">f4")
        file["a/half"] = np.float16([1, 1.5])
        file["a/double"] = np.float64([0.1])
        file["a/scalar"] = np.float32(3)
        file["a/steps"] = np.arange(3)
        file["a/text"] = "text"
        file["a/none"] = h5py.Empty("f4")
    arrays = weight_files.read(path).arrays
    assert sorted(arrays) == ["a/big", "a/double", "a/half", "a/scalar"]
    assert equal(arrays["a/big"], KERNEL) and equal(arrays["a/half"], np.float32([1, 1.5]))
    assert arrays["a/double"].tolist() == [0.1] and arrays["a/scalar"] == 3


def external_link(file):
    with h5py.File(str(file.filename) + ".other", "w") as other:
        other["kernel"] = KERNEL
    file["a"] = h5py.ExternalLink(str(file.filename) + ".other", "kernel")


def virtual(file):
    with h5py.File(str(file.filename) + ".other", "w") as other:
        other["kernel"] = KERNEL
    layout = h5py.VirtualLayout(KERNEL.shape, "f4")
    layout[:] = h5py.VirtualSource(str(file.filename) + ".other", "kernel", KERNEL.shape)
    file.create_virtual_dataset("a", layout)


def external_data(file):
    name = str(file.filename) + ".raw"
    file.create_dataset("a", KERNEL.shape, "f4", external=[(name, 0, h5py.h5f.UNLIMITED)])


def loop(file):
    file["group/a"] = KERNEL
    file["group/again"] = file["group"]


def deep(file):
    file["/".join("a" * 40)] = KERNEL


def soft_link(file):
    file["a"] = KERNEL
    file["b"] = h5py.SoftLink("/a")


def odd_floats(file):
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_ebias(100)
    h5py.h5d.create(file.id, b"a", kind, h5py.h5s.create_simple((1,))).write(
        h5py.h5s.ALL, h5py.h5s.ALL, np.ones(1, "f4")
    )


OTHERS = {
    "an external link": (external_link, "'a' is a link; Keras writes none"),
    "a soft link": (soft_link, "'b' is a link; Keras writes none"),
    "a virtual dataset": (virtual, "array 'a': not in one uncompressed piece"),
    "data in another file": (external_data, "array 'a': not in one uncompressed piece"),
    "compressed": (
        lambda file: file.create_dataset("a", (10**9,), "f4", compression="gzip", chunks=(1000,)),
        "not in one uncompressed piece",
    ),
    "in chunks": (
        lambda file: file.create_dataset("a", data=KERNEL, chunks=(1, 1, 1, 1)),
        "not in one uncompressed piece",
    ),
    "never written": (
        lambda file: file.create_dataset("a", (10**12,), "f4"),
        "not in one uncompressed piece",
    ),
    "a group in itself": (loop, "nested more than 32 deep|has .* twice|claim more bytes"),
    "deep groups": (deep, "nested more than 32 deep"),
    "a long name": (lambda file: file.create_group("a" * 600), "names of 512 characters"),
    "a name twice": (
        lambda file: [file.create_dataset(name, data=KERNEL) for name in ("a/a/k", "a/k")],
        "has 'a/k' twice",
    ),
    "nine dimensions": (
        lambda file: file.create_dataset("a", data=KERNEL.reshape(*[1] * 8, 24)),
        "more than 8 dimensions",
    ),
    "floats of another bias": (odd_floats, "array 'a': not of float16, float32 or float64"),
    "nothing": (lambda file: None, "holds no arrays of floats"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_keras_does_not_write_is_refused(what, path):
    write, said = OTHERS[what]
    with h5py.File(path, "w") as file:
        write(file)
    with pytest.raises(InputError, match=said) as error:
        weight_files.read(path)
    assert str(error.value).startswith(f"{path}: ")


def test_many_objects_are_refused(path, monkeypatch):
    monkeypatch.setattr(hdf5_files, "_MAX_OBJECTS", 5)
    with h5py.File(path, "w") as file:
        for index in range(6):
            file.create_group(f"{index}")
    with pytest.raises(InputError, match="has more than 5 objects"):
        weight_files.read(path)


def test_a_cut_file_is_refused(path):
    weight_writers.keras_h5(path, ARRAYS)
    data = path.read_bytes()
    for length in range(8, len(data), 211):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match="is damaged"):
            weight_files.read(path)


def test_names_that_are_not_utf_8_are_refused(path):
    weight_writers.keras_h5(path, ARRAYS)
    path.write_bytes(path.read_bytes().replace(b"conv1_1\0", b"con\xff1_1\0"))
    with pytest.raises(InputError, match="is damaged"):
        weight_files.read(path)


def test_types_in_types_take_no_quadratic_time(path):
    """As h5py's dtype, 3,000 take 5 s for each dataset, and a file has room for thousands."""
    kind = h5py.h5t.IEEE_F32LE
    for _ in range(200):
        kind = h5py.h5t.vlen_create(kind)
    with h5py.File(path, "w") as file:
        h5py.h5d.create(file.id, b"a", kind, h5py.h5s.create_simple((1,)))
        file["b"] = KERNEL
    said = pytest.raises(InputError, match="its description takes more than -1 s to read")
    with unittest.mock.patch.object(hdf5_files, "_MAX_CPU_SECONDS", -1), said:
        weight_files.read(path)
    with unittest.mock.patch.object(h5py.Dataset, "dtype", None):
        assert list(weight_files.read(path).arrays) == ["b"]
