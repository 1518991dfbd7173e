"""Records of the TF Object Detection API: classes, label maps, and records that are damaged."""

import pytest
import tensorflow as tf

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.layouts import recognition
from ssd_tfrecord.records.sources.layouts.layout import Policies
from ssd_tfrecord.records.sources.layouts.tfrecords import od_records

MAP = 'item { id: 1 name: "/m/1" display_name: "cat" } item { name: "dog" id: 3 }'


@pytest.fixture
def root(tmp_path, write_file):
    """A function that reads a folder with a.record of these records and a label map."""

    def read(*records, label_map=MAP, **policies):
        with tf.io.TFRecordWriter(str(tmp_path / "a.record")) as writer:
            for record in records:
                writer.write(record)
        if label_map:
            write_file(tmp_path / "label_map.pbtxt", label_map)
        (part,) = recognition.recognise(str(tmp_path), "tfrecord").parts
        return part.read(Policies(**policies))

    read.folder = tmp_path
    return read


def _record(boxes=((0.1, 0.2, 0.5, 0.6),), **changes):
    """A serialized Example; ``changes`` replace features by their last name, None removes one."""
    edges = list(zip(*boxes)) or [()] * 4
    features = {
        "image/encoded": [b"jpeg"],
        "image/filename": [b"photos/1.jpg"],
        "image/source_id": [b"17"],
        "image/height": [30],
        "image/width": [40],
        "image/object/class/label": [3] * len(boxes),
        "image/object/class/text": [b"dog"] * len(boxes),
        **{f"image/object/bbox/{e}": v for e, v in zip(("ymin", "xmin", "ymax", "xmax"), edges)},
        "image/object/difficult": [1] * len(boxes),
    }
    for name, values in changes.items():
        key = next((key for key in features if key.endswith(f"/{name}")), f"image/object/{name}")
        features[key] = values
    example = tf.train.Example()
    for key, values in features.items():
        if values is None:
            continue
        feature = example.features.feature[key]
        kind = feature.float_list if "bbox" in key else feature.bytes_list
        if any(isinstance(value, int) for value in values):
            kind = feature.int64_list
        kind.value.extend(values)
    return example.SerializeToString()


def test_what_a_record_says(root):
    sources = root(_record(is_crowd=[1], truncated=[0]), _record((), source_id=[b"18"]))
    image, empty = sources.images
    assert (image.source_id, image.filename, image.size) == ("17", "1.jpg", (40, 30))
    (item,) = image.objects
    assert item.name == "dog" and item.box == pytest.approx((0.1, 0.2, 0.5, 0.6))
    assert (item.difficult, item.crowd, item.truncated, item.occluded) == (True, True, False, False)
    path = root.folder / "a.record"
    assert image.file == f"{path}: record 0"
    assert path.read_bytes()[image.offset : image.offset + image.num_bytes] == b"jpeg"
    assert empty.objects == ()
    assert sources.category_ids == {"cat": 1, "dog": 3}


@pytest.mark.parametrize(
    ("label", "text", "name"),
    [([1], [b"/m/1"], "cat"), ([1], [b"cat"], "cat"), ([1], None, "cat"), (None, [b"/m/1"], "cat")],
)
def test_the_label_map_names_the_classes(root, label, text, name):
    assert root(_record(label=label, text=text)).images[0].objects[0].name == name


def test_a_label_map_of_other_records_is_an_error(root):
    match = (
        r"record 0: object 1: label 1 is 'dog', but in the label map 'cat'; must be the label map"
    )
    with pytest.raises(InputError, match=match):
        root(_record(label=[1]))


def test_without_a_label_map_records_name_their_classes(root):
    sources = root(_record(text=[b" dog "]), label_map="")
    assert (sources.images[0].objects[0].name, sources.category_ids) == ("dog", {})
    match = r"record 0: object 1: label 3 has no class name; add a label_map\.pbtxt"
    with pytest.raises(InputError, match=match):
        root(_record(text=None), label_map="")


