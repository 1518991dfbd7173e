"""A JPEG's header, read without decoding: size, kind, EXIF segment; microseconds per image.

Markers are those of ITU-T T.81, table B.1: two bytes, 0xFF and a code.
"""

import re
from dataclasses import dataclass

MAGIC = b"\xff\xd8\xff"
# Start-of-frame markers of what libjpeg-turbo decodes: Huffman or arithmetic, not lossless.
COMMON_FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
# 0xC4, 0xC8 and 0xCC lie in between and are no frames: Huffman tables, reserved, arithmetic coding.
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1
# Markers without a length and content: TEM and the restarts.
_BARE = (0x01, *range(0xD0, 0xD8))
# What ends entropy-coded data, within which 0xFF is followed by 0 or is a restart.
_NEXT_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_PROGRESSIVE = (0xC2, 0xCA)
# (columns, rows) of luma for one of chroma, and what people call it.
_CHROMA = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What a JPEG says about itself.

    ``height`` and ``width`` are in pixels, as stored. ``common`` is false for what few decoders
    accept: lossless, 12 bits, 2 components. ``num_scans`` counts the scans that a decoder goes
    through; ``closed`` is whether an end of image follows the header. ``exif`` is the content of
    the APP1 segment, from "Exif" on, or b"". ``chroma`` is how it is subsampled: "4:2:0" and the
    like, "grey" where there is none, or "other".
    """

    height: int
    width: int
    common: bool
    num_scans: int
    closed: bool
    exif: bytes
    progressive: bool = False
    chroma: str = "other"


def read_header(encoded: bytes) -> JpegHeader | None:
    """Reads the header of a JPEG file; None if it is not complete."""
    frame: tuple[int, bytes] | None = None
    # The first two bytes are the start of image, which has no length.
    position, exif = 2, b""
    end = len(encoded)
    while position + 4 <= end:
        if encoded[position] != 0xFF:
            return None
        marker = encoded[position + 1]
        # Any number of 0xFF may fill the space before a marker's code (T.81, B.1.1.2).
        if marker == 0xFF or marker in _BARE:
            position += 1 if marker == 0xFF else 2
            continue
        if marker == _END_OF_IMAGE:
            return None
        length = int.from_bytes(encoded[position + 2 : position + 4], "big")
        content = position + 4
        # A segment's length counts its own two bytes, but not the marker.
        position += 2 + length
        if length < 2 or position > end:
            return None
        if marker in _FRAMES and length >= 8:
            frame = (marker, encoded[content : min(position, content + 15)])
        # XMP is kept in APP1 too; the first that is EXIF counts.
        elif marker == _APP1 and not exif and encoded.startswith(b"Exif\0", content):
            exif = encoded[content:position]
        elif marker == _START_OF_SCAN:
            return _header(encoded, content, position, frame, exif)
    return None


def _header(
    encoded: bytes, scan: int, position: int, frame: tuple[int, bytes] | None, exif: bytes
) -> JpegHeader | None:
    """The header, or None for an image without a frame or without pixels.

    Args:
        encoded: the bytes of the file.
        scan: where the content of the first scan's header begins.
        position: where the data of the first scan begin.
        frame: marker and first 15 bytes of the frame's header, or fewer.
        exif: the EXIF segment, or b"".
    """
    if frame is None:
        return None
    # Bits per sample, height and width of two bytes each, number of components; of each component
    # its number, sampling factors and table.
    marker, content = frame
    height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
    # A height of 0 says that it follows the first scan (DNL), which libjpeg does not support.
    if not (height and width):
        return None
    # A sequential image whose first scan has all components has no other scan.
    one_scan = marker not in _PROGRESSIVE and encoded[scan : scan + 1] >= content[5:6]
    return JpegHeader(
        height=height,
        width=width,
        common=marker in COMMON_FRAMES and content[0] == 8 and content[5] in (1, 3, 4),
        # Scans are counted only if there may be several: that goes through the whole file, which
        # costs more than all of the above.
        num_scans=1 if one_scan else 1 + count_scans(encoded, position),
        closed=encoded.rfind(b"\xff\xd9", position) >= 0,
        exif=exif,
        progressive=marker in _PROGRESSIVE,
        chroma=_chroma(content[5], content[7::3]),
    )


def _chroma(num_components: int, sampling: bytes) -> str:
    """``JpegHeader.chroma`` from the sampling factors of each component: 16 * columns + rows."""
    if num_components == 1:
        return "grey"
    if num_components != 3 or len(sampling) < 3 or sampling[1] != sampling[2]:
        return "other"
    (columns, rows), (chroma_columns, chroma_rows) = (divmod(byte, 16) for byte in sampling[:2])
    if not (chroma_columns and chroma_rows) or columns % chroma_columns or rows % chroma_rows:
        return "other"
    return _CHROMA.get((columns // chroma_columns, rows // chroma_rows), "other")


def count_scans(encoded: bytes, position: int) -> int:
    """Counts scans from ``position`` to the end of the image; cameras append all manner of data.

    Damage on the way is passed over, as decoders do.
    """
    count = 0
    while found := _NEXT_MARKER.search(encoded, position):
        marker, position = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            break
        count += marker == _START_OF_SCAN
        # Reserved markers have no length: to skip by one could hide the scans that follow.
        if marker >= 0xC0:
            position += int.from_bytes(encoded[position : position + 2], "big")
    return count
