"""``.caffemodel``: the protobuf message NetParameter, walked field by field without its schema.

Field numbers: src/caffe/proto/caffe.proto of weiliu89/caffe, branch ssd. Wire format:
https://protobuf.dev/programming-guides/encoding.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from ssd_tfrecord.model.weights.published.bounded_file import BoundedFile, shown

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# NetParameter: its layers in two generations, each with the fields of name and blobs.
_LAYERS = {100: (1, 7), 2: (4, 6)}
_NET_FIELDS = {
    **{1: _BYTES, 2: _BYTES, 3: _BYTES, 4: _VARINT, 5: _VARINT, 6: _BYTES, 7: _VARINT},
    **{8: _BYTES, 100: _BYTES},
}
# BlobProto.
_OLD_SHAPE, _FLOATS, _DOUBLES, _SHAPE = (1, 2, 3, 4), 5, 8, 7
# A trained SSD has about 150 layers of 30 fields.
_MAX_FIELDS = 200_000
_MAX_NAME = 512
_MAX_DIMENSIONS = 8


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """A field of a message: its number, wire type, value (of a varint), and where its bytes lie."""

    number: int
    wire: int
    value: int
    start: int
    end: int


class _Messages:
    def __init__(self, file: BoundedFile) -> None:
        self._file = file
        self._num_fields = 0

    def fields(self, start: int, end: int) -> Iterator[_Field]:
        """The fields between two offsets of the file; each lies inside of them."""
        while start < end:
            self._num_fields += 1
            if self._num_fields > _MAX_FIELDS:
                raise self._file.refused(f"has more than {_MAX_FIELDS} fields")
            field = self.field_at(start, end)
            if field is None or field.end > end:
                raise self._file.refused(f"is damaged at byte {start}, or no .caffemodel")
            yield field
            start = field.end

    def field_at(self, start: int, end: int) -> _Field | None:
        """The field at ``start``, which may end beyond ``end``; None if there is none."""
        # A tag and a value take 10 bytes each at most.
        head = self._file.bytes_at(start, min(20, end - start), "a field")
        tag, at = _varint(head, 0)
        number, wire = tag >> 3, tag & 7
        if wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
            return _Field(number, wire, 0, start + at, start + at + size)
        value, after = _varint(head, at)
        if not (0 < at < after) or wire not in (_VARINT, _BYTES):
            return None
        size = value if wire == _BYTES else 0
        return _Field(number, wire, value, start + after, start + after + size)


def matches(file: BoundedFile) -> bool:
    """Whether the first fields of a file are those of a NetParameter, up to a layer of it.

    Protobuf has no signature.
    """
    if not file.size:
        return False
    messages, offset = _Messages(file), 0
    for _ in range(64):
        field = messages.field_at(offset, file.size) if offset < file.size else None
        if field is None or field.end > file.size or _NET_FIELDS.get(field.number) != field.wire:
            return False
        if field.number in _LAYERS:
            return _is_layer(messages, field)
        offset = field.end
    return False


def read(file: BoundedFile) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads the blobs of all layers: {"conv1_1/0": kernel, "conv1_1/1": bias}.

    Raises:
        InputError: it is damaged, or a blob's shape is not that of its data.
    """
    messages = _Messages(file)
    arrays: dict[str, np.ndarray] = {}
    for layer in messages.fields(0, file.size):
        if layer.number not in _LAYERS or layer.wire != _BYTES:
            continue
        name_number, blob_number = _LAYERS[layer.number]
        name, blobs = "", []
        for field in messages.fields(layer.start, layer.end):
            if field.wire == _BYTES and field.number == name_number:
                name = _name(file, field)
            elif field.wire == _BYTES and field.number == blob_number:
                blobs.append(field)
        if blobs and f"{name}/0" in arrays:
            raise file.refused(f"has two layers {shown(name)}")
        for index, blob in enumerate(blobs):
            arrays[f"{name}/{index}"] = _blob(file, messages, blob, f"layer {shown(name)}")
    return arrays, {}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and the place behind it; that place is 0 if there is none."""
    value = 0
    for shift, byte in enumerate(data[at : at + 10]):
        value |= (byte & 127) << 7 * shift
        if byte < 128:
            return value, at + shift + 1
    return 0, 0


def _name(file: BoundedFile, field: _Field) -> str:
    if field.end - field.start > _MAX_NAME:
        raise file.refused(f"a name of more than {_MAX_NAME} bytes")
    return file.bytes_at(field.start, field.end - field.start, "a name").decode(errors="replace")


def _is_layer(messages: _Messages, layer: _Field) -> bool:
    if layer.start == layer.end:
        return False
    first = messages.field_at(layer.start, layer.end)
    # The name comes first in new layers, names of inputs in old ones.
    return first is not None and first.end <= layer.end and 0 < first.number < 1000


def _blob(file: BoundedFile, messages: _Messages, blob: _Field, what: str) -> np.ndarray:
    old_shape: dict[int, int] = {}
    shape: list[int] | None = None
    data: list[_Field] = []
    for field in messages.fields(blob.start, blob.end):
        if field.number in _OLD_SHAPE and field.wire == _VARINT:
            old_shape[field.number] = field.value
        elif field.number == _SHAPE and field.wire == _BYTES:
            shape = _dimensions(file, messages, field, what)
        elif field.number in (_FLOATS, _DOUBLES):
            data.append(field)
    if len(data) != 1 or data[0].wire != _BYTES:
        raise file.refused(f"{what}: its numbers are not in one piece, as Caffe writes them")
    if shape is None:
        shape = [old_shape.get(number, 1) for number in _OLD_SHAPE]
        # Before blobs had any number of axes, a bias was 1 × 1 × 1 × N.
        shape = shape[3:] if shape[:3] == [1, 1, 1] else shape
    dtype = np.dtype("<f4" if data[0].number == _FLOATS else "<f8")
    num_bytes = data[0].end - data[0].start
    if math.prod(shape) * dtype.itemsize != num_bytes:
        raise file.refused(f"{what}: shape {shown(shape)} does not fit {num_bytes} bytes")
    count = num_bytes // dtype.itemsize
    return file.array_at(data[0].start, dtype, count, what).reshape(shape)


def _dimensions(file: BoundedFile, messages: _Messages, shape: _Field, what: str) -> list[int]:
    dimensions: list[int] = []
    for field in messages.fields(shape.start, shape.end):
        if field.number == 1 and field.wire == _BYTES and field.end - field.start <= 80:
            packed, at = file.bytes_at(field.start, field.end - field.start, what), 0
            while at < len(packed):
                value, at = _varint(packed, at)
                if not at:
                    raise file.refused(f"{what}: its shape is damaged")
                dimensions.append(value)
        elif field.number == 1 and field.wire == _VARINT:
            dimensions.append(field.value)
    if len(dimensions) > _MAX_DIMENSIONS:
        raise file.refused(f"{what}: has more than {_MAX_DIMENSIONS} dimensions")
    return dimensions
