"""The output folder is looked at, and tried, before there is anything to write."""

import io
import os
import pathlib

import pytest
from PIL import Image

from ssd_tfrecord.detection.outputs import output_folder
from ssd_tfrecord.detection.sources.source_list import Source
from ssd_tfrecord.errors import DiskError, InputError


def test_it_must_not_hold_an_image(tmp_path):
    for name in ("in", "link"):
        (tmp_path / name).mkdir()
    image = tmp_path / "in" / "a.jpg"
    Image.new("RGB", (4, 2)).save(image)
    link = tmp_path / "link" / "b.jpg"
    link.symlink_to(image)
    (tmp_path / "same").symlink_to(tmp_path / "in")
    for folder, path in (("in", image), ("same", image), ("in/../in", image), ("in", link)):
        message = rf"--output_dir=.*{folder}: contains .*{path.name}, .*; must be another folder$"
        with pytest.raises(InputError, match=message):
            output_folder.prepare(tmp_path / folder, [Source(path)])
    for folder in (".", "in/new"):
        output_folder.prepare(tmp_path / folder, [Source(image), Source(link)])
    # What was written to try is gone.
    assert os.listdir(tmp_path / "in" / "new") == []


def test_where_crops_are_written_it_must_not_hold_images_either(tmp_path):
    image = tmp_path / "out" / "crops" / "cat" / "a-1.jpg"
    image.parent.mkdir(parents=True)
    image.touch()
    (tmp_path / "out" / "crops" / "file").touch()
    sources = [Source(image)]
    for folder in (tmp_path, tmp_path / "out"):
        output_folder.prepare(folder, sources)
    output_folder.prepare(tmp_path, sources, crops=True)
    message = r"--output_dir=.*/out: contains the input image .*/out/crops/cat/a-1.jpg, which"
    with pytest.raises(InputError, match=message):
        output_folder.prepare(tmp_path / "out", sources, crops=True)


def test_images_that_cannot_be_there_are_not(tmp_path):
    (tmp_path / "a.jpg").symlink_to("a.jpg")
    names = ("a" * 300, f"{'a' * 300}/b.jpg", "a.jpg")
    output_folder.prepare(tmp_path / "out", [Source(tmp_path / name) for name in names])
    output_folder.prepare(tmp_path / "out", [Source(tmp_path / name) for name in names])


@pytest.mark.parametrize("name", ["file", "file/in", "a\0b", "a" * 300])
def test_what_can_be_no_folder_is_an_error(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--output_dir=.*: (is a file, or in one|cannot be wri)"):
        output_folder.prepare(tmp_path / name, [])


def test_a_folder_that_cannot_be_written_is_an_error(monkeypatch, tmp_path):
    def read_only(**settings):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(output_folder.tempfile, "TemporaryFile", read_only)
    with pytest.raises(InputError, match=r"cannot be written \(Read-only file system\); must be"):
        output_folder.prepare(tmp_path, [])


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    output_folder.write_bytes(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"

    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(28, "No space left on device", "b")

    def begun(path, mode):
        path.touch()
        return Full()

    monkeypatch.setattr(pathlib.Path, "open", begun)
    with (
        pytest.raises(DiskError, match=r"^b: No space left on device$"),
        output_folder.disk_errors(tmp_path),
    ):
        output_folder.write_bytes(tmp_path / "b", b"xyz")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path, link):
    (tmp_path / "photo").write_bytes(b"a photo")
    link(tmp_path / "photo", tmp_path / "a")
    output_folder.write_bytes(tmp_path / "a", b"x")
    assert (tmp_path / "photo").read_bytes() == b"a photo"
    assert (tmp_path / "a").read_bytes() == b"x" and not (tmp_path / "a").is_symlink()


def test_nothing_is_made_where_a_link_leads_nowhere(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "nowhere")
    output_folder.write_bytes(tmp_path / "a", b"x")
    assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"x"


def test_a_folder_of_that_name_is_an_error(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(DiskError, match=r"/a: "), output_folder.disk_errors(tmp_path):
        output_folder.write_bytes(tmp_path / "a", b"x")
    assert (tmp_path / "a").is_dir()
