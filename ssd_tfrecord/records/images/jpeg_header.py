"""A JPEG's header, read without decoding: size, kind, EXIF segment; microseconds an image."""

import re
from dataclasses import dataclass

MAGIC = b"\xff\xd8\xff"
# Start-of-frame markers of what libjpeg-turbo decodes: Huffman or arithmetic, not lossless.
COMMON_FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1
# Markers that stand alone: TEM and the restarts.
_BARE = (0x01, *range(0xD0, 0xD8))
# What ends entropy-coded data: there, 0xFF is followed by 0 or is a restart.
_NEXT_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """``exif`` is the APP1 segment's content, from "Exif" on, or b"".

    ``common`` is false for what few decoders take: lossless, 12 bits, 2 components.
    ``num_scans`` are those that a decoder goes through; ``closed`` is whether an end of image
    follows the header.
    """

    height: int
    width: int
    common: bool
    num_scans: int
    closed: bool
    exif: bytes


def read_header(encoded: bytes) -> JpegHeader | None:
    """The header of a JPEG file; None where there is no whole one."""
    position, frame, exif = 2, None, b""
    end = len(encoded)
    while position + 4 <= end:
        if encoded[position] != 0xFF:
            return None
        marker = encoded[position + 1]
        if marker == 0xFF or marker in _BARE:
            position += 1 if marker == 0xFF else 2
            continue
        if marker == _END_OF_IMAGE:
            return None
        length = int.from_bytes(encoded[position + 2 : position + 4], "big")
        content = position + 4
        position += 2 + length
        if length < 2 or position > end:
            return None
        if marker in _FRAMES and length >= 8:
            frame = (marker, encoded[content : content + 6])
        elif marker == _APP1 and not exif and encoded.startswith(b"Exif\0", content):
            exif = encoded[content:position]
        elif marker == _START_OF_SCAN:
            return _header(encoded, content, position, frame, exif)
    return None


def _header(encoded, scan, position, frame, exif):
    """``scan`` is where the first scan's header is, ``position`` where its data begin."""
    if frame is None:
        return None
    marker, content = frame
    height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
    if not (height and width):
        return None
    # A first scan of all components is a sequential image's only one.
    one_scan = marker not in (0xC2, 0xCA) and encoded[scan : scan + 1] >= content[5:6]
    return JpegHeader(
        height=height,
        width=width,
        common=marker in COMMON_FRAMES and content[0] == 8 and content[5] in (1, 3, 4),
        num_scans=1 if one_scan else 1 + _count_scans(encoded, position),
        closed=encoded.rfind(b"\xff\xd9", position) >= 0,
        exif=exif,
    )


def _count_scans(encoded, position):
    """Scans between ``position`` and the end of the image, behind which cameras put all manner of
    things.
    """
    count = 0
    while found := _NEXT_MARKER.search(encoded, position):
        marker, position = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            break
        count += marker == _START_OF_SCAN
        # Reserved ones have no length, and may not hide what follows.
        if marker >= 0xC0:
            position += int.from_bytes(encoded[position : position + 2], "big")
    return count
