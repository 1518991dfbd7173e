"""EXIF orientation: how a photograph says it should be turned, and when it is.

A converter has an annotation to ask (``is_believed``): boxes are drawn on what a tool showed, and
most tools decode without turning. Detection has none, and turns every photograph (``upright``): so
people see it, and so the boxes that it draws are seen.
"""

import re
import struct

from PIL import Image

UPRIGHT = 1
# Stands for any value that is not an orientation; 0 and 65537 are seen in real files.
ILLEGAL = 0
_TAG = 0x0112
# TIFF 6.0, section 2: the header, and the types SHORT and LONG, as formats of struct.
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_KINDS = {3: "H", 4: "L"}
# Some files have it twice.
_PREFIX = re.compile(rb"(?:Exif\0\0)*")
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

    Nothing else is read: other tags may be damaged, or made to fill the memory.

    Args:
        segment: from "Exif" or the TIFF header on, or b"".

    Returns:
        1…8; UPRIGHT if the segment has none, ILLEGAL if it has any other value or no TIFF header.
    """
    prefix = _PREFIX.match(segment)
    if prefix is None or prefix.end() == len(segment):
        return UPRIGHT
    tiff = memoryview(segment)[prefix.end() :]
    order = _BYTE_ORDERS.get(bytes(tiff[:4]))
    if order is None or len(tiff) < 8:
        return ILLEGAL
    # Where the first directory is: a count, and 12 bytes for each tag.
    (start,) = struct.unpack_from(order + "L", tiff, 4)
    entries = tiff[start + 2 : start + 2 + 12 * _number_of_tags(tiff, start, order)]
    for place in range(0, len(entries) - 11, 12):
        tag, kind, count = struct.unpack_from(order + "HHL", entries, place)
        if tag == _TAG:
            (value,) = struct.unpack_from(order + _KINDS.get(kind, "H"), entries, place + 8)
            legal = kind in _KINDS and count == 1 and (value == UPRIGHT or value in _TURNS)
            return int(value) if legal else ILLEGAL
    return UPRIGHT


def _number_of_tags(tiff: memoryview, start: int, order: str) -> int:
    # Where it is cut off, there are none.
    return int.from_bytes(tiff[start : start + 2], "little" if order == "<" else "big")


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


def upright(image: Image.Image, segment: bytes) -> Image.Image:
    """Returns ``image`` as its EXIF segment says it should be seen; as it is if that is damaged."""
    orientation = read_orientation(segment)
    return turn(image, orientation) if orientation in _TURNS else image
