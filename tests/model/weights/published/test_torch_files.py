"""Files of torch.save in both layouts, written without torch, and what is refused in them."""

import struct
import zipfile

import numpy as np
import pytest
import weight_writers

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published import weight_files

WRITERS = {"torch": weight_writers.torch_zip, "torch_legacy": weight_writers.torch_legacy}
KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)


@pytest.fixture(params=WRITERS)
def kind(request):
    return request.param


@pytest.fixture
def written(kind, tmp_path):
    """Writes a state and returns its path."""
    path = tmp_path / "weights.pth"

    def write(state, **options):
        WRITERS[kind](path, state, **options)
        return path

    return write


def equal(got, want):
    return got.shape == want.shape and got.tobytes() == want.tobytes()


@pytest.mark.parametrize("parameters", [False, True], ids=["tensors", "parameters"])
def test_arrays_are_those_written(written, kind, parameters):
    state = {"vgg.0.weight": KERNEL, "vgg.0.bias": np.float32([1, -2]), "scale": np.array(3, "f4")}
    got = weight_files.read(written(state, parameters=parameters))
    assert got.kind == kind and weight_files.kind_of(written(state)) == kind
    assert list(got.arrays) == list(state)
    assert all(equal(got.arrays[name], array) for name, array in state.items())
    assert all(array.dtype == np.float32 for array in got.arrays.values())


def test_dictionaries_are_joined_by_dots_and_what_is_no_float_is_left_out(written):
    state = {
        "model": {"a": KERNEL, "inner": {"b": KERNEL + 1}, "num_batches_tracked": np.array(7)},
        "optimizer": {"state": [KERNEL], "lr": 0.1, "none": None},
        "epoch": 3,
        "mask": np.ones(3, bool),
        "empty": np.zeros((0, 3), np.float32),
    }
    arrays = weight_files.read(written(state)).arrays
    assert sorted(arrays) == ["model.a", "model.inner.b"]
    assert equal(arrays["model.inner.b"], KERNEL + 1)


def test_halves_are_widened_and_doubles_kept(written):
    state = {
        "half": np.float16([1, 1.5, -2]),
        "brain": np.uint16([0x3F80, 0xC000, 0x3FC0]),
        "one": np.array(0x3F80, np.uint16),
        "double": np.float64([1, 0.1]),
    }
    arrays = weight_files.read(written(state)).arrays
    assert equal(arrays["half"], np.float32([1, 1.5, -2]))
    assert equal(arrays["one"], np.array(1, np.float32))
    assert equal(arrays["brain"], np.float32([1, -2, 1.5]))
    assert equal(arrays["double"], np.float64([1, 0.1]))


def test_a_file_of_a_big_endian_machine_is_read(tmp_path):
    weight_writers.torch_zip(tmp_path / "big.pth", {"a": KERNEL}, byteorder="big")
    assert equal(weight_files.read(tmp_path / "big.pth").arrays["a"], KERNEL)
    weight_writers.torch_zip(tmp_path / "old.pth", {"a": KERNEL}, byteorder=None)
    assert equal(weight_files.read(tmp_path / "old.pth").arrays["a"], KERNEL)
    weight_writers.torch_zip(tmp_path / "odd.pth", {"a": KERNEL}, byteorder="middle")
    with pytest.raises(InputError, match=r"byte order b'middle'; must be little or big"):
        weight_files.read(tmp_path / "odd.pth")


TRANSPOSED = weight_writers.Raw(
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
    b"X\1\0\0\0kX\3\0\0\0cpuK\x06NtQK\1K\2K\2\x86K\1K\3\x86\x89NtR"
)


def test_a_transposed_view_is_read(tmp_path):
    """Elements 1 + i + 3 j of the storage 0 … 5; the legacy layout's pickle, by hand."""
    body, _ = weight_writers.pickled({"a": TRANSPOSED}, legacy=True)
    parts = [weight_writers.LEGACY_MAGIC, 1001, {}]
    pickles = [*(weight_writers.pickled(part)[0] for part in parts), body]
    pickles.append(weight_writers.pickled(["k"])[0])
    data = b"".join(b"\x80\2" + pickle + b"." for pickle in pickles)
    numbers = struct.pack("<q6f", 6, *range(6))
    (tmp_path / "a.pth").write_bytes(data + numbers)
    array = weight_files.read(tmp_path / "a.pth").arrays["a"]
    assert array.tolist() == [[1, 4], [2, 5]]
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0


