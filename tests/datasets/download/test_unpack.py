"""Archives that mean harm or are damaged: one line, and nothing outside of the folder."""

import io
import os
import stat
import struct
import tarfile
import warnings
import zipfile
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssd_tfrecord.datasets.download.catalogue import Archive
from ssd_tfrecord.datasets.download.unpack import Count, unpack
from ssd_tfrecord.errors import InputError

FOLDER = "kit/set"
GOOD = (f"{FOLDER}/good.txt", b"good")
LIMITS = Archive("a", 0, "", (), FOLDER, max_members=12, max_bytes=50_000)
LINK, HARD_LINK, PIPE, DEVICE, CONTIGUOUS = "2", "1", "6", "3", "7"


def tar_entry(name, content=b"", kind="0", **fields):
    """The bytes of one tar member; ``name`` is written as it is."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind.encode(), len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    padding = b"\0" * (-len(content) % tarfile.BLOCKSIZE)
    return info.tobuf(tarfile.GNU_FORMAT) + content + padding


def write_tar(path, *entries, end=b"\0" * 1024):
    path.write_bytes(b"".join(entries) + end)
    return path


def write_zip(path, *entries):
    """Writes (name or ZipInfo, content) of each entry."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")
        for name, content in entries:
            file.writestr(name, content)
    return path


def zip_info(name, mode=0, **fields):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    for key, value in fields.items():
        setattr(info, key, value)
    return info


class Place:
    """A folder to unpack into, in a folder that nothing else may change in."""

    def __init__(self, root):
        self.root, self.destination = root, root / "inner" / "new"
        self.destination.mkdir(parents=True)
        (root / "inner" / "old.txt").write_text("old")

    def unpack(self, path, **limits):
        archive = Archive(**{**vars(LIMITS), **limits})
        return unpack(path, archive, self.destination)

    def refused(self, path, **limits):
        with pytest.raises(InputError) as caught:
            self.unpack(path, **limits)
        text = str(caught.value)
        assert text.startswith(f"{path}: ") and text.isprintable()
        self.assert_safe()
        return text.removeprefix(f"{path}: ")

    def assert_safe(self):
        """Only regular files and folders, in the destination."""
        assert {path.name for path in self.root.iterdir()} <= {"inner", "a.tar", "a.zip"}
        inner = {path.name for path in (self.root / "inner").iterdir()}
        assert inner == {"new", "old.txt"}
        assert (self.root / "inner" / "old.txt").read_text() == "old"
        for folder, folders, names in os.walk(self.destination):
            for name in folders:
                assert stat.S_ISDIR(os.lstat(os.path.join(folder, name)).st_mode)
            for name in names:
                found = os.lstat(os.path.join(folder, name))
                assert stat.S_ISREG(found.st_mode) and found.st_nlink == 1
                assert found.st_mode & 0o7133 == 0

    def files(self):
        return {
            str(path.relative_to(self.destination)): path.read_bytes()
            for path in self.destination.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_tar_content_of_the_folder(place, tmp_path):
    content = np.random.default_rng(0).bytes(30_000)
    path = write_tar(
        tmp_path / "a.tar",
        tar_entry("kit/", kind="5", mode=0o000),
        tar_entry(f"./{FOLDER}/images/", kind="5", mode=0o7777),
        tar_entry(f"{FOLDER}/images/1.jpg", content, mode=0o6777, uid=0),
        tar_entry(f".//{FOLDER}/./lists/a b.txt", b"1\n", mode=0o000),
        tar_entry(f"{FOLDER}/empty/", kind="5"),
        tar_entry(f"{FOLDER}/images/", kind="5"),
        tar_entry("kit/other/stray.txt", b"not in the folder"),
        tar_entry(f"{FOLDER}/old.txt", b"7", kind=CONTIGUOUS),
    )
    assert place.unpack(path) == Count(files=3, num_bytes=30_000 + 2 + 17 + 1)
    place.assert_safe()
    assert place.files() == {"images/1.jpg": content, "lists/a b.txt": b"1\n", "old.txt": b"7"}
    assert (place.destination / "empty").is_dir()


def test_zip_content_of_the_folder(place, tmp_path):
    content = np.random.default_rng(0).bytes(30_000)
    path = write_zip(
        tmp_path / "a.zip",
        ("kit/", b""),
        (zip_info(f"{FOLDER}/images/", 0o40777), b""),
        (zip_info(f"{FOLDER}/images/1.jpg", 0o106777), content),
        (f"{FOLDER}/ä.txt", b"x" * 9000),
        ("__MACOSX/stray", b"-"),
    )
    assert place.unpack(path) == Count(files=2, num_bytes=39_001)
    place.assert_safe()
    assert place.files() == {"images/1.jpg": content, "ä.txt": b"x" * 9000}


def test_long_names_of_both_tar_formats(place, tmp_path):
    for number, form in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        path, name = tmp_path / "a.tar", f"{FOLDER}/{'long' * 40}{number}"
        with tarfile.open(path, "w", format=form) as tar:
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"good"))
        assert place.unpack(path).files == 1
    assert sorted(place.files()) == ["long" * 40 + "0", "long" * 40 + "1"]


