"""Images found by name and opened by content, as the converters open them."""

import os
import pathlib
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from ssd_tfrecord.detection.image_files import (
    check_output_dir,
    find_images,
    open_image,
    open_images,
    output_names,
)
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.image_suffixes import IMAGE_SUFFIXES
from ssd_tfrecord.records.sources.paths import ImageFolder

# Of suffixes that Pillow does not know.
_FORMATS = {".pgm": "PPM", ".jfif": "JPEG", ".jpe": "JPEG"}


def _save(path, size=(4, 2), **options):
    path.parent.mkdir(exist_ok=True)
    # Pillow writes a PGM for grey.
    mode = "L" if path.suffix == ".pgm" else "RGB"
    Image.new("RGB", size, (200, 0, 0)).convert(mode).save(path, **options)
    return path


def test_files_folders_and_globs_each_image_once(tmp_path):
    b, a = _save(tmp_path / "in" / "b.JPG"), _save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "c.txt").write_text("")
    deep = _save(tmp_path / "in" / "deep" / "d[1].jpg")
    assert find_images([str(b), str(tmp_path / "in"), f"{tmp_path}/in/*"]) == [b, a]
    assert find_images([f"{tmp_path}/**/*.*"]) == [a, b, deep]
    assert find_images([str(deep)]) == [deep]


def test_detection_finds_the_images_that_a_converter_finds(tmp_path):
    for suffix in (*IMAGE_SUFFIXES, ".JPG", ".eps", ".txt", ""):
        (tmp_path / f"a{suffix}").write_bytes(b"x")
    (tmp_path / "._a.jpg").write_bytes(b"resource fork")
    found = [path.name for path in find_images([str(tmp_path)])]
    assert found == ImageFolder(str(tmp_path)).names()
    assert len(found) == 13
    assert {"a.jfif", "a.jpe", "a.pgm"} < set(found)


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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_pillow_turns_it(tmp_path, orientation):
    pixels = np.zeros((40, 24, 3), np.uint8)
    pixels[:16, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("JPEG", "PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        Image.fromarray(pixels).save(tmp_path / "a", kind, exif=exif, **options)
        with Image.open(tmp_path / "a") as image:
            expected = ImageOps.exif_transpose(image).convert("RGB")
        np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a")), np.asarray(expected))


def _tags(*entries):
    """An EXIF segment of (tag, type, count, value) each."""
    content = b"".join(struct.pack(">HHLL", *entry) for entry in entries)
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + content + bytes(4)


@pytest.mark.parametrize(
    ("segment", "size"),
    [
        # On which Pillow's exif_transpose raises TypeError, AttributeError and struct.error: bytes
        # for a fraction, a fraction for text, no address of further tags.
        (_tags((0x0112, 3, 1, 6 << 16), (0x011A, 7, 1, 0)), (2, 4)),
        (_tags((0x010F, 10, 1, 8), (0x0112, 3, 1, 6 << 16)), (2, 4)),
        (_tags((0x0112, 3, 1, 6 << 16), (0xA005, 7, 4, 0)), (2, 4)),
        (_tags((0x010E, 2, 99, 2**31), (0x0112, 3, 1, 6 << 16)), (2, 4)),
        (_tags((0x0112, 2, 2, 0x36000000)), (4, 2)),
        (_tags((0x0112, 3, 1, 9 << 16)), (4, 2)),
        (b"Exif\0\0rubbish", (4, 2)),
        (b"Exif\0\0II*\0\xff\xff\xff\xff", (4, 2)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_damaged_exif_segment_keeps_no_image_from_being_opened(tmp_path, kind, segment, size):
    _save(tmp_path / "a", format=kind, exif=segment)
    assert open_image(tmp_path / "a").size == size


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    levels = np.uint16([[0, 128, 129, 25700, 65535]])
    Image.fromarray(levels).save(tmp_path / "a.png")
    expected = [[grey] * 3 for grey in (0, 0, 1, 100, 255)]
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.png"))[0], expected)


def test_sixteen_bits_are_stretched_if_asked(tmp_path):
    Image.fromarray(np.uint16([[1000, 1010, 1020]])).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    opened, _ = open_images([path], stretch="percentile")
    assert np.asarray(opened[path])[0, :, 0].tolist() == [0, 128, 255]
    assert np.asarray(open_image(path))[0, :, 0].tolist() == [4, 4, 4]
    with pytest.raises(InputError, match="--stretch=percent: must be one of none, percentile"):
        open_image(path, stretch="percent")


def test_formats_are_those_of_the_suffixes(tmp_path):
    for suffix in IMAGE_SUFFIXES:
        assert open_image(_save(tmp_path / f"a{suffix}", format=_FORMATS.get(suffix))).size == (
            4,
            2,
        )
    image = Image.new("RGB", (4, 2))
    image.save(tmp_path / "a.mpo", save_all=True, append_images=[image])
    assert open_image(tmp_path / "a.mpo").size == (4, 2)
    # By content: EPS would start Ghostscript.
    image.save(tmp_path / "b.jpg", "EPS")
    with pytest.raises(InputError, match=r"b\.jpg: cannot be decoded .*: must be an intact JPEG,"):
        open_image(tmp_path / "b.jpg")


def test_damaged_images_are_errors_that_stop_no_other(tmp_path):
    good = _save(tmp_path / "a.jpg", size=(100, 100))
    half = tmp_path / "half.jpg"
    half.write_bytes(good.read_bytes()[:-100])
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    names = ["half.jpg", "pipe.jpg", "nowhere.jpg", "folder.jpg", "a.jpg"]
    opened, errors = open_images(tmp_path / name for name in names)
    assert list(opened) == [good]
    assert [path.name for path in errors] == names[:4]
    assert errors[half] == (
        f"{half}: cannot be decoded (it is truncated): must be an intact JPEG, PNG, BMP, GIF, "
        "TIFF, WEBP or PPM with 8 or 16 bits per channel"
    )
    assert errors[tmp_path / "pipe.jpg"] == f"{tmp_path}/pipe.jpg: must be a file"
    assert errors[tmp_path / "nowhere.jpg"].endswith(
        "nowhere.jpg: cannot be read: No such file or directory"
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_images_of_too_many_pixels_are_errors(tmp_path, kind):
    path = _save(tmp_path / "bomb", size=(100, 30), format=kind)
    assert open_image(path, max_pixels=3000).size == (100, 30)
    message = r"bomb: 100x30 is too many pixels: must be at most 2999$"
    with pytest.raises(InputError, match=message):
        open_image(path, max_pixels=2999)
    with pytest.raises(InputError, match=r"^image: 100x30 is too many pixels"):
        open_image(path.read_bytes(), max_pixels=2999)


def test_the_limit_is_that_of_the_converters_not_pillows(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert open_image(_save(tmp_path / "a.png", size=(100, 30))).size == (100, 30)
    with open(tmp_path / "huge.png", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(
        InputError, match=r"huge\.png: 1099511627776 bytes: must be at most 867108864"
    ):
        open_image(tmp_path / "huge.png")


def test_endless_scans_are_refused(tmp_path):
    content = _save(tmp_path / "a.jpg", progressive=True).read_bytes()
    scan = content[content.rindex(b"\xff\xda") : -2]
    (tmp_path / "a.jpg").write_bytes(content[:-2] + scan * 100 + b"\xff\xd9")
    with pytest.raises(InputError, match=r"a\.jpg: 1\d\d scans: must be at most 100"):
        open_image(tmp_path / "a.jpg")


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
