"""TFRecord files as bytes: where each record is. Without TensorFlow, whose import takes seconds."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import FRAME_BYTES

# The length of the data and its checksum, little-endian.
_HEADER = struct.Struct("<QI")
_HEADER_BYTES, _LENGTH_BYTES = 12, 8


@dataclass(frozen=True)
class Frame:
    """One record of a file.

    ``index`` is counted from 0. ``offset`` is where its frame begins and ``length`` is that of its
    data, both in bytes.
    """

    index: int
    offset: int
    length: int

    @property
    def data_offset(self) -> int:
        """Where the data begin."""
        return self.offset + _HEADER_BYTES


def scan(path: str) -> Iterator[Frame]:
    """Yields the frames of a TFRecord file, found by their lengths; the data are not read.

    Args:
        path: of the file.

    Raises:
        InputError: the file cannot be read, a length is damaged, or it ends inside a frame.
    """
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            yield from _frames(path, file, size)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _frames(path: str, file: BinaryIO, size: int) -> Iterator[Frame]:
    offset = index = 0
    while offset < size:
        file.seek(offset)
        header = file.read(_HEADER_BYTES)
        where = f"{path}: record {index} at byte {offset}"
        if len(header) < _HEADER_BYTES:
            raise InputError(f"{where}: is cut off; must be a complete TFRecord file")
        length, checksum = _HEADER.unpack(header)
        # Before the length is used: a wrong one would lead anywhere.
        if checksum != masked_crc32c(header[:_LENGTH_BYTES]):
            raise InputError(
                f"{where}: checksum of its length is wrong; must be an uncompressed TFRecord file"
            )
        if offset + FRAME_BYTES + length > size:
            raise InputError(f"{where}: is cut off; must be a complete TFRecord file")
        yield Frame(index, offset, length)
        offset += FRAME_BYTES + length
        index += 1


def masked_crc32c(content: bytes) -> int:
    """TFRecord's checksum: CRC-32C, rotated, plus a constant; slow, for a few bytes only."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            # Castagnoli's polynomial, bits reversed (RFC 3720, appendix B.4).
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    # TFRecord's mask: rotated to the right by 15 bits, plus kMaskDelta of TensorFlow's crc32c.h.
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
