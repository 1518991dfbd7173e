"""The decoder takes the same files at an eighth of their size as whole: sound, cut and changed."""

import io
import random

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.records.images import jpeg_header

KINDS = {
    "4:2:0": {},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "RGB": {"keep_rgb": True},
    "grey": {"mode": "L"},
    "inks": {"mode": "CMYK"},
    "smaller than a block": {"size": (9, 7)},
}


@pytest.fixture(scope="module")
def picture():
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((96, 80), Image.Resampling.BICUBIC)


def _changed(encoded, draw):
    """``encoded`` with bits flipped, bytes taken out or put in, or an end that is missing."""
    content = bytearray(encoded)
    place = draw.randrange(2, len(content))
    match draw.choice(["flip", "flip", "flip", "cut", "cut and close", "take", "put"]):
        case "flip":
            for _ in range(draw.choice([1, 1, 2, 5])):
                content[draw.randrange(2, len(content))] ^= 1 << draw.randrange(8)
        case "cut":
            del content[place:]
        case "cut and close":
            content[place:] = b"\xff\xd9"
        case "take":
            del content[place : place + draw.randrange(1, 30)]
        case "put":
            content[place:place] = draw.randbytes(draw.randrange(1, 20))
    return bytes(content)


def _is_taken(encoded, header, ratio):
    shape = (-(-header.height // ratio), -(-header.width // ratio), 3)
    window = [0, 0, *shape[:2]]
    try:
        pixels = tf.io.decode_and_crop_jpeg(encoded, window, channels=3, ratio=ratio)
    except tf.errors.InvalidArgumentError:
        return False
    return pixels.shape == shape


def _encode(picture, mode="RGB", size=None, **options):
    file = io.BytesIO()
    picture.convert(mode).resize(size or picture.size).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("num_changed", [1000, pytest.param(20_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", KINDS)
def test_an_eighth_and_the_whole_take_the_same_files(picture, kind, num_changed):
    encoded, draw, verdicts = _encode(picture, **KINDS[kind]), random.Random(kind), []
    for _ in range(num_changed):
        changed = _changed(encoded, draw)
        header = jpeg_header.read_header(changed)
        if header and header.common and header.height * header.width < 10**6:
            taken = _is_taken(changed, header, ratio=1)
            assert _is_taken(changed, header, ratio=8) == taken
            verdicts.append(taken)
    assert sum(verdicts) > num_changed / 5
    assert len(verdicts) - sum(verdicts) > num_changed / 10
