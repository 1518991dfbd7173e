"""A damaged checkpoint is named, and the newest intact one is taken."""

import shutil

import pytest
import tensorflow as tf
from toy_checkpoints import DAMAGES, damage, kernel, names, saved, steps

from ssd_tfrecord.errors import InputError


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(tmp_path, how):
    saved(tmp_path, 4, 8, 12)
    folder = tmp_path / "checkpoints"
    damage(folder / "ckpt-12", how)
    said = []
    model, kept = saved(tmp_path, say=said.append)
    assert kept.restore() == 8
    assert kernel(model) == 8
    (line,) = said
    assert line.startswith(f"ckpt-12 is damaged ({DAMAGES[how][1]}")
    assert line.endswith("; kept as damaged-ckpt-12): going back to ckpt-8")
    assert steps(folder) == [8, 4]
    assert any(name.startswith("damaged-ckpt-12.") for name in names(folder))
    assert tf.train.latest_checkpoint(str(folder)) == str(folder / "ckpt-8")
    # The same step again is not hindered by it, nor is it counted.
    kept.save(12)
    kept.save(16)
    assert steps(folder) == [16, 12, 8]
    assert saved(tmp_path)[1].restore() == 16


def test_the_best_is_taken_where_it_is_the_newest_intact_one(tmp_path):
    model, kept = saved(tmp_path, 4, 8)
    kept.save_best(8, "coco_ap", 0.5)
    kept.save(12)
    folder = tmp_path / "checkpoints"
    damage(folder / "ckpt-12", "data cut")
    damage(folder / "ckpt-8", "one bit")
    said = []
    model, kept = saved(tmp_path, say=said.append)
    assert kept.restore() == 8
    assert kernel(model) == 8
    assert [line.split(": ")[-1] for line in said] == [
        "going back to ckpt-8",
        "going back to best/ckpt-8",
    ]
    assert kept.best() == (8, {"coco_ap": 0.5})


def test_a_content_of_another_step_is_damage(tmp_path):
    saved(tmp_path, 4, 8)
    folder = tmp_path / "checkpoints"
    for path in folder.glob("ckpt-4.*"):
        shutil.copy(path, path.with_name(path.name.replace("ckpt-4", "ckpt-12")))
    said = []
    assert saved(tmp_path, say=said.append)[1].restore() == 8
    assert said[0].startswith("ckpt-12 is damaged (its content is of step 4; ")


def test_all_damaged_is_an_error_each_time_and_changes_nothing(tmp_path):
    _, kept = saved(tmp_path, 4, 8)
    kept.save_best(4, "coco_ap", 0.5)
    folder = tmp_path / "checkpoints"
    for path in (folder / "ckpt-4", folder / "ckpt-8", folder / "best/ckpt-4"):
        damage(path, "data cut")
    before = names(folder)
    for _ in range(2):
        with pytest.raises(InputError, match=r"every checkpoint is damaged \(ckpt-8: .* --restart"):
            saved(tmp_path)[1].restore()
    assert names(folder) == before


def test_no_checkpoint_left_of_some_is_not_step_zero(tmp_path):
    saved(tmp_path, 4)
    for path in (tmp_path / "checkpoints").glob("ckpt-4.*"):
        path.unlink()
    with pytest.raises(InputError, match="the run has had checkpoints, and none is left"):
        saved(tmp_path)[1].restore()


@pytest.mark.parametrize(
    "content", [None, b"", b"\0" * 200, b'model_checkpoint_path: "ck', b"\xff"]
)
def test_list_of_tensorflow_is_made_again(tmp_path, content):
    saved(tmp_path, 4, 8)
    path = tmp_path / "checkpoints/checkpoint"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    said = []
    assert saved(tmp_path, say=said.append)[1].restore() == 8
    assert said == []
    assert tf.train.latest_checkpoint(str(path.parent)) == str(path.parent / "ckpt-8")


def test_what_a_kill_within_tensorflow_leaves_is_deleted(tmp_path):
    _, kept = saved(tmp_path, 4)
    kept.save_best(4, "coco_ap", 0.5)
    folder = tmp_path / "checkpoints"
    before = names(folder), names(folder / "best")
    for place in (folder, folder / "best"):
        for temporary in ("unfinished-ckpt-8_temp", "ckpt-8_temp"):
            (place / temporary).mkdir()
            (place / temporary / "part-00000-of-00001.index.tempstate1").touch()
        (place / "unfinished-ckpt-8.data-00000-of-00001").touch()
        (place / "ckpt-8.data-00000-of-00001").touch()
    assert saved(tmp_path)[1].restore() == 4
    assert (names(folder), names(folder / "best")) == before


def test_damaged_best_is_said_and_the_next_one_replaces_it(tmp_path):
    _, kept = saved(tmp_path, 4, 8)
    kept.save_best(4, "coco_ap", 0.5)
    damage(tmp_path / "checkpoints/best/ckpt-4", "data cut")
    said = []
    _, kept = saved(tmp_path, say=said.append)
    assert kept.restore() == 8
    assert said == [
        "best/ckpt-4 is damaged (its data are cut; kept as damaged-ckpt-4)",
        "no best checkpoint is left; the next evaluation writes one",
    ]
    assert kept.best() is None
    kept.save_best(8, "coco_ap", 0.25)
    assert kept.best() == saved(tmp_path)[1].best() == (8, {"coco_ap": 0.25})


@pytest.mark.parametrize("content", [None, "{", '{"step": 3, "metric": "coco_ap", "value": 0.9}'])
def test_best_of_unknown_value_is_kept_with_its_step(tmp_path, content):
    """An earlier version wrote no best.json, and another step's is not its own."""
    _, kept = saved(tmp_path, 4)
    kept.save_best(4, "coco_ap", 0.5)
    path = tmp_path / "checkpoints/best/best.json"
    path.unlink()
    if content:
        path.write_text(content)
    said = []
    _, kept = saved(tmp_path, say=said.append)
    kept.restore()
    assert kept.best() == (4, {})
    assert len(said) == (content == "{")
    assert steps(path.parent) == [4]


@pytest.mark.parametrize("name", ["a[1]", "a*{b,c}?", "a\\d", "with space"])
def test_folder_of_any_name_can_be_restored(tmp_path, name):
    saved(tmp_path / name, 4, 8)
    (tmp_path / "a1").mkdir()
    model, kept = saved(tmp_path / name)
    assert kept.restore() == 8
    assert kernel(model) == 8
