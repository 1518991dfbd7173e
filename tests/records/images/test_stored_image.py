"""Image files: JPEGs bit for bit, others as RGB JPEG, damaged and hostile ones by the policy."""

import io
import os
import time
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import EpsImagePlugin, Image

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ImageOptions
from ssd_tfrecord.records.images import decoding, stored_image
from ssd_tfrecord.records.rejects import DroppedImage
from ssd_tfrecord.records.sources.source_set import SourceImage

# One MCU of 32x8 pixels whose luminance blocks lie four in a row (4:1:1): all differences 0.
FLAT_411 = bytes([0x28, 0xA2, 0x8A, 0x00])


def _read(path, size=None, **options):
    source = SourceImage("7", str(path), "7.xml", size)
    return stored_image.read_image(source, ImageOptions(**options))


def _gradient(mode="RGB", height=30, width=40):
    columns = np.linspace(0, 250, width, dtype=np.uint8)
    pixels = np.broadcast_to(columns[None, :, None], (height, width, 3)).copy()
    return Image.fromarray(pixels).convert(mode)


def _encoded(image, kind="JPEG", **options):
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def _decoded(stored):
    """What training sees."""
    window = [0, 0, stored.height, stored.width]
    return tf.io.decode_and_crop_jpeg(stored.encoded, window, channels=3).numpy().astype(int)


def _ycck():
    # Adobe's transform 2 instead of 0: what was CMYK is read as YCCK.
    encoded = _encoded(_gradient("CMYK"))
    position = encoded.index(b"Adobe") + 11
    return encoded[:position] + b"\2" + encoded[position + 1 :]


def _sampled_411():
    encoded = bytearray(_encoded(_gradient("RGB", 8, 32), subsampling=0))
    encoded[encoded.index(b"\xff\xc0") + 11] = 0x41
    return bytes(encoded[: encoded.index(b"\xff\xda") + 14]) + FLAT_411 + b"\xff\xd9"


TAKEN = {
    "baseline": lambda: _encoded(_gradient()),
    "progressive": lambda: _encoded(_gradient(), progressive=True),
    "grey": lambda: _encoded(_gradient("L")),
    "CMYK": lambda: _encoded(_gradient("CMYK")),
    "YCCK": _ycck,
    "RGB by Adobe's transform 0": lambda: _encoded(_gradient(), keep_rgb=True),
    "4:1:1": _sampled_411,
    "bytes behind the end": lambda: _encoded(_gradient()) + b"camera" * 9,
}


@pytest.mark.parametrize("verify", ["decode", "header"])
@pytest.mark.parametrize("kind", TAKEN)
def test_a_jpeg_is_kept_bit_for_bit_whatever_its_name(tmp_path, kind, verify):
    content = TAKEN[kind]()
    (tmp_path / "really.png").write_bytes(content)
    image = _read(tmp_path / "really.png", verify=verify)
    assert image.encoded == content
    size = (8, 32) if kind == "4:1:1" else (30, 40)
    assert (image.height, image.width) == (image.annotated_height, image.annotated_width) == size
    assert (image.original_format, image.notes, image.changes) == ("jpeg", (), ())
    expected = 128 if kind == "4:1:1" else np.asarray(_gradient(), int)
    if kind != "YCCK":
        assert np.abs(_decoded(image) - expected).max() <= 12


FOREIGN = {
    "png": _gradient(),
    "png grey": _gradient("L"),
    "png palette": _gradient().quantize(256),
    "png with alpha": _gradient("RGBA"),
    "png grey with alpha": _gradient("LA"),
    "bmp": _gradient(),
    "gif": _gradient().quantize(256),
    "webp": _gradient(),
    "tiff": _gradient(),
    "tiff CMYK": _gradient("CMYK"),
    "ppm": _gradient(),
}


