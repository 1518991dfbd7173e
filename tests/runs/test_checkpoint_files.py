"""Files of checkpoints: which count, which are deleted, and what a damaged small file says."""

import json
import os

import pytest
import tensorflow as tf

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.runs import checkpoint_files, run_files
from ssd_tfrecord.runs.checkpoint_files import BestRecord, Place

DATA = "data-00000-of-00001"


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(name)


def checkpoint(folder, *names):
    touch(folder, *(f"{name}.{end}" for name in names for end in ("index", DATA)))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_checkpoints_are_what_is_on_the_disk(tmp_path):
    assert checkpoint_files.newest_first(tmp_path / "none") == []
    checkpoint(tmp_path, "ckpt-9", "ckpt-10", "damaged-ckpt-12", "ckpt-011", "other")
    touch(tmp_path, f"ckpt-11.{DATA}", "checkpoint", "ckpt-13")
    checkpoint(tmp_path / "best", "ckpt-9", "ckpt-8", "ckpt-10")
    assert [place.step for place in checkpoint_files.places(tmp_path)] == [10, 9]
    order = ["ckpt-10", "best/ckpt-10", "ckpt-9", "best/ckpt-9", "best/ckpt-8"]
    assert [place.name for place in checkpoint_files.newest_first(tmp_path)] == order
    # The one that best.json names; a later one was not recorded, as the save was broken off.
    checkpoint_files.write_best(tmp_path / "best", BestRecord(9, "coco_ap", 0.5))
    assert [place.step for place in checkpoint_files.best_first(tmp_path)] == [9, 10, 8]


def test_leftovers_of_kills_are_deleted_and_nothing_else(tmp_path):
    checkpoint(tmp_path, "ckpt-2", "damaged-ckpt-4", "notes")
    touch(tmp_path, "classes.json", "checkpoint", "best.json", "my.part", f"mine.{DATA}")
    before = names(tmp_path)
    checkpoint(tmp_path, "unfinished-ckpt-6")
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    for folder in ("ckpt-6_temp", "unfinished-ckpt-6_temp", "ckpt-8_temp_0a1b"):
        touch(tmp_path / folder, f"part-00000-of-00001.{DATA}.tempstate123")
    touch(outside, "kept")
    (tmp_path / "ckpt-10_temp").symlink_to(outside)
    touch(
        tmp_path,
        *(f"ckpt-6.{DATA}", "ckpt-8.index.tempstate77", "checkpoint.tmpdeadbeef"),
        *("checkpoint.part", "classes.json.31.part", "best.json.7.part"),
    )
    checkpoint_files.clean(tmp_path)
    assert names(tmp_path) == before
    assert names(outside) == ["kept"]
    checkpoint_files.clean(tmp_path / "none")


def test_a_checkpoint_is_published_data_first_and_deleted_index_first(tmp_path, operations):
    checkpoint(tmp_path, "unfinished-ckpt-4")
    checkpoint_files.publish(tmp_path / "unfinished-ckpt-4", Place(tmp_path, 4))
    assert operations == [
        ("fsync", f"unfinished-ckpt-4.{DATA}"),
        ("fsync", "unfinished-ckpt-4.index"),
        ("rename", f"ckpt-4.{DATA}"),
        ("rename", "ckpt-4.index"),
        ("fsync", tmp_path.name),
    ]
    assert names(tmp_path) == [f"ckpt-4.{DATA}", "ckpt-4.index"]
    operations.clear()
    checkpoint_files.remove(Place(tmp_path, 4))
    assert operations == [("unlink", "ckpt-4.index"), ("unlink", f"ckpt-4.{DATA}")]


def test_damaged_ones_of_the_same_step_are_all_kept(tmp_path):
    kept = []
    for _ in range(3):
        checkpoint(tmp_path, "ckpt-4")
        kept.append(checkpoint_files.put_away(Place(tmp_path, 4)))
    assert kept == ["damaged-ckpt-4", "damaged-2-ckpt-4", "damaged-3-ckpt-4"]
    assert checkpoint_files.places(tmp_path) == []
    assert len(names(tmp_path)) == 6


def test_tensorflow_reads_the_list(tmp_path):
    checkpoint(tmp_path, "ckpt-8", "ckpt-12", "ckpt-4")
    checkpoint_files.keep_only(tmp_path, [Place(tmp_path, 12), Place(tmp_path, 8)])
    state = tf.train.get_checkpoint_state(str(tmp_path))
    assert [os.path.basename(path) for path in state.all_model_checkpoint_paths] == [
        "ckpt-8",
        "ckpt-12",
    ]
    assert len(state.all_model_checkpoint_timestamps) == 2
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "ckpt-12")
    assert len(names(tmp_path)) == 5


