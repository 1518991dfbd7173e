"""One data set in several layouts becomes the same records, with the same classes."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord import flags
from ssd_tfrecord.config import ConvertConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.writing import session


def _convert(folder, out, *words):
    common = [f"--input={folder}", f"--output_dir={out}", "--num_shards=1", "--workers=1"]
    session.convert_any(flags.parse(ConvertConfig, ["prog", *common, *words]))
    return out


def _records(folder):
    """{image's bytes: [(class, box)]} of a record set."""
    manifest = Manifest.load(folder)
    found = {}
    for record in tf.data.TFRecordDataset(list(manifest.shard_paths)):
        parsed = schema.parse_example(record)
        names = [manifest.class_names[label - 1] for label in parsed["labels"].numpy()]
        found[parsed["encoded"].numpy()] = (names, parsed["boxes"].numpy())
    return found


@pytest.mark.parametrize("name", ["voc_beside", "coco", "yolo", "labelme", "tfrecord"])
def test_records_are_alike(name, writers, samples, tmp_path):
    writers[name](tmp_path / "in", samples)
    out = _convert(tmp_path / "in", tmp_path / "out")
    for split in ("train", "val", "test"):
        assert set(Manifest.load(out / split).class_names) == {"cat", "dog", "traffic light"}
        found = _records(out / split)
        wanted = {item.encoded: item for item in samples if item.split == split}
        assert set(found) == set(wanted)
        for encoded, (names, boxes) in found.items():
            assert names == [name for name, _ in wanted[encoded].objects]
            right = np.array([box for _, box in wanted[encoded].fractions]).reshape(-1, 4)
            np.testing.assert_allclose(boxes, right, rtol=0, atol=1e-6)


def test_our_own_records_can_be_divided(writers, samples, tmp_path):
    writers["coco_roboflow"](tmp_path / "in", samples)
    first = _convert(tmp_path / "in", tmp_path / "first")
    second = _convert(first, tmp_path / "second", "--split=0.5,0.5")
    found = {**_records(second / "train"), **_records(second / "val")}
    assert set(found) == {item.encoded for item in samples}
    again = {**_records(first / "train"), **_records(first / "val"), **_records(first / "test")}
    for encoded, (names, boxes) in found.items():
        assert names == again[encoded][0]
        np.testing.assert_array_equal(boxes, again[encoded][1])


def test_the_user_knows_the_unit_better(writers, samples, tmp_path):
    writers["yolo"](tmp_path / "in", samples)
    with pytest.raises(
        InputError, match=r"^train: --box_unit=percent: all 8 boxes lie within .*; they"
    ):
        _convert(tmp_path / "in", tmp_path / "out", "--box_unit=percent")


def test_polygons_are_counted_in_the_closing_table(writers, samples, tmp_path, capsys):
    writers["yolo"](tmp_path / "in", samples)
    path = tmp_path / "in/labels/val/img 3.txt"
    path.write_text("0 0.1 0.1 0.5 0.2 0.3 0.9\n")
    _convert(tmp_path / "in", tmp_path / "out")
    assert "enclosed: polygon" in capsys.readouterr().out
    assert Manifest.load(tmp_path / "out/val").actions == {"objects enclosed: polygon": 1}