def test_progress_counts_what_the_archive_holds(tmp_path, place):
    path, steps = write_tar(tmp_path / "a.tar", tar_entry(*GOOD)), []
    unpack(path, LIMITS, place.destination, steps.append)
    assert steps == [512 + 4]


HOSTILE_NAMES = {
    "/kit/set/x": "is an absolute path",
    "//kit/set/x": "is an absolute path",
    "C:/kit/set/x": "is an absolute path",
    "c:x": "is an absolute path",
    "../old.txt": "leads out of the folder",
    f"{FOLDER}/../../../old.txt": "leads out of the folder",
    f"{FOLDER}/a/..": "leads out of the folder",
    f"{FOLDER}\\..\\x": "has a control character or a backslash in its name",
    f"{FOLDER}/a\nb": "has a control character or a backslash in its name",
    f"{FOLDER}/a\x1b[2J": "has a control character or a backslash in its name",
    f"{FOLDER}/" + "n" * 256: "has too long a name, or too many folders",
    f"{FOLDER}/" + "ä" * 128: "has too long a name, or too many folders",
    f"{FOLDER}/" + "d/" * 20 + "x": "has too long a name, or too many folders",
    FOLDER: "is there twice",
    f"{FOLDER}/good.txt": "is there twice",
    f"{FOLDER}/./good.txt": "is there twice",
    f"{FOLDER}/good.txt/x": "is there twice",
}


@pytest.mark.parametrize("kind", ["tar", "pax", "zip"])
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_name(place, tmp_path, name, kind):
    message = HOSTILE_NAMES[name]
    if kind == "zip":
        path = write_zip(tmp_path / "a.zip", GOOD, (name, b"bad"))
    elif kind == "pax":
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            for entry, content in (GOOD, (name, b"bad")):
                info = tarfile.TarInfo(entry)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    else:
        path = write_tar(tmp_path / "a.tar", tar_entry(*GOOD), tar_entry(name, b"bad"))
    text = place.refused(path)
    assert message in text and text.endswith("; nothing of it is used")
    assert place.files() == {"good.txt": b"good"}


def test_nul_in_a_name(place, tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("x")
        info.pax_headers = {"path": f"{FOLDER}/a\0b"}
        tar.addfile(info)
    assert "has a control character" in place.refused(path)


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (tar_entry(f"{FOLDER}/x", kind=LINK, linkname="/etc/passwd"), "link"),
        (tar_entry(f"{FOLDER}/x", kind=LINK, linkname="good.txt"), "link"),
        (tar_entry(f"{FOLDER}/x", kind=HARD_LINK, linkname="../../old.txt"), "link"),
        (tar_entry("elsewhere/x", kind=HARD_LINK, linkname=f"{FOLDER}/good.txt"), "link"),
        (tar_entry(f"{FOLDER}/x", kind=PIPE), "device, pipe or sparse file"),
        (tar_entry(f"{FOLDER}/x", kind=DEVICE, devmajor=1), "device, pipe or sparse file"),
    ],
)
def test_tar_of_more_than_files(place, tmp_path, entry, kind):
    path = write_tar(tmp_path / "a.tar", tar_entry(*GOOD), entry)
    assert f"is a {kind}; must be a file or a folder" in place.refused(path)


