import io
import struct
import zipfile

import pytest

from ssd_tfrecord.exporting.tflite import tflite_metadata
from ssd_tfrecord.exporting.tflite.flat_model import FlatModel


class Table:
    """A table of any flatbuffer, by the format's rules alone."""

    def __init__(self, data, place=None):
        self.data = data
        self.place = struct.unpack_from("<I", data)[0] if place is None else place
        self.fields = self.place - struct.unpack_from("<i", data, self.place)[0]

    def number(self, slot, kind, default=0):
        place = self._field(slot)
        return default if place is None else struct.unpack_from("<" + kind, self.data, place)[0]

    def table(self, slot):
        return Table(self.data, self._target(self._field(slot)))

    def string(self, slot):
        return self._string(self._target(self._field(slot)))

    def tables(self, slot):
        return [Table(self.data, self._target(place)) for place in self._items(slot)]

    def strings(self, slot):
        return [self._string(self._target(place)) for place in self._items(slot)]

    def numbers(self, slot, kind):
        return [struct.unpack_from("<" + kind, self.data, place)[0] for place in self._items(slot)]

    def _field(self, slot):
        size = struct.unpack_from("<H", self.data, self.fields)[0]
        if 4 + 2 * slot >= size:
            return None
        offset = struct.unpack_from("<H", self.data, self.fields + 4 + 2 * slot)[0]
        return self.place + offset if offset else None

    def _target(self, place):
        return place + struct.unpack_from("<I", self.data, place)[0]

    def _string(self, place):
        length = struct.unpack_from("<I", self.data, place)[0]
        return self.data[place + 4 : place + 4 + length].decode()

    def _items(self, slot):
        field = self._field(slot)
        if field is None:
            return []
        start = self._target(field)
        count = struct.unpack_from("<I", self.data, start)[0]
        return [start + 4 + 4 * i for i in range(count)]


def built(**changes):
    arguments = dict(class_names=["cat", "dog"], input_range=(-1.0, 1.0), description="Pets")  # noqa: C408
    return tflite_metadata.build(**{**arguments, **changes})


def test_the_model():
    data = built()
    assert data[4:8] == b"M001"
    model = Table(data)
    assert (model.string(0), model.string(1), model.string(7)) == ("SSD", "Pets", "1.2.0")
    assert len(model.tables(3)) == 1


def test_the_image_says_how_it_is_normalised():
    (image,) = Table(built()).tables(3)[0].tables(2)
    content = image.table(3)
    assert image.string(0) == "image"
    # ImageProperties, in RGB.
    assert (content.number(0, "B"), content.table(1).number(0, "b")) == (2, 1)
    (unit,) = image.tables(4)
    assert unit.number(0, "B") == 1
    assert (unit.table(1).numbers(0, "f"), unit.table(1).numbers(1, "f")) == ([127.5], [127.5])
    assert (image.table(5).numbers(1, "f"), image.table(5).numbers(0, "f")) == ([-1.0], [1.0])


def test_the_outputs_are_found_by_name():
    outputs = Table(built()).tables(3)[0].tables(3)
    names = [output.string(0) for output in outputs]
    assert names == ["location", "category", "score", "number of detections"]
    location, category, score, number = (output.table(3) for output in outputs)
    # BoundingBoxProperties: where left, top, right and bottom are; BOUNDARIES; RATIO.
    boxes = location.table(1)
    assert (location.number(0, "B"), boxes.numbers(0, "I")) == (3, [1, 0, 3, 2])
    assert (boxes.number(1, "b"), boxes.number(2, "b")) == (1, 0)
    assert [kind.number(0, "B") for kind in (category, score, number)] == [1, 1, 1]
    for content in (location, category, score):
        assert [content.table(2).number(slot, "i") for slot in (0, 1)] == [2, 2]
    (labels,) = outputs[1].tables(6)
    # TENSOR_VALUE_LABELS.
    assert (labels.string(0), labels.number(2, "b")) == ("labels.txt", 3)


def test_the_outputs_are_a_group():
    (group,) = Table(built()).tables(3)[0].tables(8)
    assert group.string(0) == "detection_result"
    assert group.strings(1) == ["location", "category", "score"]


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_a_file_has_it_and_its_labels(toy, precision):
    content = toy.path(precision).read_bytes()
    model = FlatModel(content)
    places = {entry.name: entry.buffer for entry in model.root.metadata}
    data = model.root.buffers[places[b"TFLITE_METADATA"]].data.tobytes()
    assert data[4:8] == b"M001"
    image = Table(data).tables(3)[0].tables(2)[0]
    low = 0.0 if precision == "int8" else -1.0
    assert image.table(5).numbers(1, "f") == [low]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["labels.txt"]
        # MediaPipe reads no others.
        assert archive.getinfo("labels.txt").compress_type == zipfile.ZIP_STORED
        assert archive.read("labels.txt") == b"cat\ndog\nperson\n"


def test_labels_come_back():
    names = ["cat", "traffic light", "Käfer", "two\nlines"]
    file = io.BytesIO(tflite_metadata.with_labels(b"model" * 9, names))
    found = tflite_metadata.read_labels(file)
    assert found == ["cat", "traffic light", "Käfer", "two lines"]


def test_equal_models_are_equal_files():
    assert tflite_metadata.with_labels(b"a", ["b"]) == tflite_metadata.with_labels(b"a", ["b"])


def archive_with(name, data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file


@pytest.mark.parametrize(
    ("file", "message"),
    [
        pytest.param(io.BytesIO(b"no archive"), "there is no labels.txt", id="no archive"),
        pytest.param(archive_with("other", b""), "there is no labels.txt", id="another file"),
        pytest.param(archive_with("labels.txt", b"\xff"), "there is no labels.txt", id="no text"),
        pytest.param(archive_with("labels.txt", bytes(9 << 20)), "is too long", id="a bomb"),
    ],
)
def test_labels_that_are_none(file, message):
    with pytest.raises(ValueError, match=message):
        tflite_metadata.read_labels(file)
