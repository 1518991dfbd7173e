"""TFRecord files as bytes: where each record lies, and whether its checksums are right."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import FRAME_BYTES, Manifest

_HEADER = struct.Struct("<QI")
_HEADER_BYTES, _LENGTH_BYTES = 12, 8


@dataclass(frozen=True)
class Frame:
    """One record of a file: ``offset`` is of its frame, ``length`` of its data."""

    index: int
    offset: int
    length: int


def scan(path: str) -> Iterator[Frame]:
    """The frames of a TFRecord file, found by their lengths; data are not read.

    Raises: InputError where a length is damaged, or the file ends inside a frame.
    """
    size = os.path.getsize(path)
    offset = index = 0
    with open(path, "rb") as file:
        while offset < size:
            file.seek(offset)
            header = file.read(_HEADER_BYTES)
            where = f"{path}: record {index} (byte {offset} on)"
            if len(header) < _HEADER_BYTES:
                raise InputError(f"{where}: is cut off: must be a whole TFRecord file")
            length, checksum = _HEADER.unpack(header)
            if checksum != masked_crc32c(header[:_LENGTH_BYTES]):
                raise InputError(
                    f"{where}: checksum of its length is wrong: must be an uncompressed TFRecord "
                    "file"
                )
            if offset + FRAME_BYTES + length > size:
                raise InputError(f"{where}: is cut off: must be a whole TFRecord file")
            yield Frame(index, offset, length)
            offset += FRAME_BYTES + length
            index += 1


def listed(record_bytes) -> list[Frame]:
    """The frames of a shard whose records are ``record_bytes`` long, as its manifest says."""
    frames, offset = [], 0
    for index, length in enumerate(record_bytes):
        frames.append(Frame(index, offset, length))
        offset += FRAME_BYTES + length
    return frames


def read(file, frame: Frame) -> bytes:
    """The serialized record of ``frame``; checksums are not looked at."""
    file.seek(frame.offset + _HEADER_BYTES)
    return file.read(frame.length)


def damage(file, frame: Frame) -> str:
    """What is wrong with the frame's bytes, or ""; 0.1 s for a megabyte."""
    file.seek(frame.offset)
    content = file.read(FRAME_BYTES + frame.length)
    if len(content) < FRAME_BYTES + frame.length:
        return "is cut off"
    length, checksum = _HEADER.unpack_from(content)
    if length != frame.length:
        return f"length is {length}, in the manifest {frame.length}"
    if checksum != masked_crc32c(content[:_LENGTH_BYTES]):
        return "checksum of its length is wrong"
    data = content[_HEADER_BYTES : _HEADER_BYTES + length]
    if int.from_bytes(content[-4:], "little") != masked_crc32c(data):
        return "checksum of its data is wrong"
    return ""


def read_records(manifest: Manifest, indices) -> Iterator[bytes]:
    """The serialized records of ``indices`` (rising, of the whole set); others are not read."""
    wanted, first = list(indices), 0
    for path, shard in zip(manifest.shard_paths, manifest.shards):
        here = [index - first for index in wanted if first <= index < first + shard.num_records]
        if here:
            frames = listed(shard.record_bytes)
            with open(path, "rb") as file:
                for index in here:
                    yield read(file, frames[index])
        first += shard.num_records


def _table():
    # Castagnoli's polynomial, bits reversed (RFC 3720, appendix B.4).
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _table()


def masked_crc32c(content: bytes) -> int:
    """The checksum of TFRecord: CRC-32C, rotated and shifted by a constant."""
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