@pytest.mark.parametrize(
    "state, said",
    [
        pytest.param({}, "holds no arrays of floats", id="nothing"),
        pytest.param({"epoch": 3}, "holds no arrays of floats", id="only numbers"),
        pytest.param([KERNEL], "holds no dictionary of tensors", id="a list"),
        pytest.param(KERNEL, "holds no dictionary of tensors", id="a tensor"),
        pytest.param({"a.b": KERNEL, "a": {"b": KERNEL}}, "has 'a.b' twice", id="a name twice"),
        pytest.param({"a" * 513: KERNEL}, "a name of more than 512 characters", id="a long name"),
        pytest.param(
            {"a": weight_writers.Raw(b"}q\xf0X\1\0\0\0xh\xf0s")},
            "nested more than 16 deep",
            id="a dictionary in itself",
        ),
        pytest.param(
            {"a": weight_writers.Raw(b"cos\nsystem\nX\4\0\0\0true\x85R")},
            "asks for 'os.system'.*nothing was run",
            id="a call",
        ),
    ],
)
def test_another_content_is_refused(written, state, said):
    path = written(state)
    with pytest.raises(InputError, match=said) as error:
        weight_files.read(path)
    assert str(error.value).startswith(f"{path}: ") and "; must be weights of " in str(error.value)


def test_dictionaries_in_dictionaries_are_counted(written):
    """Sixteen levels of two references to the next would be 65,536 tensors."""
    bomb = {"a": KERNEL}
    body, _ = weight_writers.pickled(bomb)
    raw = body + b"q\xf0"
    for _ in range(15):
        raw = b"}(X\1\0\0\0x" + raw + b"X\1\0\0\0yh\xf0uq\xf0"
    # Each memo entry is set behind its dictionary, and fetched inside of the next: h\xf0 is it.
    with pytest.raises(InputError, match="more than twice the file"):
        weight_files.read(written({"a": KERNEL, "bomb": weight_writers.Raw(raw)}))


def test_cut_and_bent_files_are_refused(written, kind):
    path = written({"a": KERNEL, "b": KERNEL})
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(InputError):
            weight_files.read(path)
    place = data.index(KERNEL.tobytes())
    path.write_bytes(data[:place] + b"\xff" + data[place + 1 :])
    if kind == "torch":
        with pytest.raises(InputError, match="'archive/data/0' is damaged: its checksum is wrong"):
            weight_files.read(path)


