"""A run with --ema_decay: averages are saved, evaluated and loaded, and survive a stop."""

import csv
import json

import numpy as np
import pytest
import toy_training

from ssd_tfrecord.runs import checkpoints
from ssd_tfrecord.runs.course.history_file import METRICS

# Processes; test_averages, test_validation and test_loaded_run see the same in parts.
pytestmark = pytest.mark.soak

FLAGS = ("--ema_decay=0.5", "--eval_every=2", "--checkpoint_every=2", "--learning_rate=0.05")


def train(records, run_dir, num_steps):
    words = toy_training.command(records, run_dir, f"--eval_records={records}", *FLAGS)
    return toy_training.train([*words, f"--num_steps={num_steps}"])


def weights(run_dir, kind):
    return checkpoints.load_run(str(run_dir), "last", weights=kind).model.get_weights()


def test_averages_are_reported_and_loaded(tiny_records, tmp_path):
    said = train(tiny_records, tmp_path, 2)
    assert "; raw weights: voc07_map " in said
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics["raw"]) == set(METRICS)
    assert ", averaged weights, while" in metrics["measured"]["detections"]
    [*_, row] = csv.DictReader((tmp_path / "history.csv").read_text().splitlines())
    assert float(row["raw_voc07_map"]) == pytest.approx(metrics["raw"]["voc07_map"], rel=1e-6)
    averaged, raw = (weights(tmp_path, kind) for kind in ("averaged", "raw"))
    assert max(np.abs(a - b).max() for a, b in zip(averaged, raw)) > 1e-3


def test_averages_go_on_exactly_after_a_stop(tiny_records, tmp_path):
    train(tiny_records, tmp_path / "whole", 6)
    for num_steps in (2, 6):
        train(tiny_records, tmp_path / "resumed", num_steps)
    for kind in ("averaged", "raw"):
        pair = (weights(tmp_path / name, kind) for name in ("whole", "resumed"))
        for a, b in zip(*pair, strict=True):
            np.testing.assert_array_equal(a, b)
