"""Pictures as bytes, and files that are whole or not there."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.evaluation.report import whole_files


def _noise(size):
    pixels = np.random.default_rng(0).integers(0, 256, [size, size, 3], np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("max_bytes", [400_000, 60_000, 5_000])
def test_a_jpeg_is_as_small_as_it_must_be(max_bytes):
    content = whole_files.jpeg(_noise(400), max_bytes)
    assert len(content) <= max_bytes
    assert Image.open(io.BytesIO(content)).format == "JPEG"


def test_a_jpeg_is_no_smaller_than_it_must_be():
    assert Image.open(io.BytesIO(whole_files.jpeg(_noise(400), 400_000))).size == (400, 400)
    # What cannot be met is not tried for ever.
    assert whole_files.jpeg(_noise(400), 0)


def test_data_uri():
    uri = whole_files.data_uri(b"\xff\xd8")
    assert uri.startswith("data:image/jpeg;base64,")
    assert base64.b64decode(uri.split(",")[1]) == b"\xff\xd8"


def test_a_file_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    whole_files.write_bytes(path, b"old")

    def fail(*_):
        raise OSError("full")

    monkeypatch.setattr(whole_files.os, "replace", fail)
    with pytest.raises(OSError, match="full"):
        whole_files.write_bytes(path, b"new")
    assert [item.name for item in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == b"old"
