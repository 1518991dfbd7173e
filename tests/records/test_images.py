"""Image files: JPEGs bit for bit, others as RGB JPEG, damaged ones by name."""

import io

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.images import read_image


def _write(path, image, kind):
    image.save(path, kind)
    return path


def _gradient(mode="RGB"):
    columns = np.linspace(0, 250, 40, dtype=np.uint8)
    return Image.fromarray(np.broadcast_to(columns[None, :, None], (30, 40, 3)).copy()).convert(
        mode
    )


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_kept_bit_for_bit_whatever_its_name(tmp_path, mode):
    path = _write(tmp_path / "really.png", _gradient(mode), "JPEG")
    image = read_image(str(path))
    assert image.encoded == path.read_bytes()
    assert (image.height, image.width, image.reencoded) == (30, 40, False)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_another_kind_becomes_a_jpeg_of_the_same_picture(tmp_path, kind):
    path = _write(tmp_path / "named.jpg", _gradient(), kind)
    image = read_image(str(path))
    assert (image.height, image.width, image.reencoded) == (30, 40, True)
    decoded = Image.open(io.BytesIO(image.encoded))
    assert (decoded.format, decoded.mode) == ("JPEG", "RGB")
    difference = np.asarray(decoded, int) - np.asarray(_gradient(), int)
    assert np.abs(difference).max() <= 4


def test_a_palette_becomes_rgb(tmp_path):
    path = _write(tmp_path / "a.png", _gradient("P"), "PNG")
    assert Image.open(io.BytesIO(read_image(str(path)).encoded)).mode == "RGB"


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_to_8(tmp_path, kind):
    # 0, 257 · 5, … 257 · 255 = 65535: the greys 0, 5, … 255.
    greys = np.arange(0, 256, 5)
    ramp = np.broadcast_to(np.uint16(257 * greys), (16, 52))
    path = _write(tmp_path / "x-ray.png", Image.fromarray(np.ascontiguousarray(ramp)), kind)
    decoded = np.asarray(Image.open(io.BytesIO(read_image(str(path)).encoded)), int)
    assert decoded.shape == (16, 52, 3)
    assert np.abs(decoded - greys[None, :, None]).max() <= 2


@pytest.mark.parametrize("value", [np.float32(0.5), np.int32(65536), np.int32(-1)])
def test_32_bits_are_an_error_that_names_the_image(tmp_path, value):
    path = _write(tmp_path / "a.tif", Image.fromarray(np.full((8, 8), value)), "TIFF")
    message = r"a\.tif: cannot be decoded: must be .*, of 8 or 16 bits a channel$"
    with pytest.raises(InputError, match=message):
        read_image(str(path))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_image_is_an_error_that_names_it(tmp_path, kind):
    path = _write(tmp_path / "half.jpg", _gradient(), kind)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"half\.jpg: cannot be decoded: must be a whole JPEG"):
        read_image(str(path))


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0" + b"0" * 99]
)
def test_no_image_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "no.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"no\.jpg: cannot be decoded: must be a whole JPEG"):
        read_image(str(tmp_path / "no.jpg"))


def test_a_kind_that_would_start_a_program_is_not_opened(tmp_path, monkeypatch):
    def ghostscript(*_):
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", ghostscript)
    path = _write(tmp_path / "a.jpg", _gradient(), "EPS")
    message = r"a\.jpg: cannot be decoded: must be a whole JPEG, PNG, BMP, GIF, TIFF, WEBP, PPM, of"
    with pytest.raises(InputError, match=message) as error:
        read_image(str(path))
    assert "\n" not in str(error.value)


def test_a_missing_image():
    with pytest.raises(InputError, match=r"^none\.jpg: cannot be read: No such file or directory$"):
        read_image("none.jpg")
