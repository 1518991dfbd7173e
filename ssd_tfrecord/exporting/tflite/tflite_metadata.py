"""The metadata by which Task Library and MediaPipe use a model: a flatbuffer, and a label file.

Source: metadata_schema.fbs of tflite-support and MediaPipe (the same), of which the tables here
have the fields that detectors use. There is no package with it for every Python version. The label
file is in a ZIP archive behind the model: readers of models start at the front, those of archives
at the end.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import flatbuffers

from ssd_tfrecord.exporting.tflite.tflite_network import INPUT_MEAN, INPUT_STD

LABEL_FILE = "labels.txt"
# Far above that of any detector; a damaged or hostile file is not unpacked.
_MAX_LABEL_BYTES = 1 << 20

_IDENTIFIER = b"M001"
# The first parser that knows groups of tensors.
_MIN_PARSER = "1.2.0"

# Values of the schema's enums and unions.
_FEATURE, _IMAGE, _BOXES = 1, 2, 3
_RGB = 1
_BOUNDARIES = 1
_NORMALIZATION = 1
_VALUE_LABELS = 3


@dataclass
class _Table:
    """A table of the schema: {slot of the field: its value}, by the type of the value.

    ``children`` are strings, tables, and lists of strings, tables, floats or unsigned integers.
    """

    children: Mapping[int, "str | _Table | list"] = field(default_factory=dict)
    bytes: Mapping[int, int] = field(default_factory=dict)
    ints: Mapping[int, int] = field(default_factory=dict)


def build(class_names: Sequence[str], input_range: tuple[float, float], description: str) -> bytes:
    """The metadata of a detector, whose outputs are those of ``flat_layout``.

    Args:
        class_names: of the labels 1, 2, ….
        input_range: lowest and highest value of the input: -1 and 1 of a float input, 0 and 255 of
            a uint8 one.
        description: of the model.
    """
    labels = _Table(
        {0: LABEL_FILE, 1: f"Names of the {len(class_names)} classes, one a line."},
        bytes={2: _VALUE_LABELS},
    )
    outputs = [
        _tensor("location", "Boxes: ymin, xmin, ymax, xmax in [0, 1].", _boxes(), span=2),
        _tensor("category", "Classes, from 0.", (_FEATURE, _Table()), span=2, files=[labels]),
        _tensor("score", "Scores, best first.", (_FEATURE, _Table()), span=2),
        _tensor("number of detections", "How many there are.", (_FEATURE, _Table())),
    ]
    group = _Table({0: "detection_result", 1: ["location", "category", "score"]})
    graph = _Table({2: [_image(input_range)], 3: outputs, 8: [group]})
    model = _Table({0: "SSD", 1: description, 3: [graph], 7: _MIN_PARSER})
    builder = flatbuffers.Builder(4096)
    builder.Finish(_written(builder, model), _IDENTIFIER)
    return bytes(builder.Output())


def with_labels(content: bytes, class_names: Sequence[str]) -> bytes:
    """A model with its label file behind it: a name a line, without the background."""
    # Of a fixed date, so that equal models are equal files; not packed, as MediaPipe requires.
    entry = zipfile.ZipInfo(LABEL_FILE)
    text = "".join(" ".join(name.splitlines()) + "\n" for name in class_names)
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(entry, text)
    return file.getvalue()


def read_labels(file: io.BufferedIOBase) -> list[str]:
    """The label file behind a model.

    Raises:
        ValueError: there is none, or it is no text of a plausible length.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.getinfo(LABEL_FILE).file_size > _MAX_LABEL_BYTES:
                raise ValueError(f"{LABEL_FILE} is too long")
            text = archive.read(LABEL_FILE).decode()
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError, NotImplementedError):
        raise ValueError(f"there is no {LABEL_FILE} behind the model") from None
    return text.split("\n")[:-1]


def _image(input_range: tuple[float, float]) -> _Table:
    low, high = ([value] for value in input_range)
    normalization = _Table({0: [INPUT_MEAN], 1: [INPUT_STD]})
    unit = _Table({1: normalization}, bytes={0: _NORMALIZATION})
    image = _tensor("image", "RGB image.", (_IMAGE, _Table(bytes={0: _RGB})))
    image.children = {**image.children, 4: [unit], 5: _Table({0: high, 1: low})}
    return image


def _boxes() -> tuple[int, _Table]:
    # Where left, top, right and bottom are. Ratios, not pixels, are the default.
    return _BOXES, _Table({0: [1, 0, 3, 2]}, bytes={1: _BOUNDARIES})


def _tensor(
    name: str,
    description: str,
    content: tuple[int, _Table],
    *,
    span: int = 0,
    files: Sequence[_Table] = (),
) -> _Table:
    """A TensorMetadata.

    Args:
        name: of the tensor, by which clients find it.
        description: for people.
        content: (its kind, its properties).
        span: the dimension along which contents of this kind lie; 0: the tensor is one.
        files: that belong to it.
    """
    kind, properties = content
    parts: dict[int, str | _Table | list] = {1: properties}
    if span:
        parts[2] = _Table(ints={0: span, 1: span})
    children: dict[int, str | _Table | list] = {
        0: name,
        1: description,
        3: _Table(parts, bytes={0: kind}),
    }
    if files:
        children[6] = list(files)
    return _Table(children)


def _written(builder: flatbuffers.Builder, table: _Table) -> int:
    """Writes a table behind its children, and returns its offset."""
    offsets = {slot: _offset(builder, value) for slot, value in table.children.items()}
    builder.StartObject(1 + max([*offsets, *table.bytes, *table.ints], default=-1))
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, number in table.ints.items():
        builder.PrependInt32Slot(slot, number, 0)
    for slot, number in table.bytes.items():
        builder.PrependInt8Slot(slot, number, 0)
    return int(builder.EndObject())


def _offset(builder: flatbuffers.Builder, value: "str | _Table | list") -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, _Table):
        return _written(builder, value)
    if isinstance(value[0], (str, _Table)):
        prepend = builder.PrependUOffsetTRelative
        items = [_offset(builder, item) for item in value]
    else:
        prepend = builder.PrependFloat32 if isinstance(value[0], float) else builder.PrependUint32
        items = value
    builder.StartVector(4, len(items), 4)
    # Flatbuffers are written from their end.
    for item in reversed(items):
        prepend(item)
    return int(builder.EndVector())
