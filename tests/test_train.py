"""The trainer from its command on: a run, its resume, its stop and its errors."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from ssd_tfrecord import train
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.options import (
    CheckpointOptions,
    DeviceOptions,
    FramingOptions,
    ModelOptions,
    OptimizerOptions,
)

SMALL = ModelOptions(backbone="mobilenet_v2", width=0.1, backbone_weights="none")


@pytest.fixture
def config(tiny_records, tmp_path):
    """Six steps of the smallest network on six images, a point at each."""
    return TrainConfig(
        train_records=(str(tiny_records),),
        run_dir=str(tmp_path / "run"),
        num_steps=6,
        global_batch_size=4,
        steps_per_loop=2,
        model=SMALL,
        framing=FramingOptions(augmentation="flip"),
        optimizer=OptimizerOptions(learning_rate=1e-3, lr_boundaries=(4,), warmup_steps=2),
        checkpoints=CheckpointOptions(checkpoint_every=4, eval_every=3, summary_every=1),
    )


def history(run_dir):
    with open(f"{run_dir}/history.csv", newline="") as file:
        return list(csv.DictReader(file))


def losses(run_dir):
    return np.array([float(row["loss"]) for row in history(run_dir)])


def test_run_leaves_everything_behind(config, tiny_records, tmp_path, capsys):
    train.main(dataclasses.replace(config, eval_records=str(tiny_records)))
    run = tmp_path / "run"
    names = {"flags.txt", "checkpoints", "train", "eval", "history.csv", "curves.png"}
    assert {path.name for path in run.iterdir()} == names | {"metrics.json"}
    checkpoints = sorted(path.name for path in (run / "checkpoints").glob("*.index"))
    assert checkpoints == ["ckpt-3.index", "ckpt-4.index", "ckpt-6.index"]
    assert len(list((run / "checkpoints" / "best").glob("*.index"))) == 1
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["step"], metrics["num_images"]) == (6, 6)
    rows = history(run)
    assert [row["step"] for row in rows] == list("123456")
    rates = [float(row["learning_rate"]) for row in rows]
    np.testing.assert_allclose(rates, [5e-4, 1e-3, 1e-3, 1e-3, 1e-4, 1e-4], rtol=1e-6)
    assert [row["step"] for row in rows if row["eval_loss"]] == ["3", "6"]
    said = capsys.readouterr().out
    for words in (
        "Devices: 1 replica(s), float32",
        "train: tiny",
        "Shuffling: 6 of 6 records",
        "backbone weights: none",
        "step 6/6  loss ",
        f"done at step 6; the run is in {run}",
        f"tensorboard --logdir {run}",
    ):
        assert words in said


def test_run_resumed_at_its_half_gives_the_same_losses(config, tmp_path):
    train.main(config)
    half = dataclasses.replace(config, run_dir=str(tmp_path / "halves"))
    train.main(dataclasses.replace(half, num_steps=3))
    assert len(losses(half.run_dir)) == 3
    train.main(half)
    assert len(losses(half.run_dir)) == 6
    np.testing.assert_allclose(losses(half.run_dir), losses(config.run_dir), rtol=1e-5)


def test_two_replicas_give_the_losses_of_one(config, tmp_path):
    two = DeviceOptions(num_virtual_devices=2)
    train.main(config)
    train.main(dataclasses.replace(config, run_dir=str(tmp_path / "two"), devices=two))
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(config.run_dir), rtol=1e-5)