@pytest.mark.parametrize("verify", ["decode", "header"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_another_kind_becomes_a_jpeg_of_the_same_picture(tmp_path, kind, verify):
    name = kind.split()[0]
    (tmp_path / "named.jpg").write_bytes(_encoded(FOREIGN[kind], name))
    image = _read(tmp_path / "named.jpg", size=(40, 30), verify=verify)
    assert (image.height, image.width, image.notes) == (30, 40, ("reencoded",))
    assert image.original_format == name
    stored = Image.open(io.BytesIO(image.encoded))
    assert (stored.format, stored.mode) == ("JPEG", "RGB")
    assert np.abs(_decoded(image) - np.asarray(_gradient(), int)).max() <= 8


def test_what_alpha_hides_shows_as_it_does_for_other_decoders(tmp_path):
    pixels = np.full((16, 16, 4), (200, 100, 50, 0), np.uint8)
    content = _encoded(Image.fromarray(pixels), "PNG")
    (tmp_path / "a.png").write_bytes(content)
    expected = tf.io.decode_png(content, channels=3).numpy().astype(int)
    assert np.abs(_decoded(_read(tmp_path / "a.png")) - expected).max() <= 3


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_of_several_frames(tmp_path, kind):
    frames = [Image.new("RGB", (16, 16), color) for color in ((200, 0, 0), (0, 0, 200))]
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:])
    assert np.abs(_decoded(_read(tmp_path / "a")) - (200, 0, 0)).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_to_8(tmp_path, kind):
    # 0, 257 · 5, … 257 · 255 = 65535: the greys 0, 5, … 255.
    greys = np.arange(0, 256, 5)
    ramp = np.broadcast_to(np.uint16(257 * greys), (16, 52))
    (tmp_path / "x-ray").write_bytes(_encoded(Image.fromarray(np.ascontiguousarray(ramp)), kind))
    decoded = _decoded(_read(tmp_path / "x-ray"))
    assert decoded.shape == (16, 52, 3)
    assert np.abs(decoded - greys[None, :, None]).max() <= 2


def test_16_bit_colours(tmp_path):
    pixels = np.full((16, 16, 3), (60000, 30000, 10000), np.uint16)
    (tmp_path / "a.png").write_bytes(tf.io.encode_png(pixels).numpy())
    assert np.abs(_decoded(_read(tmp_path / "a.png")) - (233, 117, 39)).max() <= 3


@pytest.mark.parametrize("value", [np.float32(0.5), np.int32(65536), np.int32(-1)])
def test_32_bits_are_an_error_that_names_the_image(tmp_path, value):
    (tmp_path / "a.tif").write_bytes(_encoded(Image.fromarray(np.full((8, 8), value)), "TIFF"))
    message = r"a\.tif: cannot be decoded \(.*\): must be .* with 8 or 16 bits per channel; or"
    with pytest.raises(InputError, match=message):
        _read(tmp_path / "a.tif")


