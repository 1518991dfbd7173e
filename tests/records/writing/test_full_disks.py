"""Disks that fail or are full: one line, nothing under a final name, and the same call goes on."""

import errno
import hashlib
import itertools
import json
import os
import pathlib
import subprocess
import sys

import pytest
from PIL import Image

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ImageOptions, RecordSetOptions
from ssd_tfrecord.records.sources import coco
from ssd_tfrecord.records.sources.file_tree import files_below
from ssd_tfrecord.records.sources.paths import ImageFolder
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceSet
from ssd_tfrecord.records.sources.spool import IMAGES, Spool
from ssd_tfrecord.records.writing import convert

ROOT = pathlib.Path(__file__).parents[3]
NUM_IMAGES, NUM_SHARDS = 24, 3


@pytest.fixture(scope="module")
def images(make_images):
    """24 small images with a box each, all of which leave their image."""
    return make_images([40.0] * NUM_IMAGES)


def _convert(images, folder, image_options=convert.DEFAULT_IMAGES, **options):
    return convert.convert(
        SourceSet(Spool(IMAGES, images), {}),
        RecordSetOptions(
            output_dir=str(folder), classes="auto", num_shards=NUM_SHARDS, set_name="x", **options
        ),
        images=image_options,
        tool="test",
        flag_lines=(),
    )


@pytest.fixture(scope="module")
def expected(images, tmp_path_factory):
    """{file: sha256} of the set."""
    folder = tmp_path_factory.mktemp("expected")
    _convert(images, folder)
    return _digests(folder)


def _digests(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.is_file()
    }


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("bad_images", ["fail", "drop", "repair"])
def test_an_image_that_cannot_be_read_is_no_image_to_drop(
    images, tmp_path, bad_images, num_workers
):
    # Linux gives EIO for what no memory is mapped at, as a failing disk does.
    failing = SourceImage("f", "/proc/self/mem", "f.xml")
    with pytest.raises(InputError, match=r"^'/proc/self/mem': cannot be read: .*Input/output err"):
        _convert(
            (*images, failing), tmp_path, ImageOptions(bad_images=bad_images), workers=num_workers
        )
    assert os.listdir(tmp_path) == [".partial"]


def test_a_folder_that_cannot_be_listed_is_not_passed_over(tmp_path, monkeypatch):
    def scandir(path):
        if str(path).endswith("bad"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return listed(path)

    listed = os.scandir
    (tmp_path / "bad").mkdir()
    (tmp_path / "a.jpg").touch()
    assert files_below(str(tmp_path), (".jpg",)) == ["a.jpg"]
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match=rf"^{tmp_path}/bad: cannot be read: Input/output error$"):
        files_below(str(tmp_path), (".jpg",))


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_an_image_that_cannot_be_looked_at_is_not_missing(tmp_path, monkeypatch, number):
    def status(path, **settings):
        if str(path).endswith("a.jpg"):
            raise OSError(number, os.strerror(number), str(path))
        return looked_at(path, **settings)

    looked_at = os.stat
    entry = {"id": 1, "file_name": "a.jpg"}
    (tmp_path / "i.json").write_text(json.dumps({"images": [entry], "categories": []}))
    message = rf"^'{tmp_path}/a\.jpg': cannot be read: {os.strerror(number)}$"
    monkeypatch.setattr(os, "stat", status)
    with pytest.raises(InputError, match=message):
        coco.read_instances(str(tmp_path / "i.json"), str(tmp_path), bad_images="drop")
    with pytest.raises(InputError, match=message):
        ImageFolder(str(tmp_path)).find("a.jpg", "a", "a.xml")


class _FullAt:
    """From the ``number``-th time on that a file is made, synced, renamed or cut, it fails."""

    def __init__(self, number, patch):
        self.number, self.count = number, 0
        for owner, name in (
            (os, "replace"),
            (os, "fsync"),
            (os, "makedirs"),
            (os, "truncate"),
            (os, "write"),
        ):
            patch.setattr(owner, name, self._failing(getattr(owner, name)))
        patch.setattr("builtins.open", self._failing_open(open))

    def _step(self):
        self.count += 1
        if self.count > self.number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _failing(self, function):
        def call(*arguments, **settings):
            self._step()
            return function(*arguments, **settings)

        return call

    def _failing_open(self, function):
        def call(path, mode="r", *arguments, **settings):
            if "w" in mode:
                self._step()
            return function(path, mode, *arguments, **settings)

        return call


def test_no_room_at_any_step_is_a_line_and_the_same_call_goes_on(images, expected, tmp_path):
    for number in itertools.count():
        folder = tmp_path / str(number)
        with pytest.MonkeyPatch.context() as patch:
            full = _FullAt(number, patch)
            try:
                _convert(images, folder)
            except InputError as error:
                assert str(error).endswith("cannot be written: No space left on device"), number
                assert str(folder) in str(error)
            else:
                break
        if (folder / "manifest.json").exists():  # what follows it is to be synced and removed
            assert _digests(folder) == expected
        _convert(images, folder)
        assert _digests(folder) == expected
    assert full.count == number >= 30
    assert _digests(folder) == expected


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a tmpfs of so many KB at the folder that is given; or resizes it."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(kilobytes):
        again = "remount," if os.path.ismount(folder) else ""
        words = ["mount", "-t", "tmpfs", "-o", f"{again}size={kilobytes}k", "none", str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
        return folder

    yield mount
    while os.path.ismount(folder):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_of_any_size_that_is_too_small(images, expected, small_disk):
    refused = set()
    for kilobytes in itertools.count(4, 4):
        folder = small_disk(kilobytes)
        try:
            _convert(images, folder)
        except InputError as error:
            assert str(error).endswith("cannot be written: No space left on device")
            assert str(folder) in str(error)
            refused.add(str(error).partition(":")[0])
        else:
            break
        assert not (folder / "manifest.json").exists()
        small_disk(10_000)
        _convert(images, folder)
        assert _digests(folder) == expected
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    partial = f"{folder}/.partial"
    assert refused == {
        f"--output_dir={folder}",
        partial,
        *(f"{partial}/x-0000{shard}-of-00003.tfrecord" for shard in range(3)),
    }


def test_no_room_for_a_dry_run_names_its_place(images, small_disk, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(small_disk(4)))
    with pytest.raises(InputError, match=r"^\$TMPDIR: cannot be written: No space left on device$"):
        _convert(images, tmp_path / "a", dry_run=True)


def test_no_room_for_the_annotations_is_a_line(small_disk, tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "images/a.jpg")
    entries = [{"id": number, "file_name": "a.jpg"} for number in range(60_000)]
    (tmp_path / "i.json").write_text(json.dumps({"images": entries, "categories": []}))
    disk = small_disk(1000)
    done = subprocess.run(
        [
            *(sys.executable, "tools/create_coco_tfrecords.py", f"--annotations={tmp_path}/i.json"),
            *(f"--images_dir={tmp_path}/images", f"--output_dir={tmp_path}/a"),
        ],
        cwd=ROOT,
        env={**os.environ, "SQLITE_TMPDIR": str(disk)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"error: {disk}: SQLite cannot store annotations here: database or disk is full; free "
        "some disk space, or set SQLITE_TMPDIR to a folder that has space"
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "a").exists()