@pytest.mark.parametrize(("label", "text"), [([2], None), ([0], None), (None, [b"horse"])])
def test_a_class_that_the_label_map_lacks(root, label, text):
    with pytest.raises(InputError, match="must be in the label map; correct it, or pass --unknown"):
        root(_record(label=label, text=text))
    sources = root(_record(label=label, text=text), unknown_classes="drop")
    assert sources.images[0].objects == ()
    assert [item.reason for item in sources.rejects] == ["unknown_class"]


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (_record(ymin=[0.1, 0.2]), r"has \[2, 1, 1, 1\] edges"),
        (_record(xmax=None), r"has \[1, 1, 1, 0\] edges"),
        (_record(label=[1, 2]), "has 1 boxes, 2 labels and 1 class names: must have as many"),
        (_record(label=None, text=None), "has boxes, but neither labels nor class names"),
        (_record(encoded=None), "has 0 images: must have one"),
        (_record(encoded=[b""]), "has 0 images: must have one"),
        (b"\x0b", r"is no tf\.train\.Example: wire type 3"),
    ],
)
def test_records_that_cannot_be_used(root, record, problem):
    with pytest.raises(InputError, match=rf"record 1: {problem}.*--bad_images=drop$"):
        root(_record(), record)
    sources = root(_record(), record, bad_images="drop")
    assert len(sources.images) == 1
    (reject,) = sources.rejects
    assert (reject.reason, reject.action) == ("damaged", "dropped")
    named = b"dog" in record
    assert (reject.num_objects, dict(sources.lost)) == ((1, {"dog": 1}) if named else (0, {}))


def test_equal_ids_become_unique(root):
    sources = root(_record(), _record())
    path = root.folder / "a.record"
    assert [image.source_id for image in sources.images] == [
        f"{path}: record 0",
        f"{path}: record 1",
    ]


@pytest.mark.parametrize(
    ("changes", "source_id"),
    [
        ({"source_id": [b""]}, "1.jpg"),
        ({"source_id": None, "filename": None}, "a.record: record 0"),
    ],
)
def test_records_without_an_id(root, changes, source_id):
    assert root(_record(**changes)).images[0].source_id == source_id


def test_nothing_but_images_is_no_detection(root):
    edges = dict.fromkeys(("ymin", "xmin", "ymax", "xmax"))
    record = _record((), label=None, text=None, **edges)
    with pytest.raises(InputError, match=r"a\.record: no record has boxes; must be for object det"):
        root(record)


def test_files_that_hold_other_things_are_not_recognised(root):
    with pytest.raises(InputError, match="nothing found"):
        root(b"not an example")


def test_a_damaged_file_is_reported(root):
    root(_record())
    path = root.folder / "a.record"
    path.write_bytes(path.read_bytes()[:-3])
    (part,) = recognition.recognise(str(root.folder)).parts
    with pytest.raises(InputError, match=r"a\.record: record 0 at byte 0: is cut off"):
        part.read(Policies())


def test_label_maps_must_agree(root, write_file):
    write_file(root.folder / "graph.pbtxt", "node { name: 'x' }")
    write_file(root.folder / "train/own_label_map.pbtxt", MAP)
    assert len(root(_record()).images) == 1
    write_file(root.folder / "train/own_label_map.pbtxt", MAP.replace("dog", "horse"))
    with pytest.raises(InputError, match=r"own_label_map\.pbtxt: its classes are not those of"):
        root(_record())


def test_a_damaged_label_map(root):
    with pytest.raises(
        InputError, match=r"label_map\.pbtxt: item 1: must have a name and a unique"
    ):
        root(_record(), label_map="item { id: x name: 'a' }")


def test_a_record_that_is_too_large(root, monkeypatch):
    root(_record())
    monkeypatch.setattr(od_records, "MAX_RECORD", 100)
    (part,) = recognition.recognise(str(root.folder)).parts
    with pytest.raises(InputError, match=r"record 0 has \d+ bytes: must have at most 100"):
        part.read(Policies())
