"""From annotations to record sets: content, order, shards, interruption, folders in use."""

import dataclasses
import hashlib
import json
import shutil
import textwrap

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.data import order
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ImageOptions, ReadOptions, RecordSetOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.schema import parse_example
from ssd_tfrecord.records.sources import voc
from ssd_tfrecord.records.sources.spool import IMAGES, Spool
from ssd_tfrecord.records.writing import convert, shard_writer


@pytest.fixture
def sources(tiny_voc):
    return voc.read_devkit(str(tiny_voc), ["2007_trainval"])


def _convert(sources, folder, images=convert.DEFAULT_IMAGES, **options):
    options = {"classes": "auto", "num_shards": 2, **options}
    record_set = RecordSetOptions(output_dir=str(folder), **options)
    return convert.convert(sources, record_set, images=images, tool="test", flag_lines=["--a=b"])


def _records(folder):
    dataset = tf.data.TFRecordDataset(Manifest.load(folder).shard_paths).map(parse_example)
    return {record["source_id"].decode(): record for record in dataset.as_numpy_iterator()}


def test_records_hold_what_the_files_say(tiny_voc, tiny_records):
    records = _records(tiny_records)
    assert sorted(records) == [f"VOC2007/00000{stem}" for stem in range(1, 7)]
    record = records["VOC2007/000002"]
    # (11, 6, 50, 45) and (41, 21, 80, 60) of VOC on 80x60 pixels.
    expected = [[5 / 60, 10 / 80, 45 / 60, 50 / 80], [20 / 60, 40 / 80, 1, 1]]
    np.testing.assert_array_equal(record["boxes"], np.float32(expected))
    np.testing.assert_array_equal(record["labels"], [2, 1])
    np.testing.assert_array_equal(record["difficult"], [False, True])
    np.testing.assert_array_equal(record["area"], [1600.0, 1600.0])
    assert (record["height"], record["width"]) == (60, 80)
    image = tiny_voc / "VOC2007/JPEGImages/000002.jpg"
    assert record["encoded"] == image.read_bytes()
    assert records["VOC2007/000004"]["boxes"].shape == (0, 4)


def test_recode_changes_the_pixels_and_nothing_else(sources, tmp_path):
    kept = _convert(sources, tmp_path / "kept")
    recoded = _convert(sources, tmp_path / "new", ImageOptions(recode=True, jpeg_quality=60))
    assert (dict(kept.notes), dict(recoded.notes)) == ({}, {"reencoded": 6})
    assert recoded.per_class == kept.per_class
    before, after = _records(tmp_path / "kept"), _records(tmp_path / "new")
    assert list(before) == list(after)
    for name, record in before.items():
        encoded = after[name].pop("encoded")
        assert len(encoded) < len(record["encoded"])
        for key, value in after[name].items():
            np.testing.assert_array_equal(value, record[key], key)


def test_a_box_over_the_whole_image_is_0_0_1_1(tiny_records):
    np.testing.assert_array_equal(_records(tiny_records)["VOC2007/000001"]["boxes"], [[0, 0, 1, 1]])


