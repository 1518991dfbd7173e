"""Who may write into a run folder, and with which flags."""

import dataclasses
import errno
import os
import pathlib

import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import DiskError, InputError
from ssd_tfrecord.options import (
    CheckpointOptions,
    ColorOptions,
    DeviceOptions,
    InputOptions,
    ModelOptions,
    OptimizerOptions,
    ReadOptions,
)
from ssd_tfrecord.runs import run_folder
from ssd_tfrecord.runs.identity import Identity
from ssd_tfrecord.runs.start_weights import StartWeights

IDENTITY = Identity(weights=StartWeights("backbone_weights", "none"))


@pytest.fixture
def config(tmp_path):
    return TrainConfig(train_records=("a", "b"), run_dir=str(tmp_path / "run"))


def changed(config, **values):
    return dataclasses.replace(config, **values)


def test_flags_are_written_whole_and_read_back(config, tmp_path):
    run_folder.begin(changed(config, restart=True))
    assert "--train_records=a,b\n" in (tmp_path / "run" / "flags.txt").read_text()
    assert run_folder.read_config(config.run_dir) == config


def test_same_flags_go_on_and_so_do_other_cadences_devices_and_workers(config):
    run_folder.begin(config)
    run_folder.begin(config)
    longer = changed(
        config,
        num_steps=7,
        steps_per_loop=3,
        checkpoints=CheckpointOptions(checkpoint_every=2, eval_every=3),
        devices=DeviceOptions(num_virtual_devices=2),
        input=InputOptions(reading=ReadOptions(num_workers=5), color=ColorOptions(color_on="host")),
    )
    run_folder.begin(longer)
    assert run_folder.read_config(config.run_dir) == longer


def test_other_flags_are_listed_with_old_and_new_value(config):
    run_folder.begin(config)
    other = changed(config, seed=3, optimizer=OptimizerOptions(lr_boundaries=(5, 9)))
    with pytest.raises(InputError) as error:
        run_folder.check(other)
    changes = "(--seed: 0 -> 3; --lr_boundaries: empty -> 5,9)"
    assert f"{changes}; give those of the run" in str(error.value)
    assert run_folder.read_config(config.run_dir) == config


def test_precision_is_a_device_option_that_may_not_change(config):
    run_folder.begin(config)
    other = changed(config, devices=DeviceOptions(precision="mixed_bfloat16"))
    with pytest.raises(InputError, match="--precision: float32 -> mixed_bfloat16"):
        run_folder.begin(other)


def test_what_changes_no_weight_may_change(config, tmp_path):
    """The metric, the evaluation set, the path of the run folder, and where the records lie."""
    run_folder.begin(config)
    (tmp_path / "run").rename(tmp_path / "moved")
    other = changed(
        config,
        train_records=("c", "d"),
        eval_records="e",
        run_dir=f"{tmp_path}/moved/",
        checkpoints=CheckpointOptions(best_metric="coco_ap"),
    )
    assert run_folder.begin(other) == ()
    assert run_folder.read_config(tmp_path / "moved") == other


def test_number_of_steps_may_not_change_where_it_changes_the_rates(config):
    cosine = changed(config, optimizer=OptimizerOptions(lr_schedule="cosine"))
    run_folder.begin(cosine)
    with pytest.raises(InputError) as error:
        run_folder.begin(changed(cosine, num_steps=7))
    said = (
        "(--num_steps: 120000 -> 7, which changes the learning rates of --lr_schedule=cosine); give"
    )
    assert said in str(error.value)
    run_folder.begin(changed(cosine, steps_per_loop=3))


def test_restart_removes_what_a_run_wrote_and_nothing_else(config, tmp_path):
    run_folder.begin(config)
    run = tmp_path / "run"
    (run / "checkpoints" / "best").mkdir(parents=True)
    (run / "history.csv").write_text("step\n")
    (run / "nonfinite-7.npz").write_text("")
    (run / "notes.md").write_text("mine")
    run_folder.begin(changed(config, seed=3, restart=True))
    assert sorted(path.name for path in run.iterdir()) == [
        *("flags.txt", "identity.json", "notes.md")
    ]
    assert run_folder.read_config(config.run_dir).seed == 3


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("name", ["train", "flags.txt", "identity.json"])
def test_foreign_folder_is_refused_and_left_alone(config, tmp_path, restart, name):
    own = tmp_path / "run" / name / "own" if name == "train" else tmp_path / "run" / name
    own.parent.mkdir(parents=True)
    own.write_text('{"of": "another program"}')
    with pytest.raises(
        InputError, match=r"contains files but no flags\.txt of a run, so it is not a run folder"
    ):
        run_folder.begin(changed(config, restart=restart))
    assert own.read_text() == '{"of": "another program"}'


