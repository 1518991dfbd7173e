"""Pictures as bytes."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.evaluation.report import picture_bytes


def _noise(size):
    pixels = np.random.default_rng(0).integers(0, 256, [size, size, 3], np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("max_bytes", [400_000, 60_000, 5_000])
def test_a_jpeg_is_as_small_as_it_must_be(max_bytes):
    content = picture_bytes.jpeg(_noise(400), max_bytes)
    assert len(content) <= max_bytes
    assert Image.open(io.BytesIO(content)).format == "JPEG"


def test_a_jpeg_is_no_smaller_than_it_must_be():
    assert Image.open(io.BytesIO(picture_bytes.jpeg(_noise(400), 400_000))).size == (400, 400)
    # What cannot be met is not tried for ever.
    assert picture_bytes.jpeg(_noise(400), 0)


def test_data_uri():
    uri = picture_bytes.data_uri(b"\xff\xd8")
    assert uri.startswith("data:image/jpeg;base64,")
    assert base64.b64decode(uri.split(",")[1]) == b"\xff\xd8"