def test_the_manifest_describes_the_files(tiny_records):
    manifest = Manifest.load(tiny_records)
    for shard, path in zip(manifest.shards, manifest.shard_paths):
        content = (tiny_records / shard.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == shard.sha256
        assert sum(1 for _ in tf.data.TFRecordDataset(path)) == shard.num_records
    names = sorted(path.name for path in tiny_records.iterdir())
    assert names == [
        "manifest.json",
        "rejects.jsonl",
        "tiny-00000-of-00002.tfrecord",
        "tiny-00001-of-00002.tfrecord",
    ]


def test_equal_input_and_seed_give_equal_bytes(sources, tmp_path):
    first = _convert(sources, tmp_path / "a", set_name="x")
    backwards = dataclasses.replace(sources, images=Spool(IMAGES, sources.images[::-1]))
    assert _convert(backwards, tmp_path / "b", set_name="x").shards == first.shards
    other = _convert(sources, tmp_path / "c", set_name="x", shuffle_seed=1)
    assert other.shards != first.shards
    assert list(_records(tmp_path / "a")) != sorted(_records(tmp_path / "a"))


def test_fewer_images_than_shards_are_fewer_shards(sources, tmp_path):
    manifest = _convert(sources, tmp_path / "a", num_shards=16)
    assert manifest.shard_records == (1,) * 6
    assert manifest.shards[5].file == "a-00005-of-00006.tfrecord"


def test_shards_differ_by_one_record_at_most(sources, tmp_path):
    assert _convert(sources, tmp_path / "a", num_shards=4).shard_records == (1, 2, 1, 2)


def test_clipped_and_dropped_boxes_are_counted_and_named(devkit_with_bad_boxes, tmp_path):
    sources = voc.read_devkit(str(devkit_with_bad_boxes), ["2007_trainval"])
    manifest = _convert(sources, tmp_path / "a")
    assert manifest.rejects == {"beyond_tolerance": 1, "outside_image": 1, "zero_area": 1}
    assert manifest.actions == {
        "objects clipped: beyond_tolerance": 1,
        "objects dropped: outside_image": 1,
        "objects dropped: zero_area": 1,
    }
    assert (manifest.num_objects, manifest.num_records) == (5, 6)
    lines = [json.loads(line) for line in (tmp_path / "a/rejects.jsonl").read_text().splitlines()]
    lines.sort(key=lambda line: line["source_id"])
    file = str(devkit_with_bad_boxes / "VOC2007/Annotations/000005.xml")
    assert lines[1] == {
        "file": file,
        "source_id": "VOC2007/000005",
        "object": 2,
        "class": "dog",
        "reason": "outside_image",
        "action": "dropped",
        "detail": "image of 96x64",
        "num_objects": 0,
        "box": [16.0, 148.0, 56.0, 188.0],
    }
    assert [line["reason"] for line in lines] == [
        "beyond_tolerance",
        "outside_image",
        "zero_area",
    ]
    np.testing.assert_array_equal(
        _records(tmp_path / "a")["VOC2007/000001"]["boxes"], [[0, 0, 1, 1]]
    )


@pytest.fixture
def devkit_with_bad_boxes(tiny_voc, tmp_path):
    devkit = shutil.copytree(tiny_voc, tmp_path / "devkit")
    for stem, old, new in (
        ("000001", "<xmax>64", "<xmax>70"),
        (
            "000005",
            "<xmin>49</xmin><ymin>17</ymin><xmax>88",
            "<xmin>149</xmin><ymin>17</ymin><xmax>188",
        ),
        ("000006", "<xmax>54", "<xmax>19"),
    ):
        path = devkit / f"VOC2007/Annotations/{stem}.xml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    return devkit


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError])
def test_an_interrupted_conversion_leaves_no_final_name(sources, tmp_path, monkeypatch, error):
    def read_image(source, options):
        if source.source_id.endswith("000003"):
            raise error(source)
        return read(source, options)

    read = shard_writer.read_image
    monkeypatch.setattr(shard_writer, "read_image", read_image)
    with pytest.raises(error):
        _convert(sources, tmp_path / "a", num_shards=6)
    assert [path.name for path in (tmp_path / "a").iterdir()] == [".partial"]
    with pytest.raises(InputError, match=r"no manifest\.json"):
        Manifest.load(tmp_path / "a")


def test_what_a_killed_conversion_left_aside_is_removed_by_the_next(sources, tmp_path):
    partial = tmp_path / "a/.partial"
    partial.mkdir(parents=True)
    (partial / "a-00000-of-00009.tfrecord").write_bytes(b"half")
    _convert(sources, tmp_path / "a")
    assert len(list((tmp_path / "a").iterdir())) == 4


def test_an_interrupted_replacement_keeps_the_old_set(sources, tmp_path, monkeypatch):
    old = _convert(sources, tmp_path / "a")

    def read_image(source, options):
        raise KeyboardInterrupt

    monkeypatch.setattr(shard_writer, "read_image", read_image)
    with pytest.raises(KeyboardInterrupt):
        _convert(sources, tmp_path / "a", num_shards=3, overwrite=True)
    assert Manifest.load(tmp_path / "a") == old


