"""Manifests for records of other tools: their features, label maps, and what is refused."""

import dataclasses
import io
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.detection.recorded import read_ground_truths
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.inspection.index import write_manifest
from ssd_tfrecord.inspection.verification import verify
from ssd_tfrecord.options import FramingOptions, InputOptions
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.manifest import Manifest

LABEL_MAP = "item { id: 1 name: 'person' }\nitem { id: 3 name: 'car' }\n"


def _encoded(kind="JPEG"):
    target = io.BytesIO()
    Image.new("RGB", (40, 30), (90, 120, 60)).save(target, kind)
    return target.getvalue()


def _feature(values):
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _example(number, labels=(1, 3), texts=(b"person", b"car"), encoded=None, **changes):
    """As the TF Object Detection API's create_coco_tf_record.py writes it."""
    count = len(labels)
    features = {
        "image/height": [30],
        "image/width": [40],
        "image/filename": [b"%012d.jpg" % number],
        "image/source_id": [b"%d" % number],
        "image/encoded": [encoded or _encoded()],
        "image/format": [b"jpeg"],
        "image/object/bbox/xmin": [0.1] * count,
        "image/object/bbox/xmax": [0.5, 1.0][:count],
        "image/object/bbox/ymin": [0.2] * count,
        "image/object/bbox/ymax": [0.9] * count,
        "image/object/class/label": list(labels),
        "image/object/class/text": list(texts),
        "image/object/is_crowd": [0, 1][:count],
        "image/object/area": [99.5, 7.0][:count],
        "image/object/mask": [b"png"] * count,
        **changes,
    }
    known = {key: _feature(values) for key, values in features.items() if values}
    return tf.train.Example(features=tf.train.Features(feature=known)).SerializeToString()


@pytest.fixture
def folder(tmp_path):
    """A folder of two record files, as that tool names them, with four images."""
    for shard in range(2):
        path = str(tmp_path / f"coco_val.record-{shard:05d}-of-00002")
        with tf.io.TFRecordWriter(path) as writer:
            writer.write(_example(2 * shard))
            writer.write(_example(2 * shard + 1, labels=(3,), texts=(b"car",)))
    (tmp_path / "map.pbtxt").write_text(LABEL_MAP)
    return tmp_path


def _index(folder, **options):
    return write_manifest(str(folder), "*record*", **options)


def test_a_label_map_gives_the_classes_with_their_gaps(folder):
    _index(folder, label_map=str(folder / "map.pbtxt"), flag_lines=["--index=true"])
    manifest = Manifest.load(folder)
    assert [(item.id, item.name) for item in manifest.classes] == [
        (1, "person"),
        (2, "unused-2"),
        (3, "car"),
    ]
    assert manifest.shard_records == (2, 2)
    assert (manifest.num_objects, manifest.num_crowd, manifest.max_objects) == (6, 2, 2)
    assert manifest.per_class["car"] == {"objects": 4, "difficult": 0, "crowd": 2, "images": 4}
    assert manifest.num_pixels == 4 * 30 * 40
    assert (manifest.tool, manifest.flags) == ("inspect_tfrecords", ("--index=true",))
    assert list(verify(manifest)) == []


def test_without_a_label_map_the_records_name_their_classes(folder):
    assert _index(folder).class_names == ("person", "unused-2", "car")


def test_two_workers_write_the_manifest_of_one(folder):
    manifests = []
    for number in (1, 2):
        looked_at = []
        _index(folder, num_workers=number, advance=looked_at.append)
        assert sum(looked_at) == 4
        manifests.append((folder / "manifest.json").read_bytes())
        (folder / "manifest.json").unlink()
    assert manifests[0] == manifests[1]


def test_training_takes_what_is_indexed(folder):
    _index(folder)
    batches = pipeline.batches(
        RecordReader([Manifest.load(folder)]),
        InputOptions(framing=FramingOptions(augmentation="none")),
        input_size=64,
        batch_size=4,
        seed=1,
    )
    batch = next(batches.as_numpy_iterator())
    assert sorted(batch.indices) == [0, 1, 2, 3]
    assert sorted(batch.labels[:, 0]) == [1, 1, 3, 3]


def test_records_without_names_need_a_label_map(folder):
    with tf.io.TFRecordWriter(str(folder / "coco_val.record-00000-of-00002")) as writer:
        writer.write(_example(1, texts=()))
    with pytest.raises(InputError, match=r"00000-of-00002: record 0 has no class names; pass --l"):
        _index(folder)
    assert _index(folder, label_map=str(folder / "map.pbtxt")).num_records == 3


def test_a_label_of_two_names(folder):
    with tf.io.TFRecordWriter(str(folder / "z.record")) as writer:
        writer.write(_example(1, texts=(b"person", b"truck")))
    with pytest.raises(InputError, match=r"z\.record: record 0: label 3 is 'truck', but 'car' in"):
        _index(folder)


def test_a_manifest_is_not_replaced(folder):
    _index(folder)
    with pytest.raises(
        InputError, match=r"already has a manifest\.json; remove it to write a new one"
    ):
        _index(folder)


def test_a_folder_whose_name_is_a_pattern(folder):
    moved = folder / "a[1]*"
    moved.mkdir()
    for path in folder.glob("*record*"):
        path.rename(moved / path.name)
    assert _index(moved).num_records == 4