def test_link_to_a_folder_is_not_followed(place, tmp_path):
    """What lies behind the link would be outside."""
    path = write_tar(
        tmp_path / "a.tar",
        tar_entry(f"{FOLDER}/way", kind=LINK, linkname="../.."),
        tar_entry(f"{FOLDER}/way/old.txt", b"new"),
    )
    assert "'kit/set/way' is a link" in place.refused(path)


def test_link_that_is_there_already_is_not_followed(place, tmp_path):
    (place.destination / "x").symlink_to(place.root / "inner" / "old.txt")
    path = write_tar(tmp_path / "a.tar", tar_entry(f"{FOLDER}/x", b"new"))
    with pytest.raises(InputError, match="is there twice"):
        place.unpack(path)
    assert (place.root / "inner" / "old.txt").read_text() == "old"


def test_sparse_file_costs_nothing_to_declare(place, tmp_path):
    header = bytearray(tar_entry(f"{FOLDER}/x", kind="S"))
    header[386:410] = b"%011o\0%011o\0" % (0, 0)
    header[483:495] = b"%011o\0" % 40_000
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    path = write_tar(tmp_path / "a.tar", bytes(header))
    assert "is a device, pipe or sparse file" in place.refused(path)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (zip_info(f"{FOLDER}/x", stat.S_IFLNK | 0o777), "is a link or device"),
        (zip_info(f"{FOLDER}/x/", stat.S_IFLNK | 0o777), "is a link or device"),
        (zip_info(f"{FOLDER}/x", stat.S_IFIFO | 0o777), "is a link or device"),
        (zip_info(f"{FOLDER}/x", stat.S_IFCHR | 0o777), "is a link or device"),
        (zip_info(f"{FOLDER}/x", compress_type=zipfile.ZIP_BZIP2), "is a file of an unusual"),
        (zip_info(f"{FOLDER}/x", compress_type=zipfile.ZIP_LZMA), "is a file of an unusual"),
    ],
)
def test_zip_of_more_than_files(place, tmp_path, info, message):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(info, b"../../old.txt")
    assert message in place.refused(path)


def patched(path, old, new, count=-1):
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, count))
    return path


def test_zip_with_a_password(place, tmp_path):
    path = write_zip(tmp_path / "a.zip", GOOD)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    assert "is a file with a password" in place.refused(path)


@pytest.mark.parametrize("declared", [20, 2_000])
def test_zip_of_another_size_than_it_declares(place, tmp_path, declared):
    path = write_zip(tmp_path / "a.zip", (f"{FOLDER}/x", b"x" * 1000))
    patched(path, struct.pack("<L", 1000), struct.pack("<L", declared))
    text = place.refused(path)
    assert "is damaged: Bad CRC-32" in text or f"does not have the {declared} bytes" in text


def test_bomb_is_not_unpacked(place, tmp_path):
    path = write_zip(tmp_path / "a.zip", (f"{FOLDER}/x", bytes(50_001)))
    assert path.stat().st_size < 500
    assert "its files have more than 50000 bytes" in place.refused(path)
    assert place.files() == {}


def test_many_files_that_are_too_large_together(place, tmp_path):
    entries = [(f"{FOLDER}/{number}", bytes(20_000)) for number in range(3)]
    assert "more than 50000 bytes" in place.refused(write_zip(tmp_path / "a.zip", *entries))
    assert sorted(place.files()) == ["0", "1"]


def test_size_beyond_reason(place, tmp_path):
    path = write_tar(tmp_path / "a.tar", tar_entry(f"{FOLDER}/x", size=2**60))
    assert "more than 50000 bytes" in place.refused(path)
    path = write_tar(tmp_path / "a.tar", tar_entry("long", kind="x", size=2**60))
    assert "is damaged" in place.refused(path)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_too_many_members(place, tmp_path, kind):
    names = [f"{FOLDER}/{number}/" for number in range(13)]
    if kind == "zip":
        path = write_zip(tmp_path / "a.zip", *((name, b"") for name in names))
    else:
        path = write_tar(tmp_path / "a.tar", *(tar_entry(name, kind="5") for name in names))
    assert "has more than 12 files and folders" in place.refused(path)
    assert len(list(place.destination.iterdir())) == 12


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archive_without_the_folder(place, tmp_path, kind):
    entries = [("kit/other/x", b"1"), ("kit/sets/x", b"1")]
    if kind == "zip":
        path = write_zip(tmp_path / "a.zip", *entries, (f"{FOLDER}/", b""))
    else:
        path = write_tar(tmp_path / "a.tar", *(tar_entry(*item) for item in entries))
    assert place.refused(path) == "has no files in kit/set/"


