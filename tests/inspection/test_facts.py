"""What is gathered of each record, from the bytes of the set."""

import dataclasses
import hashlib
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.inspection import near_duplicates
from ssd_tfrecord.inspection.facts import gather
from ssd_tfrecord.records.manifest import Manifest

LEFT, RIGHT = (0.0, 0.0, 1.0, 0.5), (0.25, 0.5, 0.75, 1.0)


def _blank():
    target = io.BytesIO()
    Image.new("RGB", (40, 30), (9, 9, 9)).save(target, "JPEG")
    return target.getvalue()


@pytest.fixture
def manifests(tmp_path, scene, write_set):
    """A set of three images in two shards, and one of a single image without objects."""
    objects = [(1, LEFT), (2, (0.0, 0.0, 1.0, 1.0), "crowd"), (2, RIGHT)]
    images = [("a", scene(1), objects), ("b", _blank(), []), ("c", scene(3), [(1, RIGHT)])]
    return [
        write_set(tmp_path / "one/train", images),
        write_set(tmp_path / "two/val", [("d", scene(4), [])]),
    ]


def test_every_record_gives_its_facts(manifests, scene):
    looked_at = []
    train, val = gather(manifests, advance=looked_at.append)
    assert sum(looked_at) == 4
    assert (train.name, val.name) == ("train", "val")
    facts = train.facts
    assert facts.source_ids == ("a", "b", "c")
    assert facts.digests[0] == hashlib.sha256(scene(1)).digest()
    assert facts.comparable.tolist() == [True, False, True]
    expected = near_duplicates.perceptual_hash(near_duplicates.read_luma(scene(3)))
    assert facts.hashes.tolist()[1:] == [0, expected]
    assert facts.sizes.tolist() == [[90, 120], [30, 40], [90, 120]]
    # Without the crowd.
    assert facts.image.tolist() == [0, 0, 2]
    assert facts.labels.tolist() == [1, 2, 1]
    assert facts.boxes.tolist() == [list(LEFT), list(RIGHT), list(RIGHT)]
    assert facts.sides.tolist() == [[90, 60], [45, 60], [45, 60]]
    assert val.facts.boxes.shape == (0, 4)


def test_two_workers_gather_what_one_does(manifests):
    alone, together = gather(manifests), gather(manifests, 2)
    for one, other in zip(alone, together):
        for field in dataclasses.fields(one.facts):
            np.testing.assert_array_equal(
                getattr(one.facts, field.name), getattr(other.facts, field.name)
            )


def test_records_are_found_in_their_files(manifests):
    train, _ = gather(manifests)
    assert [train.file_of(record) for record in range(3)] == [
        ("0.record", 0),
        ("0.record", 1),
        ("1.record", 0),
    ]
    assert [train.source_id(record) for record in (2, -1)] == ["c", ""]


def test_sets_of_one_name_are_called_by_their_folders(tmp_path, scene, write_set):
    folders = [tmp_path / f"{number}/train" for number in range(2)]
    sets = gather([write_set(folder, [("a", scene(1), [])]) for folder in folders])
    assert [one.name for one in sets] == [str(folder) for folder in folders]


def test_a_file_without_records_is_no_obstacle(tmp_path, scene, write_set):
    manifest = write_set(tmp_path / "set", [("a", scene(1), [(1, LEFT)])])
    (tmp_path / "set/manifest.json").unlink()
    with tf.io.TFRecordWriter(str(tmp_path / "set/9.record")):
        pass
    from ssd_tfrecord.inspection.index import write_manifest

    manifest = write_manifest(str(tmp_path / "set"), "*record", str(tmp_path / "set/map.pbtxt"))
    assert manifest.shard_records == (1, 0)
    assert gather([manifest])[0].facts.image.tolist() == [0]


def _rewritten(manifest, change):
    """The set with another Example for its record 0, as long as the old one."""
    path = manifest.shard_paths[0]
    records = [item.numpy() for item in tf.data.TFRecordDataset(path)]
    example = tf.train.Example.FromString(records[0])
    change(example.features.feature)
    records[0] = example.SerializeToString(deterministic=True)
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    shard = dataclasses.replace(
        manifest.shards[0],
        bytes=sum(map(len, records)) + 16 * len(records),
        record_bytes=tuple(map(len, records)),
    )
    dataclasses.replace(manifest, shards=(shard, *manifest.shards[1:])).save()
    return Manifest.load(manifest.directory)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda feature: feature.pop("image/width"), "record 0: cannot be parsed; run with --ver"),
        (
            lambda feature: feature["image/object/class/label"].int64_list.value.__setitem__(1, 3),
            "record 0: object 2 has a faulty label or box; run with --verify to see which",
        ),
        (
            lambda feature: feature["image/object/class/label"].int64_list.value.__setitem__(0, -1),
            "record 0: object 1 has a faulty label or box",
        ),
        (
            lambda feature: feature["image/object/bbox/xmin"].float_list.value.__setitem__(2, 1.0),
            "record 0: object 3 has a faulty label or box",
        ),
    ],
    ids=["schema", "label", "negative", "no area"],
)
def test_a_record_that_training_could_not_take_is_one_line(manifests, change, message):
    with pytest.raises(InputError, match=rf"0\.record: {message}"):
        gather([_rewritten(manifests[0], change)])
