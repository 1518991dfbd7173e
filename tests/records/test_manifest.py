"""The manifest: round trip, and one line for each way in which a set can be unusable."""

import json
import re
import shutil
import struct

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import ClassLabel, Manifest, load_classes, load_manifests


@pytest.fixture
def copied(tiny_records, tmp_path):
    return shutil.copytree(tiny_records, tmp_path / "copy")


def _edit(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_round_trip(copied):
    manifest = Manifest.load(copied)
    manifest.save()
    assert Manifest.load(str(copied)) == manifest
    assert manifest.classes[1] == ClassLabel(2, "dog", 2)
    assert manifest.class_names == ("cat", "dog", "person")
    assert manifest.original_ids == (1, 2, 3)
    assert manifest.num_classes == 3
    assert manifest.shard_paths[1] == str(copied / "tiny-00001-of-00002.tfrecord")
    assert manifest.shard_records == (3, 3)
    assert not list(copied.glob("*.tmp"))


def test_content_is_counted(copied):
    content = json.loads((copied / "manifest.json").read_text())
    assert content["per_class"] == {
        "cat": {"objects": 2, "difficult": 1, "crowd": 0, "images": 2},
        "dog": {"objects": 3, "difficult": 0, "crowd": 0, "images": 3},
        "person": {"objects": 2, "difficult": 0, "crowd": 0, "images": 2},
    }
    assert content["histograms"]["objects_per_image"]["counts"][:4] == [1, 3, 2, 0]
    assert content["histograms"]["image_side"]["counts"][0] == 6
    # person 24x56; dog 30x45; dog 40x40 twice, cat 40x40, person 36x42; cat 64x48.
    aspect = dict(zip(*content["histograms"]["box_aspect"].values()))
    assert {edge: count for edge, count in aspect.items() if count} == {
        0.33: 1,
        0.5: 1,
        0.8: 4,
        1.25: 1,
    }
    assert content["pixel_origin"] == 1
    assert content["schema_version"] == 2
    assert content["source"]["sets"] == ["2007_trainval"]


def test_record_bytes_lead_to_every_record(copied):
    manifest = Manifest.load(copied)
    for path, shard in zip(manifest.shard_paths, manifest.shards):
        begin = 0
        for length in shard.record_bytes:
            with open(path, "rb") as file:
                file.seek(begin)
                assert struct.unpack("<Q", file.read(8)) == (length,)
            begin += length + 16
        assert begin == shard.bytes
    text = (copied / "manifest.json").read_text()
    assert re.search(r'"record_bytes": \[ \d+, \d+, \d+ \]', text)


def test_record_bytes_must_add_up(copied):
    content = json.loads((copied / "manifest.json").read_text())
    content["shards"][1]["record_bytes"][0] += 1
    _edit(copied, shards=content["shards"])
    with pytest.raises(InputError, match=r"record_bytes of tiny-00001-of-00002\.tfrecord do not"):
        Manifest.load(copied)


def test_no_manifest(tmp_path):
    with pytest.raises(
        InputError, match=r"no manifest\.json: must be a folder that `ssd-tfrecord convert-voc`"
    ):
        Manifest.load(tmp_path)


def test_no_json(copied):
    (copied / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json: cannot be read: Expecting property"):
        Manifest.load(copied)


def test_no_object(copied):
    (copied / "manifest.json").write_text("[]")
    with pytest.raises(InputError, match="must contain a JSON object; convert again"):
        Manifest.load(copied)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 1}, r"schema_version 1: must be 2; convert again"),
        (
            {"shards": [{"file": "a"}]},
            r"shards\[0\]: \{'file': 'a'\}: must be a JSON object of file, num_records, bytes, ",
        ),
        ({"classes": [{"id": 2, "name": "a", "original_id": 1}]}, r"class ids \[2\]: must be 1"),
        (
            {"classes": [{"id": 1}]},
            r"classes\[0\]: \{'id': 1\}: must be a JSON object of id, name, ",
        ),
        (
            {"classes": [{"id": i, "name": f"{i}", "original_id": 7} for i in (1, 2)]},
            r"original ids \[7, 7\]: must be different whole numbers; convert again",
        ),
        (
            {"classes": [{"id": 1, "name": "a", "original_id": []}]},
            r"classes\[0\]\.original_id: \[\]: must be a whole number from -9223372036854775807 to",
        ),
        ({"num_records": 7}, r"shards hold 6 records, but num_records is 7"),
        ({"extra": 7}, r"manifest\.json: 'extra' is no field of a manifest; convert again"),
    ],
)
def test_wrong_content(copied, changes, message):
    _edit(copied, **changes)
    with pytest.raises(InputError, match=message):
        Manifest.load(copied)


def test_missing_key(copied):
    content = json.loads((copied / "manifest.json").read_text())
    del content["max_objects"]
    (copied / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"not a complete manifest: max_objects is missing"):
        Manifest.load(copied)


def test_missing_shard(copied):
    (copied / "tiny-00001-of-00002.tfrecord").unlink()
    with pytest.raises(InputError, match=r"shard tiny-00001-of-00002\.tfrecord is missing"):
        Manifest.load(copied)


def test_shard_of_another_size(copied):
    shard = copied / "tiny-00000-of-00002.tfrecord"
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(
        InputError, match=rf"tfrecord: has {size - 1} bytes, must have {size}; copy"
    ):
        Manifest.load(copied)


def test_classes_are_read_without_shards(copied):
    (copied / "tiny-00001-of-00002.tfrecord").unlink()
    assert [item.name for item in load_classes(copied / "manifest.json")] == [
        "cat",
        "dog",
        "person",
    ]


def _classes(*pairs):
    return [
        {"id": label, "name": name, "original_id": original_id}
        for label, (name, original_id) in enumerate(pairs, 1)
    ]


def test_sets_may_have_other_ids_of_their_own(tiny_records, copied):
    _edit(copied, classes=_classes(("cat", 17), ("dog", 0), ("person", 1)))
    _, other = load_manifests([tiny_records, copied])
    assert other.original_ids == (17, 0, 1)


@pytest.mark.parametrize(
    ("pairs", "listed"),
    [
        ([("cat", 17)], r"\[cat\]"),
        ([("dog", 2), ("cat", 1), ("person", 3)], r"\[dog, cat, person\]"),
    ],
    ids=["fewer", "another order"],
)
def test_sets_must_agree_in_the_names_of_their_classes(tiny_records, copied, pairs, listed):
    _edit(copied, classes=_classes(*pairs))
    message = (
        rf"copy: classes are {listed}, but .*tiny has \[cat, dog, person\]; they must be the "
        r"same, in the same order: convert with --classes=.*tiny/manifest\.json"
    )
    with pytest.raises(InputError, match=message):
        load_manifests([tiny_records, copied])


@pytest.mark.parametrize(
    ("source", "expected"),
    [({}, False), ({"image_ids": "integer"}, False), ({"image_ids": "string"}, True)],
)
def test_the_source_says_whether_its_image_ids_are_strings(copied, source, expected):
    _edit(copied, source=source)
    assert Manifest.load(copied).has_string_ids is expected