def test_a_folder_in_use_needs_overwrite_which_leaves_no_old_shard(sources, tmp_path):
    _convert(sources, tmp_path / "a", num_shards=5, set_name="old")
    (tmp_path / "a/notes.txt").touch()
    with pytest.raises(InputError, match=r"a: already holds a record set \(manifest\.json\): choo"):
        _convert(sources, tmp_path / "a")
    _convert(sources, tmp_path / "a", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "a-00000-of-00002.tfrecord",
        "a-00001-of-00002.tfrecord",
        "manifest.json",
        "notes.txt",
        "rejects.jsonl",
    ]


def test_shards_without_a_manifest_are_not_mixed_with(sources, tmp_path):
    _convert(sources, tmp_path / "a", num_shards=3)
    (tmp_path / "a/manifest.json").unlink()
    with pytest.raises(InputError, match=r"already holds a record set \(a-00000-of-00003\.tfrec"):
        _convert(sources, tmp_path / "a")


def test_no_images(sources, tmp_path):
    with pytest.raises(InputError, match="no images to convert: the set is empty"):
        _convert(dataclasses.replace(sources, images=()), tmp_path / "a")


def _without_files(sources, tmp_path, indexes):
    gone = str(tmp_path / "gone.jpg")
    images = (
        dataclasses.replace(image, image_path=gone) if index in indexes else image
        for index, image in enumerate(sources.images)
    )
    return dataclasses.replace(sources, images=Spool(IMAGES, images))


def test_dropped_images_are_counted_and_named(sources, tmp_path):
    missing = _without_files(sources, tmp_path, (1, 4))
    drop = ImageOptions(bad_images="drop")
    manifest = _convert(missing, tmp_path / "a", images=drop, num_shards=6)
    # A shard an image: two are empty, and those who read the set go by them.
    assert sorted(manifest.shard_records) == [0, 0, 1, 1, 1, 1]
    assert (manifest.num_records, manifest.num_objects) == (4, 3)
    assert manifest.rejects == {"missing_image": 2}
    assert manifest.actions == {
        "images dropped: missing_image": 2,
        "objects dropped: with their image": 4,
    }
    lines = [json.loads(line) for line in (tmp_path / "a/rejects.jsonl").read_text().splitlines()]
    assert sorted(line["source_id"] for line in lines) == ["VOC2007/000002", "VOC2007/000005"]
    assert {(line["object"], line["action"], line["detail"], line["box"]) for line in lines} == {
        (0, "dropped", "cannot be read: No such file or directory", None)
    }
    assert [line["num_objects"] for line in lines] == [2, 2]
    loaded = Manifest.load(tmp_path / "a")
    options = ReadOptions(shuffle_buffer_mb=1)
    dataset = order.streamed_records([loaded], seed=0, start=0, options=options)
    found = {int(index) for _, index, _ in dataset.take(8)}
    assert found == {0, 1, 2, 3}
    reader = RecordReader([loaded])
    assert [record for _, record in map(reader.read, tf.range(4, dtype=tf.int64))] == [
        record for _, record in order.records_in_order([loaded])
    ]
    assert len(_records(tmp_path / "a")) == 4


def test_no_image_left_is_an_error(sources, tmp_path):
    drop = ImageOptions(bad_images="drop")
    with pytest.raises(InputError, match="no object is left: 7 of 7 would be dropped"):
        _convert(_without_files(sources, tmp_path, range(6)), tmp_path / "a", images=drop)
    assert [path.name for path in (tmp_path / "a").iterdir()] == [".partial"]


def test_what_is_refused_at_the_end_resumes_once_it_is_accepted(sources, tmp_path, capsys):
    drop = ImageOptions(bad_images="drop")
    # Without 000005 no person is left but that of 000006.
    broken = _without_files(sources, tmp_path, [4, 5])
    with pytest.raises(InputError, match=r"class 'person' would lose all its objects \(2\)"):
        _convert(broken, tmp_path / "a", images=drop)
    assert not (tmp_path / "a/manifest.json").exists()
    capsys.readouterr()
    manifest = _convert(broken, tmp_path / "a", images=drop, max_dropped=100)
    assert "resuming: 2 of 2 shards are already finished" in capsys.readouterr().err
    assert manifest.num_records == 4


def test_a_dry_run_refuses_the_same(sources, tmp_path):
    drop = ImageOptions(bad_images="drop")
    with pytest.raises(InputError, match=r"no object is left: 7 of 7 would be dropped .*such as /"):
        broken = _without_files(sources, tmp_path, range(6))
        _convert(broken, tmp_path / "a", images=drop, dry_run=True)


