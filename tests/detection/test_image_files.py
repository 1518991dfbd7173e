"""Images found by name and opened by content."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.detection.image_files import (
    SUFFIXES,
    check_output_dir,
    find_images,
    open_image,
    output_names,
)
from ssd_tfrecord.errors import InputError


def _save(path, size=(4, 2), **options):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size, (200, 0, 0)).save(path, **options)
    return path


def test_files_folders_and_globs_each_image_once(tmp_path):
    b, a = _save(tmp_path / "in" / "b.JPG"), _save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "c.txt").write_text("")
    deep = _save(tmp_path / "in" / "deep" / "d[1].jpg")
    assert find_images([str(b), str(tmp_path / "in"), f"{tmp_path}/in/*"]) == [b, a]
    assert find_images([f"{tmp_path}/**/*.*"]) == [a, b, deep]
    assert find_images([str(deep)]) == [deep]


@pytest.mark.parametrize("pattern", ["nothing", "*.jpg", "empty"])
def test_no_match_is_an_error(tmp_path, pattern):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"--images=.*: no image found; must be a file, a folder"):
        find_images([str(tmp_path / pattern)])


def test_open_turns_by_exif_and_gives_rgb(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = open_image(_save(tmp_path / "a.jpg", exif=exif))
    assert (turned.size, turned.mode) == ((2, 4), "RGB")
    Image.new("LA", (3, 3), (7, 0)).save(tmp_path / "b.png")
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "b.png"))[0, 0], [7, 7, 7])


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    levels = np.uint16([[0, 128, 129, 25700, 65535]])
    Image.fromarray(levels).save(tmp_path / "a.png")
    expected = [[grey] * 3 for grey in (0, 0, 1, 100, 255)]
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.png"))[0], expected)


def test_formats_are_those_of_the_suffixes(tmp_path):
    for suffix in SUFFIXES:
        assert open_image(_save(tmp_path / f"a{suffix}")).size == (4, 2)
    image = Image.new("RGB", (4, 2))
    image.save(tmp_path / "a.mpo", save_all=True, append_images=[image])
    assert open_image(tmp_path / "a.mpo").size == (4, 2)
    # By content: EPS would start Ghostscript.
    image.save(tmp_path / "b.jpg", "EPS")
    with pytest.raises(InputError, match=r"b\.jpg: cannot be decoded .*; must be an intact JPEG,"):
        open_image(tmp_path / "b.jpg")


def test_damaged_files_and_pixel_bombs_are_errors(tmp_path, monkeypatch):
    path = _save(tmp_path / "a.jpg", size=(100, 100))
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError, match=r"a\.jpg: cannot be decoded .*; must be an intact JPEG, "):
        open_image(path)
    path = _save(tmp_path / "bomb.png", size=(100, 30))
    for limit in (2000, 1000):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(InputError, match=rf"bomb\.png: too many pixels; .* at most {limit}"):
            open_image(path)


def test_output_folder_must_not_hold_an_image(tmp_path):
    image = _save(tmp_path / "in" / "a.jpg")
    for name in ("in", "link"):
        (tmp_path / name).mkdir(exist_ok=True)
    link = tmp_path / "link" / "b.jpg"
    link.symlink_to(image)
    (tmp_path / "same").symlink_to(tmp_path / "in")
    for folder, path in (("in", image), ("same", image), ("in/../in", image), ("in", link)):
        message = rf"--output_dir=.*{folder}: contains .*{path.name}, .*; must be another folder$"
        with pytest.raises(InputError, match=message):
            check_output_dir(tmp_path / folder, [path])
    for folder in (".", "in/new"):
        check_output_dir(tmp_path / folder, [image, link])


def test_equal_stems_are_named_apart():
    paths = [pathlib.Path(name) for name in ("a/x.jpg", "b/x.png", "x-2.gif", "c/X.jpg", "y.jpg")]
    assert output_names(paths) == ["x.jpg", "x-2.jpg", "x-2-2.jpg", "X-3.jpg", "y.jpg"]
