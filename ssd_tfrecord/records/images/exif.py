"""EXIF orientation: what a photograph says of how it is to be turned, and whether to believe it."""

import warnings

from PIL import Image

UPRIGHT = 1
# What is no orientation; 0 and 65537 are seen in real files.
ILLEGAL = 0
_TAG = 0x0112
# As EXIF 2.32 table 6 has them: how the stored pixels become upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_orientation(segment: bytes) -> int:
    """1…8 of an EXIF segment (from "Exif" on, or b""); UPRIGHT without one, ILLEGAL for others."""
    if not segment:
        return UPRIGHT
    try:
        # Pillow warns of damaged tags, which are not ours.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags = Image.Exif()
            tags.load(segment)
            value = tags.get(_TAG, UPRIGHT)
    # Whatever Pillow's parser meets in damaged segments: struct.error, SyntaxError, TypeError …
    except Exception:
        return ILLEGAL
    return value if value in (UPRIGHT, *_TURNS) else ILLEGAL


def is_believed(orientation: int, size, claimed_size) -> bool:
    """Whether boxes were drawn on the turned image: it has the claimed size, the stored has not.

    Where both have it (half turns, mirrors, squares) or no size is claimed nothing tells, and the
    pixels stay as they are: a decoder that does not turn them is what most tools use.

    Args:
        size, claimed_size: (width, height); the claimed one may be None.
    """
    return orientation >= 5 and claimed_size == size[::-1] and claimed_size != size


def turn(image: Image.Image, orientation: int) -> Image.Image:
    """``image`` (Pillow), stored with ``orientation`` 2…8, upright."""
    return image.transpose(_TURNS[orientation])