def test_quality_of_what_is_encoded_anew(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    sizes = [len(_read(tmp_path / "a.png", jpeg_quality=q).encoded) for q in (30, 95)]
    assert len(_read(tmp_path / "a.png").encoded) == sizes[1] > 2 * sizes[0]


def test_no_limit_lets_images_by_that_training_could_not_decode():
    with pytest.raises(InputError, match=r"max_pixels=536870912: must be .* at most 536870911"):
        ImageOptions(max_pixels=2**29)


# Decoded once.


def test_each_image_is_decoded_once_and_with_header_no_jpeg_is(tmp_path, monkeypatch):
    decoded = []
    inner, load = decoding.decode_jpeg, decoding.load_image
    monkeypatch.setattr(
        decoding, "decode_jpeg", lambda *a, **k: decoded.append("tf") or inner(*a, **k)
    )
    monkeypatch.setattr(
        decoding, "load_image", lambda *a, **k: decoded.append("pillow") or load(*a, **k)
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, content in (
        ("a", _encoded(_gradient())),
        ("b", _encoded(_gradient(), "PNG")),
        ("turned", _encoded(_gradient(), exif=exif)),
    ):
        (tmp_path / name).write_bytes(content)
    _read(tmp_path / "a")
    _read(tmp_path / "a", max_side=20)
    _read(tmp_path / "b", max_side=20)
    _read(tmp_path / "turned", size=(30, 40))
    _read(tmp_path / "a", verify="header", recode=True)
    assert decoded == ["tf", "tf", "pillow", "tf", "tf"]
    _read(tmp_path / "a", verify="header")
    assert len(decoded) == 5


# Shrinking.


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_max_side_shrinks_and_keeps_the_size_that_boxes_refer_to(tmp_path, kind):
    (tmp_path / "a").write_bytes(_encoded(_gradient("RGB", 150, 200), kind))
    image = _read(tmp_path / "a", size=(200, 150), max_side=80)
    assert (image.height, image.width) == (60, 80)
    assert (image.annotated_height, image.annotated_width) == (150, 200)
    assert image.notes == ("reencoded", "shrunk")
    assert np.abs(_decoded(image) - np.asarray(_gradient("RGB", 60, 80), int)).max() <= 8
    whole = _read(tmp_path / "a", max_side=200)
    assert (whole.height, "shrunk" in whole.notes) == (150, False)


# Encoding all anew.


@pytest.mark.parametrize("verify", ["decode", "header"])
@pytest.mark.parametrize("kind", ["baseline", "progressive", "grey", "4:1:1"])
def test_recode_encodes_what_would_be_kept(tmp_path, kind, verify):
    content = TAKEN[kind]()
    (tmp_path / "a.jpg").write_bytes(content)
    image = _read(tmp_path / "a.jpg", recode=True, jpeg_quality=90, verify=verify)
    kept = _read(tmp_path / "a.jpg")
    assert (image.height, image.width) == (image.annotated_height, image.annotated_width)
    assert (image.height, image.width) == (kept.height, kept.width)
    assert (image.original_format, image.notes, image.changes) == ("jpeg", ("reencoded",), ())
    assert np.abs(_decoded(image) - _decoded(kept)).max() <= 8
    # The file that Pillow makes of the decoded pixels, nothing of the old one: one scan, 4:2:0.
    pixels = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE").numpy()
    assert image.encoded == _encoded(Image.fromarray(pixels), quality=90)
    assert b"\xff\xc2" not in image.encoded
    assert image.encoded[image.encoded.index(b"\xff\xc0") + 11] == 0x22


def test_recode_at_a_lower_quality_makes_fewer_bytes_of_the_same_size(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    (tmp_path / "a.jpg").write_bytes(_encoded(Image.fromarray(pixels), quality=95))
    high, low = (_read(tmp_path / "a.jpg", recode=True, jpeg_quality=q) for q in (95, 50))
    assert (high.height, low.height) == (64, 64)
    assert 2 * len(low.encoded) < len(high.encoded)


def test_recode_shrinks_only_what_exceeds_max_side(tmp_path):
    for name, height in (("large", 150), ("small", 60)):
        (tmp_path / name).write_bytes(_encoded(_gradient("RGB", height, 80)))
    large, small = (_read(tmp_path / n, recode=True, max_side=100) for n in ("large", "small"))
    assert large == _read(tmp_path / "large", max_side=100)
    assert (large.height, large.notes) == (100, ("reencoded", "shrunk"))
    assert (small.height, small.notes) == (60, ("reencoded",))


def test_recode_checks_and_turns_as_ever(tmp_path):
    path = _turned(tmp_path / "a.jpg")
    assert _read(path, size=(30, 40), recode=True) == _read(path, size=(30, 40))
    kept = _read(path, size=(40, 30), recode=True)
    assert (kept.height, kept.notes) == (30, ("reencoded", "exif_ignored"))
    assert jpeg_orientation(kept.encoded) == 1
    with pytest.raises(InputError, match=r"says 41x30 .* decodes to 40x30: must be the same"):
        _read(path, size=(41, 30), recode=True)
    (tmp_path / "half.jpg").write_bytes(_encoded(_gradient())[:-40])
    with pytest.raises(InputError, match=r"half\.jpg: cannot be decoded \(it is truncated\)"):
        _read(tmp_path / "half.jpg", recode=True)


# EXIF.


def _turned(path, orientation=6):
    """A 40x30 JPEG whose upright picture is a gradient of 30 columns, 40 rows."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = _gradient("RGB", 40, 30).transpose(Image.Transpose.ROTATE_90)
    stored.save(path, "JPEG", exif=exif, quality=95)
    return path


@pytest.mark.parametrize("verify", ["decode", "header"])
def test_a_photograph_annotated_upright_is_turned(tmp_path, verify):
    image = _read(_turned(tmp_path / "a.jpg"), size=(30, 40), verify=verify)
    assert (image.height, image.width) == (image.annotated_height, image.annotated_width)
    assert (image.height, image.width) == (40, 30)
    assert image.changes == (("exif_orientation", "rotated", "orientation 6"),)
    assert np.abs(_decoded(image) - np.asarray(_gradient("RGB", 40, 30), int)).max() <= 10
    assert jpeg_orientation(image.encoded) == 1


def jpeg_orientation(encoded):
    return Image.open(io.BytesIO(encoded)).getexif().get(0x0112, 1)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_kinds_have_exif_too(tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 8
    _gradient().save(tmp_path / "a", kind, exif=exif)
    image = _read(tmp_path / "a", size=(30, 40))
    assert (image.height, image.width) == (40, 30)
    assert image.changes == (("exif_orientation", "rotated", "orientation 8"),)


def test_tiff_comes_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    _gradient().save(tmp_path / "a.tif", exif=exif)
    image = _read(tmp_path / "a.tif", size=(30, 40), exif="ignore")
    assert (image.height, image.width, image.notes) == (40, 30, ("reencoded",))


@pytest.mark.parametrize(
    ("size", "orientation", "exif", "change"),
    [
        ((40, 30), 6, "apply", ("exif_orientation", "kept", "orientation 6")),
        (None, 6, "apply", ("exif_orientation", "kept", "orientation 6")),
        ((40, 30), 3, "apply", ("exif_orientation", "kept", "orientation 3")),
        ((40, 30), 6, "ignore", ("exif_orientation", "kept", "orientation 6")),
        ((40, 30), 0, "apply", ("exif_illegal", "kept", "orientation must be 1 to 8")),
        ((40, 30), 0, "fail", ("exif_illegal", "kept", "orientation must be 1 to 8")),
    ],
)
def test_other_photographs_stay_bit_for_bit_and_are_named(
    tmp_path, size, orientation, exif, change
):
    path = _turned(tmp_path / "a.jpg", orientation)
    image = _read(path, size=size, exif=exif)
    assert image.encoded == path.read_bytes()
    assert image.changes == (change,)


def test_exif_fail(tmp_path):
    message = r"a\.jpg: has EXIF orientation 6: must be 1 or absent; turn .*, or pass --exif=ap"
    with pytest.raises(InputError, match=message):
        _read(_turned(tmp_path / "a.jpg"), exif="fail")
    _read(_turned(tmp_path / "b.jpg", 1), exif="fail")


def test_ignored_orientation_and_upright_size_contradict(tmp_path):
    with pytest.raises(InputError) as error:
        _read(_turned(tmp_path / "a.jpg"), size=(30, 40), exif="ignore")
    assert str(error.value) == (
        f"7.xml: says 30x40 (width x height), but {tmp_path}/a.jpg decodes to 40x30: must be the "
        "same (rotated by EXIF? see --exif); if the boxes fit the image, pass "
        "--annotated_size=ignore; or pass --bad_images=drop"
    )


@pytest.mark.parametrize("bad_images", ["drop", "repair"])
def test_an_image_of_another_size_than_annotated_is_dropped(tmp_path, bad_images):
    _gradient().save(tmp_path / "a.jpg")
    with pytest.raises(DroppedImage, match=r"says 41x30 .* decodes to 40x30: must be") as error:
        _read(tmp_path / "a.jpg", size=(41, 30), bad_images=bad_images)
    assert error.value.reason == "other_size"
    assert error.value.detail == "decodes to 40x30 (width x height), annotated as 41x30"


@pytest.mark.parametrize("size", [(30, 40), (41, 31)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_annotated_size_that_is_ignored_neither_contradicts_nor_turns(tmp_path, kind, size):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a").write_bytes(_encoded(_gradient(), kind, exif=exif))
    image = _read(tmp_path / "a", size=size, annotated_size="ignore")
    assert (image.annotated_height, image.annotated_width) == (30, 40)
    assert image.changes == (("exif_orientation", "kept", "orientation 6"),)


# Images inside other files.


def _part(path, offset, num_bytes, **options):
    source = SourceImage("7", str(path), "7.xml", None, (), offset, num_bytes, "in/b.jpg")
    return stored_image.read_image(source, ImageOptions(**options))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_inside_another_file_is_that_image(tmp_path, kind):
    content = _encoded(_gradient(), kind)
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "a.tar").write_bytes(b"h" * 512 + content + _encoded(_gradient("L"), kind))
    assert _part(tmp_path / "a.tar", 512, len(content)) == _read(tmp_path / "a.jpg")


@pytest.mark.parametrize("bad_images", ["drop", "repair"])
@pytest.mark.parametrize("offset", [-1, 1, 600, 2**70])
def test_a_part_beyond_the_end_of_its_file_is_damage(tmp_path, offset, bad_images):
    content = _encoded(_gradient())
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    what = rf"{len(content)} bytes from {offset}: must be inside its {len(content)} bytes"
    with pytest.raises(InputError, match=rf"a\.tar: in/b\.jpg: {what}; or pass --bad_images=drop"):
        _part(path, offset, len(content))
    with pytest.raises(DroppedImage, match=what) as dropped:
        _part(path, offset, len(content), bad_images=bad_images)
    assert (dropped.value.reason, dropped.value.detail) == ("damaged", what)


def test_a_part_that_is_damaged_is_named_by_both_files(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no image" * 9)
    with pytest.raises(InputError, match=r"a\.tar: in/b\.jpg: cannot be decoded"):
        _part(tmp_path / "a.tar", 8, 8)


def test_the_limit_holds_for_the_part_not_for_its_file(tmp_path):
    content = _encoded(_gradient())
    with open(tmp_path / "a.tar", "wb") as file:
        file.write(content)
        file.truncate(2**40)
    assert _part(tmp_path / "a.tar", 0, len(content)).encoded == content
    with pytest.raises(
        InputError, match=r"in/b\.jpg: 1099511627776 bytes: must be at most 8671088"
    ):
        _part(tmp_path / "a.tar", 0, 2**40)


# 16 bits of which few are used.


def _thermal(path, low=29200, high=30200):
    levels = np.random.default_rng(0).integers(low, high + 1, (60, 80))
    levels[0, :2] = low, high
    Image.fromarray(levels.astype(np.uint16)).save(path)
    return path


def test_few_grey_levels_are_a_line_for_the_user(tmp_path):
    image = _read(_thermal(tmp_path / "a.png"))
    assert image.notes == ("reencoded", "few_levels")
    detail = "16 bits, 29200 to 30200 of 65535: 5 grey levels of 256 are left; see --stretch"
    assert image.changes == (("few_levels", "kept", detail),)
    assert _decoded(image).max() - _decoded(image).min() < 9


def test_stretched_levels_are_counted(tmp_path):
    image = _read(_thermal(tmp_path / "a.png"), stretch="percentile")
    assert (image.notes, image.changes) == (("reencoded", "stretched"), ())
    assert _decoded(image).max() - _decoded(image).min() > 200


def test_8_bits_are_not_stretched(tmp_path):
    for kind in ("PNG", "JPEG"):
        Image.new("L", (16, 16), 100).save(tmp_path / "a", kind)
        image = _read(tmp_path / "a", stretch="percentile")
        assert image == _read(tmp_path / "a")


# Damage.


@pytest.mark.parametrize("verify", ["decode", "header"])
@pytest.mark.parametrize("cut", [1, 2, 40, 0.5])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "progressive", "WEBP", "GIF"])
def test_a_truncated_image(tmp_path, kind, cut, verify):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    progressive = kind == "progressive"
    content = _encoded(
        Image.fromarray(noise), "JPEG" if progressive else kind, progressive=progressive
    )
    cut = cut if cut >= 1 else len(content) // 2
    path = tmp_path / "half.jpg"
    path.write_bytes(content[:-cut])
    if kind in ("PNG", "GIF") and cut < 13:
        # Behind the pixels: PNG's IEND of 12 bytes, GIF's trailer of 1.
        assert _read(path).height == 64
        return
    message = (
        r"half\.jpg: cannot be decoded \(.*\): must be an intact JPEG, .*; or pass --bad_images="
    )
    with pytest.raises(InputError, match=message) as error:
        _read(path, verify=verify)
    assert "\n" not in str(error.value)
    with pytest.raises(DroppedImage, match=r"half\.jpg: cannot be decoded") as dropped:
        _read(path, verify=verify, bad_images="drop")
    assert dropped.value.reason == "damaged"


@pytest.mark.parametrize("verify", ["decode", "header"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_repair_keeps_what_is_there(tmp_path, kind, verify):
    whole = _gradient("RGB", 64, 64)
    content = _encoded(whole, kind, quality=95, compress_level=0)
    (tmp_path / "a").write_bytes(content[: len(content) * 3 // 4])
    image = _read(tmp_path / "a", bad_images="repair", verify=verify)
    assert image.notes == ("reencoded", "repaired")
    detail = {"JPEG": "it is truncated", "PNG": "image file is truncated"}[kind]
    assert image.changes == (("damaged", "repaired", detail),)
    assert (image.height, image.width, image.original_format) == (64, 64, kind.lower())
    upper = np.abs(_decoded(image) - np.asarray(whole, int))[:16]
    assert upper.max() <= 10


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0" + b"0" * 99, b"\x89PNG\r\n\x1a\n"],
)
def test_no_image_is_an_error_that_names_it_and_nothing_to_repair(tmp_path, content):
    (tmp_path / "no.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"no\.jpg: cannot be decoded \(.*must be an intact JPEG"):
        _read(tmp_path / "no.jpg")
    with pytest.raises(DroppedImage, match=r"no\.jpg: cannot be decoded"):
        _read(tmp_path / "no.jpg", bad_images="repair")


def test_a_kind_that_would_start_a_program_is_not_opened(tmp_path, monkeypatch):
    def ghostscript(*_):
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", ghostscript)
    _gradient().save(tmp_path / "a.jpg", "EPS")
    message = r"a\.jpg: .* must be an intact JPEG, PNG, BMP, GIF, TIFF, WEBP or PPM with"
    with pytest.raises(InputError, match=message) as error:
        _read(tmp_path / "a.jpg")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("policy", ["drop", "repair"])
def test_a_missing_image(tmp_path, policy):
    message = r"^none\.jpg: cannot be read: No such file or directory; or pass --bad_images=drop$"
    with pytest.raises(InputError, match=message):
        _read("none.jpg")
    with pytest.raises(DroppedImage) as error:
        _read("none.jpg", bad_images=policy)
    assert error.value.reason == "missing_image"


def test_a_disk_that_fails_is_an_error_whatever_the_policy(tmp_path, monkeypatch):
    _gradient().save(tmp_path / "a.jpg")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "stat", fail)
    with pytest.raises(InputError, match=r"a\.jpg'?: cannot be read: .*Input/output error"):
        _read(tmp_path / "a.jpg", bad_images="drop")


# Hostile files.


def _claiming(kind, side=60000):
    """A file of a few hundred bytes that claims ``side`` x ``side`` pixels."""
    content = bytearray(_encoded(_gradient("P" if kind == "GIF" else "RGB"), kind))
    big, little = side.to_bytes(2, "big"), side.to_bytes(2, "little")
    if kind == "JPEG":
        position = content.index(b"\xff\xc0") + 5
        content[position : position + 4] = big * 2
    elif kind == "PNG":
        content[16:24] = side.to_bytes(4, "big") * 2
        content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    elif kind == "GIF":
        content[6:10] = little * 2
    elif kind == "BMP":
        content[18:26] = side.to_bytes(4, "little") * 2
    return bytes(content)


@pytest.mark.parametrize("bad_images", ["drop", "repair"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, kind, bad_images):
    (tmp_path / "bomb.jpg").write_bytes(_claiming(kind))
    message = r"bomb\.jpg: 60000x60000 is too many pixels: must be at most 100000000"
    start = time.process_time()
    with pytest.raises(InputError, match=message):
        _read(tmp_path / "bomb.jpg")
    with pytest.raises(DroppedImage, match=message) as dropped:
        _read(tmp_path / "bomb.jpg", bad_images=bad_images)
    assert dropped.value.reason == "too_large"
    assert time.process_time() - start < 0.5


def test_a_bomb_behind_a_broken_chunk_is_not_repaired(tmp_path):
    content = _claiming("PNG")
    # Of no legal name, which a lenient reading passes over.
    broken = b"\0\0\0\0P\x10\x27\0" + zlib.crc32(b"P\x10\x27\0").to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content[:33] + broken + content[33:])
    with pytest.raises(DroppedImage, match=r"a\.png: 60000x60000 is too many") as dropped:
        _read(tmp_path / "a.png", bad_images="repair")
    assert dropped.value.reason == "too_large"


def test_the_limit_is_a_flag(tmp_path):
    _gradient().save(tmp_path / "a.png")
    assert _read(tmp_path / "a.png", max_pixels=1200).width == 40
    with pytest.raises(InputError, match=r"40x30 is too many pixels: must be at most 1199"):
        _read(tmp_path / "a.png", max_pixels=1199)


def test_endless_scans_of_a_sequential_image_are_refused(tmp_path):
    content = _encoded(_gradient())
    start = content.index(b"\xff\xda")
    scan = b"\xff\xda\0\x08\1\1\0\0\x3f\0\x12"
    (tmp_path / "a.jpg").write_bytes(content[:start] + scan * 100 + content[start:])
    with pytest.raises(InputError, match=r"a\.jpg: 101 scans: must be at most 100"):
        _read(tmp_path / "a.jpg")


def test_what_follows_a_progressive_image_is_no_scan_of_it(tmp_path):
    content = _encoded(_gradient(), progressive=True) + b"\xff\xda" * 200
    (tmp_path / "a.jpg").write_bytes(content)
    assert _read(tmp_path / "a.jpg").encoded == content


def test_endless_scans_are_refused(tmp_path):
    content = _encoded(_gradient(), progressive=True)
    last_scan = content[content.rindex(b"\xff\xda") : -2]
    (tmp_path / "a.jpg").write_bytes(content[:-2] + last_scan * 91 + b"\xff\xd9")
    with pytest.raises(InputError, match=r"a\.jpg: 101 scans: must be at most 100"):
        _read(tmp_path / "a.jpg")


def test_endless_scans_behind_a_damaged_header_are_refused(tmp_path):
    content = _encoded(_gradient(), progressive=True)
    # A byte between two segments, over which Pillow passes.
    table, last_scan = content.index(b"\xff\xdb"), content[content.rindex(b"\xff\xda") : -2]
    damaged = content[:table] + b"\0" + content[table:-2]
    (tmp_path / "a.jpg").write_bytes(damaged + b"\xff\xd9")
    assert _read(tmp_path / "a.jpg").notes == ("reencoded",)
    (tmp_path / "a.jpg").write_bytes(damaged + last_scan * 91 + b"\xff\xd9")
    with pytest.raises(InputError, match=r"a\.jpg: 101 scans: must be at most 100"):
        _read(tmp_path / "a.jpg")


def test_a_huge_file_is_not_read(tmp_path):
    with open(tmp_path / "a.jpg", "wb") as file:
        file.truncate(2**40)
    message = r"a\.jpg: 1099511627776 bytes: must be at most 867108864"
    with pytest.raises(InputError, match=message):
        _read(tmp_path / "a.jpg")


def test_a_pipe_or_a_folder_is_no_image(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", tmp_path, "/dev/zero"):
        with pytest.raises(InputError, match=r": must be a file; or pass"):
            _read(path)


def test_a_side_that_no_jpeg_has(tmp_path):
    Image.new("L", (65501, 1)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: 65501x1: must be at most 65500 on each"):
        _read(tmp_path / "a.png")
    assert _read(tmp_path / "a.png", max_side=1000).width == 1000
