"""The trainer from its command on: a run, its stop and resume, its replicas, its errors."""

import csv
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord import programs
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import order
from ssd_tfrecord.detection.recorded import read_ground_truths
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import (
    CheckpointOptions,
    DeviceOptions,
    FramingOptions,
    InputOptions,
    ModelOptions,
    OptimizerOptions,
    ReadOptions,
)
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs import checkpoints
from ssd_tfrecord.training import run_state, session
from ssd_tfrecord.training.logs.voice import Voice
from ssd_tfrecord.training.loop import Loop
from ssd_tfrecord.training.stopping import teardown

SMALL = ModelOptions(backbone="toy", input_size=64, backbone_weights="none")
FROZEN = dataclasses.replace(SMALL, batch_norm="frozen")
# Pictures for TensorBoard are drawn where there is an evaluation, and traced before: not here.
NO_PICTURES = CheckpointOptions(checkpoint_every=4, eval_every=1000, summary_every=1)


def small_config(records, run_dir, **values):
    """Six steps of the smallest network on six images, a point at each."""
    settings = {
        "train_records": (str(records),),
        "run_dir": str(run_dir),
        "num_steps": 6,
        "global_batch_size": 4,
        "steps_per_loop": 2,
        "model": SMALL,
        "input": InputOptions(framing=FramingOptions(augmentation="flip")),
        "optimizer": OptimizerOptions(learning_rate=1e-3, lr_boundaries=(4,), warmup_steps=2),
        "checkpoints": CheckpointOptions(checkpoint_every=4, eval_every=3, summary_every=1),
    }
    return TrainConfig(**settings | values)