def test_no_files(tmp_path):
    with pytest.raises(InputError, match=r"--pattern=\*record\*: no file in .* matches$"):
        _index(tmp_path)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (_example(1, encoded=_encoded("PNG")), "record 1: image is not a JPEG; convert again"),
        (_example(1, encoded=_encoded()[:-9]), "record 1: image cannot be decoded"),
        (_example(1, labels=(1, 4)), "record 1: object 2: label 4: must be 1 to 3"),
        (
            _example(1, **{"image/object/bbox/xmax": [0.5, 1.2]}),
            r"record 1: object 2: box .* must be inside \[-0\.1, 1\.1\]",
        ),
        (
            _example(1, **{"image/object/bbox/ymin": [-0.11, 0.2]}),
            r"record 1: object 1: box .* must be inside \[-0\.1, 1\.1\]",
        ),
        (
            _example(
                1, **{"image/object/bbox/xmin": [0.1, 1.05], "image/object/bbox/xmax": [0.5, 1.1]}
            ),
            "record 1: object 2: box .* no part of it is inside the image",
        ),
        (
            _example(1, **{"image/object/bbox/xmax": [0.5, float("nan")]}),
            "record 1: object 2: box .*nan.*: not_finite",
        ),
        (_example(1, **{"image/height": []}), "record 1: cannot be parsed: Feature: image/height"),
        (b"text", "record 1: cannot be parsed: Could not parse example input"),
    ],
    ids=["png", "cut", "label", "box", "above", "outside", "nan", "schema", "no example"],
)
def test_a_record_that_training_could_not_take_is_refused(folder, example, message):
    with tf.io.TFRecordWriter(str(folder / "z.record")) as writer:
        writer.write(_example(0))
        writer.write(example)
    with pytest.raises(InputError, match=rf"z\.record: {message}"):
        _index(folder, label_map=str(folder / "map.pbtxt"))
    assert not (folder / "manifest.json").exists()


def _beyond(number):
    """The first of two boxes reaches beyond the image, as far as is allowed above and below."""
    edges = {"ymin": -0.1, "xmin": -0.0625, "ymax": 1.1, "xmax": 1.0625}
    inside = {"ymin": 0.25, "xmin": 0.25, "ymax": 0.5, "xmax": 0.75}
    return _example(
        number, **{f"image/object/bbox/{edge}": [edges[edge], inside[edge]] for edge in edges}
    )


def test_boxes_that_reach_beyond_the_image_are_clipped_and_counted(folder):
    with tf.io.TFRecordWriter(str(folder / "z.record")) as writer:
        writer.write(_beyond(8))
        writer.write(_beyond(9))
    _index(folder)
    manifest = Manifest.load(folder)
    assert manifest.actions == {"objects clipped: beyond_image": 2}
    # The histogram's last bin: a side of at least 0.9; beyond the image it would be 1.16.
    assert manifest.histograms["box_side"]["counts"][-1] == 2
    truths = read_ground_truths(manifest)
    np.testing.assert_array_equal(truths[-1].boxes, [[0, 0, 1, 1], [0.25, 0.25, 0.5, 0.75]])
    assert list(verify(manifest)) == []


def test_training_reads_clipped_boxes(folder):
    parsed = schema.parse_batch(
        tf.constant([_beyond(1), _example(2, labels=(3,), texts=(b"car",))])
    )
    np.testing.assert_array_equal(parsed.boxes[0], [[0, 0, 1, 1], [0.25, 0.25, 0.5, 0.75]])
    np.testing.assert_array_equal(
        parsed.boxes[1], np.float32([[0.2, 0.1, 0.9, 0.5], [0.0, 0.0, 0.0, 0.0]])
    )
    np.testing.assert_array_equal(parsed.labels, [[1, 3], [3, 0]])


def test_a_set_of_ours_must_not_reach_beyond_the_image(folder):
    with tf.io.TFRecordWriter(str(folder / "z.record")) as writer:
        writer.write(_beyond(8))
    _index(folder)
    dataclasses.replace(Manifest.load(folder), tool="create_coco_tfrecords").save()
    damages = [str(damage) for damage in verify(Manifest.load(folder))]
    assert len(damages) == 1
    assert re.fullmatch(
        r"z\.record: record 0: \(8\) object 1: box \[-0\.1.*\]: must be inside \[0, 1\]", damages[0]
    )


def test_a_count_of_clipped_boxes_that_is_wrong_is_found(folder):
    _index(folder)
    counted = {"objects clipped: beyond_image": 1}
    dataclasses.replace(Manifest.load(folder), actions=counted).save()
    assert [str(damage) for damage in verify(Manifest.load(folder))] == [
        "manifest.json: actions does not match the records"
    ]


def test_without_objects_and_label_map_all_files_are_named(tmp_path):
    for shard in range(3):
        with tf.io.TFRecordWriter(str(tmp_path / f"{shard}.record")) as writer:
            writer.write(_example(shard, labels=(), texts=()))
    with pytest.raises(InputError, match=rf"^{tmp_path}: no record of the 3 files that match has"):
        _index(tmp_path)


def test_a_damaged_or_compressed_file_is_refused(folder):
    path = folder / "coco_val.record-00001-of-00002"
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"record 0 at byte 0: checksum of its data is wrong"):
        _index(folder)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
        writer.write(_example(1))
    with pytest.raises(InputError, match=r"must be an uncompressed TFRecord file"):
        _index(folder)


def test_images_without_objects_are_taken(folder):
    with tf.io.TFRecordWriter(str(folder / "z.record")) as writer:
        writer.write(_example(9, labels=(), texts=()))
    manifest = _index(folder)
    assert (manifest.num_records, manifest.num_objects) == (5, 6)
    np.testing.assert_array_equal(manifest.histograms["objects_per_image"]["counts"][:3], [1, 2, 2])