def test_one_of_its_files_makes_it_a_run_though_the_other_is_damaged(config, tmp_path):
    for name in ("flags.txt", "identity.json"):
        run_folder.begin(changed(config, restart=True))
        (tmp_path / "run" / name).write_text("")
        assert run_folder.is_run(tmp_path / "run")


def test_file_in_the_place_of_the_folder(config, tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="is a file; must be a folder"):
        run_folder.begin(config)


def test_flags_of_another_version_are_named_with_their_file(config, tmp_path):
    run_folder.begin(config)
    with open(tmp_path / "run" / "flags.txt", "a", encoding="utf-8") as file:
        file.write("--colour=warm\n")
    with pytest.raises(InputError, match=r"run/flags\.txt: Unknown command line flag 'colour'"):
        run_folder.read_config(config.run_dir)


def test_reading_a_folder_without_a_run(tmp_path):
    with pytest.raises(InputError, match=r"contains no flags\.txt; must be a run folder"):
        run_folder.read_config(tmp_path)


DAMAGE = [
    pytest.param(lambda path: path.write_bytes(b""), "empty", id="empty"),
    pytest.param(lambda path: path.write_bytes(b"\0" * 4096), "binary", id="zeros"),
    pytest.param(
        lambda path: path.write_bytes(bytes(range(1, 256))),
        "is not a flag with a value",
        id="bytes",
    ),
    pytest.param(
        lambda path: path.write_bytes(path.read_bytes()[:-35]), "is not a flag with", id="cut"
    ),
    pytest.param(lambda path: os.truncate(path, 100 * 10**6), "larger than", id="100 MB"),
    pytest.param(
        lambda path: path.write_text("--flagfile=/etc/passwd\n"), "is not a flag", id="a flagfile"
    ),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGE)
def test_damaged_flags_are_one_line_for_readers_and_written_again_by_the_run(
    config, tmp_path, damage, said
):
    run_folder.begin(config)
    path = tmp_path / "run" / "flags.txt"
    damage(path)
    with pytest.raises(InputError) as error:
        run_folder.read_config(config.run_dir)
    line = str(error.value)
    assert line.startswith(f"{path}: damaged (")
    assert said in line
    assert line.endswith("; the training command writes it again")
    assert len(line) < 300
    # identity.json still knows what run this is.
    with pytest.raises(InputError, match="--seed: 0 -> 3"):
        run_folder.check(changed(config, seed=3))
    [note] = run_folder.begin(config)
    assert note.startswith(f"{path}: damaged (")
    assert run_folder.read_config(config.run_dir) == config


def test_flags_that_are_gone_are_written_again(config, tmp_path):
    run_folder.begin(config)
    (tmp_path / "run/flags.txt").unlink()
    assert run_folder.begin(config) == (f"{tmp_path}/run/flags.txt: missing; written again",)
    assert run_folder.read_config(config.run_dir) == config


def test_flags_cut_between_lines_do_not_make_another_network(config, tmp_path):
    small = changed(config, model=ModelOptions(backbone="mobilenet_v2", width=0.5))
    run_folder.begin(small)
    path = tmp_path / "run/flags.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:8]))
    with pytest.raises(InputError, match=r"txt: cut or edited: --backbone is vgg16, but the run w"):
        run_folder.read_config(config.run_dir)


@pytest.mark.parametrize("content", ["", "[" * 10**5, '{"schema_version": 1}', "[]", "null", "\0"])
def test_a_damaged_identity_is_written_again_if_the_flags_are_whole(config, tmp_path, content):
    run_folder.begin(config)
    path = tmp_path / "run/identity.json"
    path.write_text(content)
    with pytest.raises(InputError, match="--seed: 0 -> 3"):
        run_folder.check(changed(config, seed=3))
    assert run_folder.read_config(config.run_dir) == config
    [note] = run_folder.begin(config)
    assert note.startswith(f"{path}: damaged (")
    assert run_folder.check(config) == ()


def test_a_run_of_which_nothing_can_be_read_is_not_resumed(config, tmp_path):
    run_folder.begin(config)
    (tmp_path / "run/flags.txt").write_text("")
    (tmp_path / "run/identity.json").write_text("")
    for other in (config, changed(config, restart_id="7")):
        with pytest.raises(InputError, match="what run this is cannot be told; restore the file"):
            run_folder.begin(other)
    run_folder.begin(changed(config, restart=True))
    assert run_folder.check(config) == ()


def test_an_identity_of_a_newer_version_is_not_taken_for_damage(config, tmp_path):
    run_folder.begin(config)
    path = tmp_path / "run/identity.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(InputError, match="schema_version 2: written by a newer ssd_tfrecord"):
        run_folder.check(config)


