"""TFRecord files as bytes: where each record lies, and whether its checksums are right."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import tensorflow as tf

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records import schema
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

    Raises:
        InputError where a length is damaged, or the file ends inside a frame.
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


def damage(path: str, frame: Frame) -> str:
    """What is wrong with the frame's bytes, or ""; 0.5 ms for a record of 88 kB."""
    with open(path, "rb") as file:
        file.seek(frame.offset)
        header = file.read(_HEADER_BYTES)
    if os.path.getsize(path) < frame.offset + FRAME_BYTES + frame.length:
        return "is cut off"
    length, checksum = _HEADER.unpack(header)
    if length != frame.length:
        return f"length is {length}, in the manifest {frame.length}"
    if checksum != masked_crc32c(header[:_LENGTH_BYTES]):
        return "checksum of its length is wrong"
    try:
        _read_checked(path, frame.offset)
    except tf.errors.DataLossError:
        return "checksum of its data is wrong"
    return ""


@tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)])
def _read_checked(path, offset):
    # A checksum in Python takes 80 ms for a megabyte.
    return schema.record_at(path, offset, buffer_size=0).get_single_element()


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


def masked_crc32c(content: bytes) -> int:
    """The checksum of TFRecord: CRC-32C, rotated and shifted by a constant; for a few bytes."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            # Castagnoli's polynomial, bits reversed (RFC 3720, appendix B.4).
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
