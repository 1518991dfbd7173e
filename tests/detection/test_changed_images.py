"""Images of every format with changed bytes: an image or an InputError, and bounded memory."""

import io
import random
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.detection.image_files import load_image, open_image
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ImageOptions
from ssd_tfrecord.records.images.stored_image import read_image
from ssd_tfrecord.records.rejects import DroppedImage
from ssd_tfrecord.records.sources.source_set import SourceImage

NOISE = np.random.default_rng(0).integers(0, 255, (18, 24, 3), dtype=np.uint8)


def _exif():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "A camera", 72.0
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    return exif


# {name: (kind, mode or "16", options)}
KINDS = {
    "JPEG": ("JPEG", "RGB", {}),
    "JPEG with EXIF": ("JPEG", "RGB", {"exif": _exif()}),
    "JPEG of inks": ("JPEG", "CMYK", {}),
    "progressive": ("JPEG", "RGB", {"progressive": True}),
    "several JPEGs": (
        "MPO",
        "RGB",
        {"save_all": True, "append_images": [Image.fromarray(NOISE)], "exif": _exif()},
    ),
    "PNG": ("PNG", "RGB", {}),
    "PNG with EXIF": ("PNG", "RGBA", {"exif": _exif()}),
    "PNG of a palette": ("PNG", "P", {}),
    "PNG of 16 bits": ("PNG", "16", {}),
    "BMP": ("BMP", "RGB", {}),
    "GIF": ("GIF", "P", {}),
    "TIFF": ("TIFF", "RGB", {"exif": _exif()}),
    "TIFF of 16 bits": ("TIFF", "16", {}),
    "TIFF, deflated": ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
    "TIFF with a JPEG": ("TIFF", "RGB", {"compression": "jpeg"}),
    "TIFF, large": ("TIFF", "L", {"big_tiff": True}),
    "WEBP": ("WEBP", "RGB", {"exif": _exif()}),
    "WEBP without loss": ("WEBP", "RGBA", {"lossless": True}),
    "PPM": ("PPM", "RGB", {}),
    "PGM of 16 bits": ("PPM", "16", {}),
}


def _encoded(name):
    kind, mode, options = KINDS[name]
    if mode == "16":
        image = Image.fromarray(NOISE[:, :, 0].astype(np.uint16) * 40)
    else:
        image = Image.fromarray(NOISE).convert(mode)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _changed(encoded, draw):
    """``encoded`` with bytes changed (mostly of its head), taken out or put in, or cut off."""
    content = bytearray(encoded)
    head = draw.choice([64, 400, len(content)])
    place = draw.randrange(2, min(head, len(content)))
    match draw.choice(["flip", "flip", "value", "cut", "take", "put", "copy"]):
        case "flip":
            for _ in range(draw.choice([1, 1, 2, 5])):
                content[draw.randrange(2, min(head, len(content)))] ^= 1 << draw.randrange(8)
        case "value":
            content[place : place + draw.choice([1, 2, 4])] = draw.choice(
                [b"\0", b"\xff\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1"]
            )
        case "cut":
            del content[place:]
        case "take":
            del content[place : place + draw.randrange(1, 30)]
        case "put":
            content[place:place] = draw.randbytes(draw.randrange(1, 20))
        case "copy":
            content[place:place] = content[place : place + draw.randrange(1, 60)]
    return _with_checksums(bytes(content)) if draw.random() < 0.7 else bytes(content)


def _with_checksums(content):
    """A PNG whose chunks have the right checksums, without which no decoder looks into them."""
    changed, place = content[:8], 8
    if not content.startswith(b"\x89PNG"):
        return content
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        checksum = struct.pack(">L", zlib.crc32(content[place + 4 : end]))
        changed += content[place:end] + checksum
        place = end + 4
    return changed + content[place:]


def _opens(file, **options):
    try:
        image = open_image(file, max_pixels=10**6, **options)
        assert load_image(file, max_pixels=10**6, **options).size == image.size[::-1]
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 500
        return False
    assert image.mode == "RGB" and min(image.size) > 0
    return True


def _is_taken(path, bad_images):
    options = ImageOptions(bad_images=bad_images, max_pixels=10**6)
    try:
        stored = read_image(SourceImage("7", str(path), "7.xml"), options)
    except (InputError, DroppedImage) as error:
        assert isinstance(error, InputError) == (bad_images == "fail")
        return False
    window = [0, 0, stored.height, stored.width]
    tf.io.decode_and_crop_jpeg(stored.encoded, window, channels=3)
    return True


@pytest.mark.parametrize("num_changed", [30, pytest.param(500, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", KINDS)
def test_changed_bytes_are_an_image_or_an_error_for_detection_and_converters_alike(
    tmp_path, name, num_changed
):
    encoded, draw, path = _encoded(name), random.Random(name), tmp_path / "a.jpg"
    assert _opens(encoded)
    verdicts = []
    for _ in range(num_changed):
        content = _changed(encoded, draw)
        path.write_bytes(content)
        taken = _opens(path)
        verdicts.append(taken)
        assert _opens(content, stretch="percentile") == taken
        assert _is_taken(path, "fail") == _is_taken(path, "drop") == taken
        assert _is_taken(path, "repair") >= taken
    assert not all(verdicts)


# Bombs of tags: each of 30,000 refers to the same 300 kB, which Pillow would copy each time.


def _bomb():
    tags = b"".join(struct.pack(">HHLL", tag, 7, 300_000, 8) for tag in range(300, 30_300))
    head = b"MM\0*" + struct.pack(">LH", 8, 30_000)
    return (head + tags + bytes(4)).ljust(400_000, b"\0")


def _png_bomb():
    chunk = b"eXIf" + _bomb()
    length, checksum = struct.pack(">L", len(chunk) - 4), struct.pack(">L", zlib.crc32(chunk))
    encoded = _encoded("PNG")
    return encoded[:33] + length + chunk + checksum + encoded[33:]


def _webp_bomb():
    file = io.BytesIO()
    Image.fromarray(NOISE).save(file, "WEBP", exif=_bomb())
    return file.getvalue()


def _jpeg_bomb(between=b""):
    bomb, encoded = _bomb(), _encoded("JPEG")
    parts = [bomb[begin : begin + 65_000] for begin in range(0, len(bomb), 65_000)]
    segments = [
        b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part for part in parts
    ]
    # Without JFIF's resolution, for which Pillow would look among the tags.
    return encoded[:2] + b"".join(segments) + between + encoded[encoded.index(b"\xff\xdb") :]


BOMBS = {
    "png": _png_bomb,
    "webp": _webp_bomb,
    "tiff": _bomb,
    "jpeg": _jpeg_bomb,
    "damaged.jpeg": lambda: _jpeg_bomb(b"\0"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_tags_do_not_fill_the_memory(name):
    content = BOMBS[name]()
    tracemalloc.start()
    try:
        if name == "tiff":
            # Pillow 13 refuses such tags itself, 12 would read them.
            with pytest.raises(InputError, match="cannot be decoded"):
                open_image(content)
        else:
            assert open_image(content).size == (24, 18)
        # Bytes; all tags together would take 9 GB.
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