def test_a_list_that_is_right_is_not_written_again(tmp_path, monkeypatch):
    checkpoint(tmp_path, "ckpt-8")
    checkpoint_files.write_list(tmp_path, checkpoint_files.places(tmp_path))
    written = []
    monkeypatch.setattr(run_files, "write_text", lambda path, text: written.append(text))
    checkpoint_files.write_list(tmp_path, checkpoint_files.places(tmp_path))
    assert written == []
    (tmp_path / "checkpoint").write_bytes(b"\0" * 120)
    checkpoint_files.write_list(tmp_path, checkpoint_files.places(tmp_path))
    assert len(written) == 1


def test_best_record_comes_back(tmp_path):
    assert checkpoint_files.read_best(tmp_path) is None
    record = BestRecord(8, "voc07_map", 0.7123456789012345)
    checkpoint_files.write_best(tmp_path, record)
    assert checkpoint_files.read_best(tmp_path) == record


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0" * 60,
        '{"step": 8, "metric": "voc07',
        '{"step": 8, "metric": "voc07_map"}',
        '{"step": 8, "metric": "voc07_map", "value": NaN}',
        '{"step": 8, "metric": "voc07_map", "value": 1e999}',
        '{"step": 8, "metric": "voc07_map", "value": null}',
        '{"step": 8, "metric": "voc07_map", "value": true}',
        '{"step": true, "metric": "voc07_map", "value": 0.5}',
        '{"step": 8, "metric": 7, "value": 0.5}',
        '{"step": 8, "metric": "voc07_map", "value": 1' + "0" * 5000 + "}",
        "[8]",
        DEEP,
        '{"step": ' + DEEP + "}",
        " " * 2**17,
    ],
    ids=lambda text: repr(text[:60]),
)
def test_a_damaged_best_record_is_one_line(tmp_path, text):
    (tmp_path / "best.json").write_text(text)
    with pytest.raises(InputError, match=r"best\.json: damaged") as caught:
        checkpoint_files.read_best(tmp_path)
    assert len(str(caught.value)) < 300
    assert checkpoint_files.read_step(tmp_path) is None


LABEL = {"id": 1, "name": "cat", "original_id": 17}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0" * 60,
        "{}",
        "[]",
        "[1]",
        json.dumps([LABEL])[:20],
        json.dumps([{**LABEL, "id": 2}]),
        json.dumps([{**LABEL, "name": ["cat"]}]),
        json.dumps([{**LABEL, "other": 1}]),
        DEEP,
        '{"a":' * 50_000,
        " " * (2**24 + 1),
    ],
    ids=lambda text: repr(text[:60]),
)
def test_a_damaged_class_list_is_one_line(tmp_path, text):
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(InputError, match=r"classes\.json: cannot be read \(") as caught:
        checkpoint_files.read_classes(tmp_path)
    assert len(str(caught.value)) < 300


def test_class_list_comes_back(tmp_path):
    classes = [ClassLabel(1, "cat", 17), ClassLabel(2, "Müsli\n", -3)]
    checkpoint_files.write_classes(tmp_path, classes)
    assert checkpoint_files.read_classes(tmp_path) == classes


def test_a_pipe_is_not_waited_for(tmp_path):
    for name in ("classes.json", "best.json"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="not a file"):
        checkpoint_files.read_classes(tmp_path)
    with pytest.raises(InputError, match="must be a file"):
        checkpoint_files.read_best(tmp_path)


@pytest.mark.parametrize("run_dir", ["runs/a", "/a b/[1]*?", "a\\b", "C:/a", "run:1", "é{1,2}"])
def test_usual_and_unusual_paths_are_taken(run_dir):
    checkpoint_files.check_path(run_dir)


@pytest.mark.parametrize(
    ("run_dir", "reason"),
    [
        ("a\0b", "contains a null character"),
        ("a\udcffb", "is not UTF-8"),
        ("gs://bucket/run", "begins with gs://"),
    ],
)
def test_a_path_that_tensorflow_cannot_write_is_refused(run_dir, reason):
    with pytest.raises(InputError, match=f"--run_dir=.*: {reason}; must be") as caught:
        checkpoint_files.check_path(run_dir)
    caught.value.args[0].encode()


def test_free_path_is_numbered(tmp_path):
    assert checkpoint_files.free_path(tmp_path / "a") == tmp_path / "a"
    (tmp_path / "a").mkdir()
    (tmp_path / "a-2").touch()
    assert checkpoint_files.free_path(tmp_path / "a") == tmp_path / "a-3"