def rezip(path, *, change=lambda name, data: [(name, data)], method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as file:
        entries = [(info.filename, file.read(info)) for info in file.infolist()]
    with zipfile.ZipFile(path, "w", method) as file:
        for entry in entries:
            for name, data in change(*entry):
                file.writestr(name, data)


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "a.pth"
    weight_writers.torch_zip(path, {"a": KERNEL})
    return path


ARCHIVES = {
    "a storage missing": (
        {"change": lambda name, data: [] if "data/" in name else [(name, data)]},
        "storage '0' is not in the file",
    ),
    "a storage cut": (
        {"change": lambda name, data: [(name, data[:80] if "data/" in name else data)]},
        "storage '0' has 80 bytes; its tensors need 96",
    ),
    "compressed": ({"method": zipfile.ZIP_DEFLATED}, "compressed or encrypted"),
    "a pickle too large": (
        {"change": lambda name, data: [(name, data + bytes(2**22) if "pkl" in name else data)]},
        "'archive/data.pkl' has .* more than 4194304",
    ),
    "no pickle": (
        {"change": lambda name, data: [(name.replace("pkl", "txt"), data)]},
        r"a zip archive without the data\.pkl",
    ),
    "two pickles": (
        {"change": lambda name, data: [(name, data), (name.replace("archive", "b"), data)]},
        r"a zip archive without the data\.pkl",
    ),
}


@pytest.mark.parametrize("how", ARCHIVES)
def test_an_archive_that_torch_does_not_write_is_refused(how, archive):
    options, said = ARCHIVES[how]
    rezip(archive, **options)
    with pytest.raises(InputError, match=said):
        weight_files.read(archive)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(archive):
    rezip(archive, change=lambda name, data: [(name, data)] * 2)
    with pytest.raises(InputError, match=r"has 'archive/data\.pkl' twice"):
        weight_files.read(archive)


def test_entries_that_claim_the_same_bytes_are_refused(tmp_path):
    """Forty names for one piece of the file: forty times its memory."""
    path = tmp_path / "a.pth"
    one = np.arange(1000, dtype=np.float32)
    weight_writers.torch_zip(path, {f"a{index}": one for index in range(4)})
    data = path.read_bytes()
    for index in range(1, 4):
        # The entry's local header becomes that of storage 0, whose name it then is not.
        at = data.index(f"archive/data/{index}".encode(), data.index(b"PK\1\2")) - 4
        start = data.index(b"archive/data/0") - 30
        data = data[:at] + struct.pack("<I", start) + data[at + 4 :]
    path.write_bytes(data)
    with pytest.raises(InputError, match="is not where the archive's directory says"):
        weight_files.read(path)


def test_a_checksum_of_zero_is_not_compared(archive):
    """What torch writes under set_crc32_options(False)."""
    data = archive.read_bytes()
    at = data.index(b"PK\1\2")
    while (at := data.find(b"PK\1\2", at)) >= 0:
        data = data[: at + 16] + bytes(4) + data[at + 20 :]
        at += 46
    archive.write_bytes(data)
    assert equal(weight_files.read(archive).arrays["a"], KERNEL)


def test_the_directory_of_a_large_archive_is_read(archive):
    """The 64-bit records that stand in for fields that are all ones."""
    data = archive.read_bytes()
    end = data.rindex(b"PK\5\6")
    count, size, offset = struct.unpack("<HII", data[end + 10 : end + 20])
    record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, end, 1)
    last = data[end : end + 8] + b"\xff" * 12 + data[end + 20 :]
    archive.write_bytes(data[:end] + record + locator + last)
    assert equal(weight_files.read(archive).arrays["a"], KERNEL)


def test_a_huge_directory_is_refused_unread(archive):
    data = archive.read_bytes()
    end = data.rindex(b"PK\5\6")
    padded = data[:end] + bytes(2**22) + data[end:]
    last = end + 2**22
    size = struct.pack("<II", last, 0)
    archive.write_bytes(padded[: last + 12] + size + padded[last + 20 :])
    with pytest.raises(InputError, match=r"its zip directory has .* more than 4194304"):
        weight_files.kind_of(archive)


LEGACY = {
    "another protocol": ((b"\x8a\2\xe9\3.", b"\x8a\2\xea\3."), r"protocol 1002; must be 1001"),
    # Tuples of one tuple, deeper than Python's stack, and of three of the same, 3^900 in all.
    "a deep protocol": (
        (b"\x8a\2\xe9\3.", b")" + b"\x85" * 20000 + b"."),
        r"protocol \(+\.\.\.[),]+; must be 1001",
    ),
    "a wide protocol": (
        (b"\x8a\2\xe9\3.", b")" + b"q\0h\0h\0\x87" * 900 + b"."),
        r"protocol \(+\.\.\..{60,80}; must be 1001",
    ),
    "another count": ((struct.pack("<q", 24), struct.pack("<q", 25)), "has 25 values; .* need 24"),
    "a huge count": ((struct.pack("<q", 24), b"\xff" * 8), "values; its tensors need 24"),
    "a key of no tensor": ((b"](X\1\0\0\x000e", b"](X\1\0\0\x001e"), "'1' belongs to no tensor"),
    "a key that is no text": ((b"](X\1\0\0\x000e", b"](K\0e"), "storage 0 belongs to no tensor"),
    "a list as key": ((b"](X\1\0\0\x000e", b"](]e"), r"storage \[\] belongs to no tensor"),
    "a key twice": ((b"](X\1\0\0\x000e", b"](X\1\0\0\x000X\1\0\0\x000e"), "belongs to no tensor"),
    "no keys": ((b"](X\1\0\0\x000e", b"N"), "storage '0' is not in the file"),
}


@pytest.mark.parametrize("how", LEGACY)
def test_a_legacy_file_that_torch_does_not_write_is_refused(how, tmp_path):
    path = tmp_path / "a.pth"
    weight_writers.torch_legacy(path, {"a": KERNEL})
    (old, new), said = LEGACY[how]
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new) + bytes(99))
    with pytest.raises(InputError, match=said):
        weight_files.read(path)