def test_an_output_folder_that_cannot_be_made(sources, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--output_dir=.*file/a: cannot be written: Not a dir"):
        _convert(sources, tmp_path / "file/a")


def test_a_class_outside_the_list_comes_before_any_file(sources, tmp_path):
    message = r"000001\.xml: object 1: class 'cat' is not one of dog; add it to --classes, or"
    (tmp_path / "names.txt").write_text("dog\n")
    with pytest.raises(InputError, match=message):
        _convert(sources, tmp_path / "a", classes=str(tmp_path / "names.txt"))
    assert not (tmp_path / "a").exists()


def test_the_report_begins_with_the_notes_and_ends_with_the_summary(sources, tmp_path, capsys):
    noted = dataclasses.replace(sources, notes=("first note", "second note"))
    options = RecordSetOptions(output_dir=str(tmp_path / "a"), classes="auto")
    convert.convert_and_report(noted, options, tool="test", flag_lines=["--a=b"])
    manifest = Manifest.load(tmp_path / "a")
    assert (manifest.tool, manifest.flags) == ("test", ("--a=b",))
    expected = (
        f"first note\nsecond note\n{convert.summary(manifest)}\n"
        f"6 shards in {tmp_path / 'a'}, described in manifest.json\n"
    )
    assert capsys.readouterr().out == expected


def _summary(manifest):
    return [line.split() for line in convert.summary(manifest).splitlines()]


def test_the_summary_counts(tiny_records):
    rows = _summary(Manifest.load(tiny_records))
    assert rows[:3] == [
        ["images", "found", "6"],
        ["images", "written", "6"],
        ["jpeg", "files", "6"],
    ]
    assert rows[3:5] == [["objects", "found", "7"], ["objects", "written", "7"]]
    assert ["difficult", "1"] in rows
    assert ["class", "dog", "3"] in rows


def test_the_summary_accounts_for_every_image_and_object(devkit_with_bad_boxes, tmp_path):
    """Six images with seven objects: one image is left out by the reader, one cannot be decoded."""
    images = devkit_with_bad_boxes / "VOC2007/JPEGImages"
    (images / "000003.jpg").unlink()
    (images / "000002.jpg").write_bytes((images / "000002.jpg").read_bytes()[:-100])
    with Image.open(images / "000004.jpg") as image:
        image.save(images / "000004.jpg", "PNG")
    sources = voc.read_devkit(str(devkit_with_bad_boxes), ["2007_trainval"], bad_images="drop")
    drop = ImageOptions(bad_images="drop")
    manifest = _convert(sources, tmp_path / "a", images=drop, max_dropped=100)
    assert convert.summary(manifest) == textwrap.dedent("""\
        images found                       6
          dropped: damaged                 1
          dropped: missing_image           1
        images written                     4
          jpeg files                       3
          png files                        1
          reencoded                        1
        objects found                      7
          dropped: outside_image           1
          dropped: with their image        3
          dropped: zero_area               1
        objects written                    2
          clipped: beyond_tolerance        1
          difficult                        0
          crowd                            0
        class cat                          1
        class dog                          0
        class person                       1""")


@pytest.mark.parametrize(
    ("folder", "set_name", "said"),
    [
        ("back\\slash", "", r"--output_dir='back\\slash': cannot name a record set: must be"),
        ("a\tb", "", r"--output_dir='a\tb': cannot name a record set: must be the name of"),
        ("a", "..", "--set_name='..': cannot name a record set: must be the name of a folder"),
        ("a\udcff", "", "a\\udcff': must be UTF-8"),
        ("a\udcff/b", "", "a\\udcff/b': must be UTF-8"),
    ],
)
def test_a_name_that_no_manifest_can_have_is_refused_at_once(tmp_path, folder, set_name, said):
    options = RecordSetOptions(output_dir=f"{tmp_path}/{folder}", set_name=set_name)
    with pytest.raises(InputError) as raised:
        convert.check_output(options)
    assert said in str(raised.value)
    # What it may be called.
    convert.check_output(RecordSetOptions(output_dir=f"{tmp_path}/back\\slash", set_name="a b"))
