"""Images found by name and opened by content, as the converters open them."""

import os
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from ssd_tfrecord.data.rendering import decode_whole
from ssd_tfrecord.detection.image_files import load_image, open_image
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ImageOptions
from ssd_tfrecord.records.image_suffixes import IMAGE_SUFFIXES
from ssd_tfrecord.records.images.stored_image import read_image
from ssd_tfrecord.records.sources.source_set import SourceImage

# Of suffixes that Pillow does not know.
_FORMATS = {".pgm": "PPM", ".jfif": "JPEG", ".jpe": "JPEG"}


def _save(path, size=(4, 2), **options):
    path.parent.mkdir(exist_ok=True)
    # Pillow writes a PGM for grey.
    mode = "L" if path.suffix == ".pgm" else "RGB"
    Image.new("RGB", size, (200, 0, 0)).convert(mode).save(path, **options)
    return path


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
        loaded = load_image(tmp_path / "a")
        np.testing.assert_array_equal(np.asarray(loaded.shown()), np.asarray(expected))
        assert loaded.size == expected.size[::-1]


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
    stretched = open_image(path, stretch="percentile")
    assert np.asarray(stretched)[0, :, 0].tolist() == [0, 128, 255]
    assert np.asarray(open_image(path))[0, :, 0].tolist() == [4, 4, 4]
    with pytest.raises(InputError, match="--stretch=percent: must be one of none, percentile"):
        open_image(path, stretch="percent")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PPM"])
def test_pixels_are_those_of_a_record(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 256, (30, 41, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a", kind)
    stored = read_image(SourceImage("7", str(tmp_path / "a"), "7.xml"), ImageOptions())
    expected = decode_whole(stored.encoded, [30, 41])
    loaded = load_image(tmp_path / "a")
    np.testing.assert_array_equal(loaded.pixels, expected)
    # What people see has not become a JPEG.
    assert (kind == "JPEG") != np.array_equal(np.asarray(loaded.shown()), noise)


def test_an_image_that_no_record_can_hold_keeps_its_pixels(tmp_path):
    _save(tmp_path / "a.png", size=(65_501, 2))
    loaded = load_image(tmp_path / "a.png")
    assert loaded.size == (2, 65_501)
    assert np.all(np.asarray(loaded.pixels) == [200, 0, 0])


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


def test_damaged_images_are_errors(tmp_path):
    good = _save(tmp_path / "a.jpg", size=(100, 100))
    (tmp_path / "half.jpg").write_bytes(good.read_bytes()[:-100])
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    messages = {
        "half.jpg": "cannot be decoded (it is truncated): must be an intact JPEG, PNG, BMP, GIF, "
        "TIFF, WEBP or PPM with 8 or 16 bits per channel",
        "pipe.jpg": "must be a file",
        "folder.jpg": "must be a file",
        "nowhere.jpg": "cannot be read: No such file or directory",
    }
    for name, message in messages.items():
        for read in (open_image, load_image):
            with pytest.raises(InputError) as raised:
                read(tmp_path / name)
            assert str(raised.value) == f"{tmp_path}/{name}: {message}"


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
