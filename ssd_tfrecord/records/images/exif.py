"""EXIF orientation: how a photograph says it should be turned, and whether to believe it."""

import warnings

from PIL import Image

UPRIGHT = 1
# Stands for any value that is not an orientation; 0 and 65537 are seen in real files.
ILLEGAL = 0
_TAG = 0x0112
# As in EXIF 2.32, table 6: how the stored pixels become upright. Pillow rotates counter-clockwise:
# the quarter turn clockwise that 6 asks for is its ROTATE_270.
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
    """Reads the orientation from an EXIF segment.

    Args:
        segment: from "Exif" on, or b"".

    Returns:
        1…8; UPRIGHT if the segment has none, ILLEGAL if it has any other value or is damaged.
    """
    if not segment:
        return UPRIGHT
    try:
        # Pillow warns about any damaged tag, and only this one matters here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags = Image.Exif()
            tags.load(segment)
            value = tags.get(_TAG, UPRIGHT)
    # Pillow's parser raises all kinds on damaged segments: struct.error, SyntaxError, TypeError …
    except Exception:
        return ILLEGAL
    return value if value in (UPRIGHT, *_TURNS) else ILLEGAL


def is_believed(
    orientation: int, size: tuple[int, int], claimed_size: tuple[float, float] | None
) -> bool:
    """Whether boxes were drawn on the turned image: it has the claimed size, the stored has not.

    Where both have it (half turns, mirrors, squares) or no size is claimed, nothing decides, and
    the pixels stay as they are: most tools decode without turning.

    Args:
        orientation: 1…8.
        size: (width, height) of the stored pixels.
        claimed_size: (width, height) in the annotation, or None.
    """
    # Only 5 to 8 swap width and height; the others leave no trace in the size.
    return orientation >= 5 and claimed_size == size[::-1] and claimed_size != size


def turn(image: Image.Image, orientation: int) -> Image.Image:
    """Returns ``image``, stored with ``orientation`` 2…8, upright."""
    return image.transpose(_TURNS[orientation])
