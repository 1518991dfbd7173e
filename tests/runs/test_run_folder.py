"""Who may write into a run folder, and with which flags."""

import dataclasses

import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import (
    CheckpointOptions,
    ColorOptions,
    DeviceOptions,
    InputOptions,
    OptimizerOptions,
    ReadOptions,
)
from ssd_tfrecord.runs import run_folder


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
    assert "(--seed: 0 -> 3; --lr_boundaries: empty -> 5,9); set them back" in str(error.value)
    assert run_folder.read_config(config.run_dir) == config


def test_precision_is_a_device_option_that_may_not_change(config):
    run_folder.begin(config)
    other = changed(config, devices=DeviceOptions(precision="mixed_bfloat16"))
    with pytest.raises(InputError, match="--precision: float32 -> mixed_bfloat16"):
        run_folder.begin(other)


def test_metric_that_chose_the_best_checkpoint_may_not_change(config):
    run_folder.begin(config)
    other = changed(config, checkpoints=CheckpointOptions(best_metric="coco_ap"))
    with pytest.raises(InputError, match="--best_metric: voc07_map -> coco_ap"):
        run_folder.begin(other)


def test_number_of_steps_may_not_change_where_it_changes_the_rates(config):
    cosine = changed(config, optimizer=OptimizerOptions(lr_schedule="cosine"))
    run_folder.begin(cosine)
    with pytest.raises(InputError) as error:
        run_folder.begin(changed(cosine, num_steps=7))
    said = (
        "(--num_steps: 120000 -> 7, which changes the learning rates of --lr_schedule=cosine); set"
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
    assert sorted(path.name for path in run.iterdir()) == ["flags.txt", "notes.md"]
    assert run_folder.read_config(config.run_dir).seed == 3


@pytest.mark.parametrize("restart", [False, True])
def test_foreign_folder_is_refused_and_left_alone(config, tmp_path, restart):
    (tmp_path / "run" / "train").mkdir(parents=True)
    with pytest.raises(
        InputError, match=r"contains files but no flags\.txt, so it is not a run folder"
    ):
        run_folder.begin(changed(config, restart=restart))
    assert (tmp_path / "run" / "train").is_dir()


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