@pytest.fixture(scope="module")
def whole_run(tiny_records, tmp_path_factory):
    """Folder of a run with evaluations that was never stopped."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    programs.train(small_config(tiny_records, run_dir, eval_records=str(tiny_records)))
    return run_dir


def history(run_dir):
    with open(f"{run_dir}/history.csv", newline="") as file:
        return list(csv.DictReader(file))


def losses(run_dir):
    return np.array([float(row["loss"]) for row in history(run_dir)])


def summary_tags(folder):
    """Tags of every event file in ``folder``."""
    tags = set()
    for path in folder.glob("events.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            tags |= {value.tag for value in event.summary.value}
    return tags


def test_run_leaves_everything_behind(whole_run):
    names = {"flags.txt", "checkpoints", "train", "eval", "history.csv", "curves.png"}
    names |= {"metrics.json", "thresholds.json", "pictures", "identity.json", "runs.jsonl", "lock"}
    assert {path.name for path in whole_run.iterdir()} == names
    kept = sorted(path.name for path in (whole_run / "checkpoints").glob("*.index"))
    assert kept == ["ckpt-3.index", "ckpt-4.index", "ckpt-6.index"]
    assert len(list((whole_run / "checkpoints" / "best").glob("*.index"))) == 1
    metrics = json.loads((whole_run / "metrics.json").read_text())
    assert (metrics["step"], metrics["num_images"], metrics["num_objects"]) == (6, 6, 7)
    rows = history(whole_run)
    assert [row["step"] for row in rows] == list("123456")
    rates = [float(row["learning_rate"]) for row in rows]
    np.testing.assert_allclose(rates, [5e-4, 1e-3, 1e-3, 1e-3, 1e-4, 1e-4], rtol=1e-6)
    assert [row["step"] for row in rows if row["eval_loss"]] == ["3", "6"]


@pytest.mark.filterwarnings("ignore:.*tf_record_iterator:DeprecationWarning")
def test_tensorboard_has_numbers_and_pictures(whole_run):
    train_tags, eval_tags = summary_tags(whole_run / "train"), summary_tags(whole_run / "eval")
    names = ("class_loss", "box_loss", "learning_rate", "gradient_norm", "host_rss_mb")
    assert {f"Training/{name}" for name in names} <= train_tags
    assert {"Training/positives_per_image", "Training/unmatched_objects"} <= train_tags
    assert {"Overview/loss", "Overview/images_per_s", "Overview/data_wait"} <= train_tags
    assert {"Overview/loss", "Overview/voc07_map", "Precision and recall/coco_ap"} <= eval_tags
    assert "Precision per class/cat" in eval_tags
    assert "Pictures/samples/3" in train_tags and "Pictures/detections/3" in eval_tags


def run_interrupted_at(step, config, monkeypatch):
    """Trains until Ctrl-C comes with the end of ``step``."""
    run_steps = Loop._run_steps

    def interrupted(self, before):
        done = run_steps(self, before)
        if done == step:
            os.kill(os.getpid(), signal.SIGINT)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_run_steps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            programs.train(config)


def test_run_stopped_by_ctrl_c_goes_on_to_the_same_losses(
    whole_run, tiny_records, tmp_path, monkeypatch, capsys
):
    config = small_config(tiny_records, tmp_path / "run", eval_records=str(tiny_records))
    run_interrupted_at(3, config, monkeypatch)
    assert "stopped by SIGINT at step 3; run the same command to resume" in capsys.readouterr().out
    assert len(losses(config.run_dir)) == 3
    programs.train(config)
    np.testing.assert_allclose(losses(config.run_dir), losses(whole_run), rtol=1e-5)
    resumed = history(config.run_dir)
    assert [row["step"] for row in resumed if row["eval_loss"]] == ["3", "6"]
    said = capsys.readouterr().out
    assert "resuming at step 3" in said
    assert f"tensorboard --logdir {config.run_dir}" in said


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(InputOptions(), id="read at random", marks=pytest.mark.soak),
        pytest.param(
            InputOptions(reading=ReadOptions(shuffle_buffer_mb=1)),
            id="streamed",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_run_on_two_sets_with_all_augmentation_goes_on_within_an_epoch(
    tiny_records, tmp_path, monkeypatch, options
):
    # A buffer of 2 of the 12 records: what is skipped of an epoch has to pass it too.
    monkeypatch.setattr(order, "buffered_records", lambda manifests, options: 2)
    whole = small_config(
        tiny_records,
        tmp_path / "whole",
        train_records=(str(tiny_records), str(tiny_records)),
        num_steps=5,
        input=options,
        checkpoints=NO_PICTURES,
    )
    stopped = dataclasses.replace(whole, run_dir=str(tmp_path / "stopped"))
    programs.train(whole)
    run_interrupted_at(4, stopped, monkeypatch)  # 16 samples: 4 of the second epoch
    assert len(losses(stopped.run_dir)) == 4
    programs.train(stopped)
    np.testing.assert_allclose(losses(stopped.run_dir), losses(whole.run_dir), rtol=1e-5)


def test_finished_run_says_so_again(whole_run, tiny_records, capsys):
    programs.train(small_config(tiny_records, whole_run, eval_records=str(tiny_records)))
    said = capsys.readouterr().out
    assert f"done at step 6; the run is in {whole_run}" in said
    assert "evaluation at step" not in said
    assert len(losses(whole_run)) == 6


def test_other_flags_for_the_same_folder(whole_run, tiny_records):
    config = small_config(tiny_records, whole_run, eval_records=str(tiny_records), seed=3)
    with pytest.raises(InputError, match=r"this run has other flags \(--seed: 0 -> 3\)"):
        programs.train(config)


def test_other_classes_leave_the_flags_as_they_were(whole_run, tiny_records):
    before = (whole_run / "flags.txt").read_text()
    config = small_config(tiny_records, whole_run, eval_records=str(tiny_records), num_steps=7)
    classes = Manifest.load(tiny_records).classes[:2]
    with pytest.raises(InputError, match=r"--train_records: classes are .* must be the same"):
        run_state.create(config, classes, tf.distribute.get_strategy(), Voice())
    assert (whole_run / "flags.txt").read_text() == before


def test_weights_come_from_another_run(whole_run, tiny_records, tmp_path, capsys):
    classes = Manifest.load(tiny_records).classes
    config = small_config(tiny_records, tmp_path / "run", init_checkpoint=str(whole_run))
    state = run_state.create(config, classes, tf.distribute.get_strategy(), Voice())
    assert state.step == 0
    source = checkpoints.load_run(whole_run, "best").model
    for ours, theirs in zip(state.learner.model.get_weights(), source.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    assert "class outputs copied: background, cat, dog, person" in capsys.readouterr().out


def test_loss_that_is_not_finite_names_step_and_images(tiny_records, tmp_path):
    config = small_config(
        tiny_records,
        tmp_path / "run",
        model=FROZEN,
        steps_per_loop=6,
        optimizer=OptimizerOptions(learning_rate=1e30),
        checkpoints=CheckpointOptions(checkpoint_every=1000, eval_every=1000, summary_every=1000),
    )
    teardown.release()
    with pytest.raises(InputError) as error:
        programs.train(config)
    # However it ends: to destroy its iterators could take a minute each.
    [parts] = teardown._spared
    assert isinstance(parts, session.Parts)
    [saved] = (tmp_path / "run").glob("nonfinite-*.npz")
    step = int(saved.stem.split("-")[1])
    assert step > 1  # the first step's loss comes from the first weights
    with np.load(saved) as batch:
        assert batch["images"].shape == (4, 64, 64, 3)
        names = list(batch["source_ids"])
        indices = batch["indices"]
    truths = read_ground_truths(Manifest.load(tiny_records))
    assert names == [truths[index].source_id for index in indices]
    message = f"step {step}: the loss or its gradient is not finite; images {', '.join(names)}; "
    replay = (
        f"the batch is saved: python -m ssd_tfrecord.train --replay={saved} shows what is wrong"
    )
    assert str(error.value).startswith(message + replay)
    assert not list((tmp_path / "run" / "checkpoints").glob("ckpt-*"))


def test_two_replicas_give_the_losses_of_one(tiny_records, tmp_path):
    one = small_config(tiny_records, tmp_path / "one", model=FROZEN, checkpoints=NO_PICTURES)
    programs.train(one)
    two = DeviceOptions(num_virtual_devices=2)
    programs.train(dataclasses.replace(one, run_dir=str(tmp_path / "two"), devices=two))
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=1e-5)


@pytest.mark.parametrize("cache", ["records", "decoded"])
def test_damage_that_is_met_while_a_cache_is_filled_is_reported(
    tiny_records, tmp_path, capsys, cache
):
    records = tmp_path / "records"
    shutil.copytree(tiny_records, records)
    shard = sorted(records.glob("*.tfrecord"))[0]
    content = bytearray(shard.read_bytes())
    content[200] ^= 1
    shard.write_bytes(content)
    words = ["train", f"--train_records={records}", f"--run_dir={tmp_path / 'run'}"]
    assert programs.run("train", [*words, f"--cache={cache}"]) == 4
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {shard}: record 0 (from byte 0) is damaged: ")
    assert not (tmp_path / "run").exists()


def test_missing_records_end_the_command_without_importing_tensorflow(tmp_path):
    code = (
        "import sys\n"
        "from ssd_tfrecord import programs\n"
        "code = programs.run('train')\n"
        "assert 'tensorflow' not in sys.modules and 'numpy' not in sys.modules\n"
        "sys.exit(code)\n"
    )
    words = [f"--run_dir={tmp_path / 'run'}", "--train_records=nowhere"]
    command = [sys.executable, "-c", code, *words]
    root = pathlib.Path(programs.__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere: no manifest.json")
    assert not (tmp_path / "run").exists()


def test_foreign_folder_is_refused(tiny_records, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("")
    words = ["train", f"--run_dir={tmp_path}", f"--train_records={tiny_records}"]
    assert programs.run("train", words) == 2
    assert (
        "contains files but no flags.txt of a run, so it is not a run folder"
        in capsys.readouterr().err
    )
