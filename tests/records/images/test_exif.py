"""EXIF orientation: the eight legal values, illegal ones, and when a turn is believed."""

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.records.images import exif


def _segment(kind, value):
    """An EXIF segment whose orientation is of TIFF type ``kind`` (3: 16 bits, 4: 32 bits)."""
    size = 2 if kind == 3 else 4
    entry = b"\x01\x12" + kind.to_bytes(2, "big") + b"\0\0\0\1"
    content = value.to_bytes(size, "big").ljust(4, b"\0")
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + content + b"\0\0\0\0"


@pytest.mark.parametrize("value", range(1, 9))
def test_legal_values(value):
    assert exif.read_orientation(_segment(3, value)) == value


def test_either_byte_order_any_prefix_and_32_bits_are_read():
    little = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"
    for prefix in (b"", b"Exif\0\0", b"Exif\0\0" * 2):
        assert exif.read_orientation(prefix + little) == 6
    assert exif.read_orientation(_segment(4, 6)) == 6


@pytest.mark.parametrize(
    "other",
    [
        b"\x01\x0f\0\2\0\0\0\x63\xff\xff\xff\xff",
        b"\x01\x0f\0\x63\0\0\0\1\0\0\0\0",
        b"\x01\x0f\0\x0a\0\0\0\0\0\0\0\0",
    ],
    ids=["beyond the end", "unknown type", "empty"],
)
def test_damaged_tags_do_not_hide_the_orientation(other):
    orientation = _segment(3, 8)[16:28]
    for tags in (other + orientation, orientation + other):
        assert exif.read_orientation(b"MM\0*\0\0\0\x08\0\2" + tags) == 8


@pytest.mark.parametrize("kind", [1, 2, 5, 7, 99])
def test_an_orientation_of_another_type_is_illegal(kind):
    segment = bytearray(_segment(3, 6))
    segment[18:20] = kind.to_bytes(2, "big")
    assert exif.read_orientation(bytes(segment)) == exif.ILLEGAL


def test_two_orientations_are_illegal():
    segment = bytearray(_segment(3, 6))
    segment[23] = 2
    assert exif.read_orientation(bytes(segment)) == exif.ILLEGAL


@pytest.mark.parametrize("segment", [_segment(3, 0), _segment(3, 9), _segment(4, 65537)])
def test_illegal_values(segment):
    assert exif.read_orientation(segment) == exif.ILLEGAL


@pytest.mark.parametrize("length", [6, 8, 14, 15])
def test_damaged_segments_do_not_warn(length):
    assert exif.read_orientation(_segment(3, 6)[:length]) in (exif.ILLEGAL, exif.UPRIGHT)


def test_other_segments():
    assert exif.read_orientation(b"") == exif.UPRIGHT
    assert exif.read_orientation(b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0") == exif.UPRIGHT


UPRIGHT_F = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0]], np.uint8)
# As EXIF's table has it: which sides of the upright picture the stored first row and column are.
STORED_F = {
    2: UPRIGHT_F[:, ::-1],  # top, right
    3: UPRIGHT_F[::-1, ::-1],  # bottom, right
    4: UPRIGHT_F[::-1],  # bottom, left
    5: UPRIGHT_F.T,  # left, top
    6: UPRIGHT_F.T[::-1],  # right, top
    7: UPRIGHT_F.T[::-1, ::-1],  # right, bottom
    8: UPRIGHT_F.T[:, ::-1],  # left, bottom
}


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turn_gives_the_upright_picture(orientation):
    stored = STORED_F[orientation]
    turned = np.asarray(exif.turn(Image.fromarray(stored.copy()), orientation))
    np.testing.assert_array_equal(turned, UPRIGHT_F)


@pytest.mark.parametrize(
    ("orientation", "claimed", "believed"),
    [
        (6, (30, 40), True),
        (5, (30, 40), True),
        (6, (40, 30), False),
        (6, None, False),
        (6, (31, 40), False),
        (3, (40, 30), False),
        (2, (30, 40), False),
    ],
)
def test_a_turn_is_believed_only_where_the_claimed_size_is_the_turned_ones(
    orientation, claimed, believed
):
    assert exif.is_believed(orientation, (40, 30), claimed) == believed


def test_a_square_is_ambiguous_and_stays():
    assert not exif.is_believed(6, (40, 40), (40, 40))


def test_upright_turns_unless_the_orientation_is_damaged():
    stored = Image.fromarray(STORED_F[6].copy())
    np.testing.assert_array_equal(np.asarray(exif.upright(stored, _segment(3, 6))), UPRIGHT_F)
    for segment in (b"", _segment(3, 1), _segment(3, 9), b"Exif\0\0rubbish"):
        assert exif.upright(stored, segment) is stored