def test_damaged_tars(place, tmp_path):
    path = tmp_path / "a.tar"
    whole = tar_entry(f"{FOLDER}/x", b"x" * 5000)
    for content in (b"", b"no tar", b"<html>" * 200, whole[:100], whole[:3000]):
        path.write_bytes(content)
        assert "is damaged" in place.refused(path)
        for found in place.destination.iterdir():
            found.unlink()
    assert "is damaged: bad header" in place.refused(
        write_tar(path, whole, b"no header".ljust(512), tar_entry(*GOOD))
    )


def test_gzip_is_not_looked_for(place, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo(f"{FOLDER}/x"))
    assert "is damaged" in place.refused(tmp_path / "a.tar")


def test_chain_of_long_names_does_not_end_the_stack(place, tmp_path):
    chain = [tar_entry("long", b"name", kind="L")] * 3000
    path = write_tar(tmp_path / "a.tar", *chain, tar_entry(*GOOD))
    assert "is damaged: maximum recursion depth" in place.refused(path)


def test_damaged_zips(place, tmp_path):
    path = tmp_path / "a.zip"
    whole = write_zip(path, (f"{FOLDER}/x", np.random.default_rng(0).bytes(5000))).read_bytes()
    flipped = bytearray(whole)
    flipped[2000] ^= 1
    for content in (b"", b"no zip", whole[:3000], whole[:-8], bytes(flipped)):
        path.write_bytes(content)
        assert "is damaged" in place.refused(path)
        for found in place.destination.iterdir():
            found.unlink()


# Each tries the same cases, and nothing is kept between runs.
FUZZED = settings(max_examples=150, deadline=timedelta(seconds=5), database=None, derandomize=True)
WORDS = st.sampled_from(
    ["kit", "set", "kit/set", "..", ".", "", "/", "x", "good.txt", "C:", "\\", "\0", "\n", "ä", "~"]
)
NAMES = st.lists(WORDS, min_size=1, max_size=6).map("/".join)
BYTES = st.binary(max_size=40)


@FUZZED
@given(
    st.lists(
        st.tuples(NAMES, st.sampled_from("01234567SLKxg"), BYTES, NAMES, st.integers(0, 0o7777)),
        max_size=6,
    )
)
def test_any_tar_stays_inside(tmp_path_factory, entries):
    place = Place(tmp_path_factory.mktemp("any"))
    path = write_tar(
        place.root / "a.tar",
        *(
            tar_entry(name, content, kind, linkname=link, mode=mode)
            for name, kind, content, link, mode in entries
        ),
    )
    try_to_unpack(place, path)


MODES = st.sampled_from([0, *(kind << 12 for kind in range(16))])


@FUZZED
@given(st.lists(st.tuples(NAMES, BYTES, MODES, st.integers(0, 0o7777)), max_size=6))
def test_any_zip_stays_inside(tmp_path_factory, entries):
    place = Place(tmp_path_factory.mktemp("any"))
    path = write_zip(
        place.root / "a.zip",
        *((zip_info(name, kind | mode), content) for name, content, kind, mode in entries),
    )
    try_to_unpack(place, path)


@FUZZED
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8), st.booleans())
def test_any_damage_is_a_line(tmp_path_factory, flips, zipped):
    place = Place(tmp_path_factory.mktemp("any"))
    files = [GOOD, (f"{FOLDER}/d/x", b"x" * 700), (f"{FOLDER}/y", bytes(range(256)))]
    if zipped:
        path = write_zip(place.root / "a.zip", *files)
    else:
        path = write_tar(place.root / "a.tar", *(tar_entry(*item) for item in files))
    data = bytearray(path.read_bytes())
    for position, value in flips:
        data[position % len(data)] = value
    path.write_bytes(data)
    try_to_unpack(place, path)


def try_to_unpack(place, path):
    try:
        count = place.unpack(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    else:
        assert count.files == len(place.files()) > 0
    place.assert_safe()
    assert sum(map(len, place.files().values())) <= LIMITS.max_bytes