def test_a_run_of_an_earlier_version_is_compared_by_its_flags_and_taken_over(config, tmp_path):
    run_folder.begin(config)
    (tmp_path / "run/identity.json").unlink()
    moved = changed(config, train_records=("c",))
    with pytest.raises(InputError, match=r"other flags \(--seed: 0 -> 3\)"):
        run_folder.check(changed(moved, seed=3))
    with pytest.raises(InputError, match=r"content \(--backbone_weights: imagenet -> none\)"):
        run_folder.check(changed(moved, model=ModelOptions(backbone_weights="none")), IDENTITY)
    assert run_folder.begin(moved) == ()
    assert run_folder.read_identity(moved.run_dir).flags["seed"] == "0"


def test_a_path_that_is_not_utf8_or_holds_a_line_end_of_unicode_is_kept(config, tmp_path):
    odd = changed(config, train_records=("a\udcff\u2028b",), eval_records="c ")
    run_folder.begin(odd)
    assert run_folder.read_config(config.run_dir) == odd
    with pytest.raises(InputError, match="must not contain a line break"):
        run_folder.begin(changed(config, eval_records="a\nb"))


def save_checkpoint(run_dir, step):
    folder = pathlib.Path(run_dir) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in ("index", "data-00000-of-00001"):
        (folder / f"ckpt-{step}.{suffix}").write_text(str(step))


def test_a_run_resumes_once_it_has_a_checkpoint(config, tmp_path):
    assert not run_folder.resumes(config)
    run_folder.begin(config)
    assert not run_folder.resumes(config)
    save_checkpoint(tmp_path / "run", 5)
    assert run_folder.resumes(config)
    assert not run_folder.resumes(changed(config, restart=True))
    assert not run_folder.resumes(changed(config, restart_id="7"))


def test_rates_may_change_after_a_loss_that_was_not_finite(config, tmp_path):
    run_folder.begin(config)
    save_checkpoint(tmp_path / "run", 5)
    calmer = changed(
        config, skip_nonfinite=3, optimizer=OptimizerOptions(learning_rate=1e-4, warmup_steps=7)
    )
    with pytest.raises(InputError, match=r"--learning_rate: 0\.001 -> 0\.0001"):
        run_folder.check(calmer)
    (tmp_path / "run/nonfinite-6.npz").write_text("")
    with pytest.raises(InputError, match=r"other flags \(--seed: 0 -> 3\)"):
        run_folder.check(changed(calmer, seed=3))
    [note] = run_folder.begin(calmer)
    assert note == (
        "changed after step 6, which was not finite: --skip_nonfinite: 0 -> 3; --learning_rate: "
        "0.001 -> 0.0001; --warmup_steps: 0 -> 7"
    )
    assert run_folder.check(calmer) == ()
    # Past that step, they are as fixed as before.
    save_checkpoint(tmp_path / "run", 6)
    with pytest.raises(InputError, match=r"--learning_rate: 0\.0001 -> 0\.001"):
        run_folder.check(config)


def test_a_restart_id_begins_afresh_once(config, tmp_path):
    first = changed(config, restart_id="first")
    run_folder.begin(first)
    save_checkpoint(tmp_path / "run", 5)
    # The same job, queued again; a command without the id does not make it forgotten.
    assert run_folder.begin(first) == ()
    assert run_folder.begin(config) == ()
    assert run_folder.begin(first) == ()
    assert run_folder.resumes(first)
    assert run_folder.read_config(config.run_dir) == first
    # Another job: other flags may come with it.
    second = changed(config, restart_id="second", seed=3)
    assert run_folder.restarts(second)
    [note] = run_folder.begin(second)
    assert note.endswith("begun with --restart_id=first; starting from scratch")
    assert not (tmp_path / "run/checkpoints").exists()
    assert not run_folder.restarts(second)
    assert run_folder.read_config(config.run_dir) == second


def test_a_run_without_an_id_is_replaced_by_one_with(config):
    run_folder.begin(config)
    [note] = run_folder.begin(changed(config, restart_id="7"))
    assert note.endswith("the run here was begun without --restart_id; starting from scratch")


def test_what_a_killed_write_has_left_is_removed(config, tmp_path):
    run_folder.begin(config)
    for name in ("flags.txt.12.part", "metrics.json.9.part", "mine.7.part"):
        (tmp_path / "run" / name).write_text("")
    run_folder.begin(config)
    assert sorted(path.name for path in (tmp_path / "run").glob("*.part")) == ["mine.7.part"]


def test_a_full_disk_is_one_line_and_the_old_flags_stay(config, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run_folder.begin(config)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskError, match="No space left on device"):
        run_folder.begin(changed(config, num_steps=7))
    assert run_folder.read_config(config.run_dir) == config
    assert not list(pathlib.Path(config.run_dir).glob("*.part"))
