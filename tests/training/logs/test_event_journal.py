"""The journal: what of a run ends up where, and that no disk can end the run."""

import errno
import io
import json
import os
import pathlib

import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.options import DeviceOptions, InputOptions, OptimizerOptions, ReadOptions
from ssd_tfrecord.runs.course.event_files import read_numbers
from ssd_tfrecord.training.logs.event_journal import Journal
from ssd_tfrecord.training.logs.voice import Voice
from ssd_tfrecord.training.runner import RunResult

METRICS = {"voc07_map": 0.5, "voc12_map": 0.25, "coco_ap": None, "num_images": 7}
SUMS = {"loss": 4.0, "class_loss": 3.0, "bad_records": 0.0, "skipped_steps": 0.0}


def make(folder, *, step=0, replicas=1, **values):
    config = TrainConfig(
        train_records=("a",), eval_records="b", run_dir=str(folder), num_steps=100, **values
    )
    stream = io.StringIO()
    return Journal(config, replicas, step, Voice(stream)), stream


def point(journal, step, **sums):
    """Two calls of a step each: the first one is not timed."""
    for number in (step - 1, step):
        result = RunResult(1, 0.1, SUMS | sums, {"loss_scale": 1.0})
        journal.steps(number, result, seconds=0.5, rate=1e-3, point=number == step)


def test_a_run_is_compared_with_its_curve_as_it_goes(tmp_path):
    path = tmp_path / "a.curve.csv"
    path.write_text(
        "step,metric,value,spread,runs,source\n10,voc07_map,0.45,,1,a\n20,voc07_map,0.6,0.02,3,b\n"
    )
    journal, stream = make(tmp_path, verify_curve=str(path))
    journal.evaluation(10, METRICS, 2.0)
    journal.evaluation(30, METRICS, 2.0)
    said = [line for line in stream.getvalue().splitlines() if line.startswith("curve")]
    assert said == [
        "curve: at step 10 voc07_map 0.500, 0.450 ± 0.020 known (a): above",
        "curve: at step 20 voc07_map 0.500, 0.600 ± 0.040 known (b): below",
    ]


def tags(folder, kind="train"):
    return {number.tag for number in read_numbers(folder / kind) if number.tag}


BASIC = {f"Overview/{name}" for name in ("loss", "images_per_s", "data_wait")} | {
    "Training/class_loss",
    "Training/host_rss_mb",
}


@pytest.mark.parametrize(
    ("values", "more"),
    [
        ({}, set()),
        ({"replicas": 2}, {"Training/images_per_s_per_replica"}),
        ({"optimizer": OptimizerOptions(warmup_steps=5)}, {"Training/learning_rate"}),
        ({"optimizer": OptimizerOptions(lr_boundaries=(5,))}, {"Training/learning_rate"}),
        ({"optimizer": OptimizerOptions(lr_schedule="cosine")}, {"Training/learning_rate"}),
        (
            {"input": InputOptions(reading=ReadOptions(on_bad_record="skip"))},
            {"Training/bad_records"},
        ),
        (
            {"devices": DeviceOptions(precision="mixed_float16")},
            {"Skipped steps/skipped_steps", "Skipped steps/loss_scale"},
        ),
    ],
    ids=["plain", "replicas", "warm-up", "boundaries", "cosine", "bad records", "loss scaling"],
)
def test_what_cannot_change_is_no_curve(tmp_path, values, more):
    journal, _ = make(tmp_path, **values)
    point(journal, 10)
    assert tags(tmp_path) == BASIC | more


def test_a_skipped_step_begins_a_curve(tmp_path):
    journal, stream = make(tmp_path)
    point(journal, 10)
    point(journal, 20, skipped_steps=1.0)
    point(journal, 30)
    assert tags(tmp_path) == BASIC | {"Skipped steps/skipped_steps"}
    numbers = {
        number.step: number.value
        for number in read_numbers(tmp_path / "train")
        if number.tag == "Skipped steps/skipped_steps"
    }
    assert numbers == {20: 2.0, 30: 0.0}
    assert [line.count("skipped steps 2") for line in stream.getvalue().splitlines()] == [0, 1, 0]


def test_an_evaluation_is_in_all_places(tmp_path):
    journal, stream = make(tmp_path)
    point(journal, 10)
    journal.evaluation(10, METRICS, 3.0)
    assert json.loads((tmp_path / "metrics.json").read_text()) == METRICS | {"step": 10}
    assert "Overview/voc07_map" in tags(tmp_path, "eval")
    assert journal.history.evaluated(10)
    assert "evaluation at step 10: loss 3.0000, voc07_map 0.5000" in stream.getvalue()
    assert journal.step_seconds == 1.0


def test_raw_weights_are_beside_the_averages(tmp_path):
    journal, stream = make(tmp_path)
    raw = {"voc07_map": 0.75, "voc12_map": 0.125, "coco_ap": None, "coco_ap50": None}
    journal.evaluation(10, METRICS | {"raw": raw}, 3.0)
    assert json.loads((tmp_path / "metrics.json").read_text())["raw"] == raw
    assert journal.history.rows[-1]["raw_voc07_map"] == "0.75"
    assert journal.history.last("voc07_map") == 0.5
    assert stream.getvalue().splitlines()[-1] == (
        "evaluation at step 10: loss 3.0000, voc07_map 0.5000, voc12_map 0.2500; "
        "raw weights: voc07_map 0.7500, voc12_map 0.1250"
    )


def test_a_resumed_run_restores_its_history_from_its_own_events(tmp_path):
    journal, _ = make(tmp_path)
    point(journal, 10)
    journal.evaluation(10, METRICS, 3.0)
    point(journal, 20)
    journal.close()
    before = (tmp_path / "history.csv").read_text()
    (tmp_path / "history.csv").write_bytes(b"\0" * 100)
    journal, stream = make(tmp_path, step=20)
    # The learning rate does not change: it is in the flags, and no curve.
    assert (tmp_path / "history.csv").read_text() == before.replace(",0.001,", ",,")
    assert "rows restored from TensorBoard's events and metrics.json: 2" in stream.getvalue()
    assert journal.history.best("voc07_map") == (10, 0)


def test_a_full_disk_is_said_once_and_ends_nothing(tmp_path, monkeypatch):
    journal, stream = make(tmp_path)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        patch.setattr(os, "replace", full)
        patch.setattr(pathlib.Path, "write_text", full)
        for step in (10, 20):
            point(journal, step)
            journal.evaluation(step, METRICS, 3.0)
    warnings = [line for line in stream.getvalue().splitlines() if line.startswith("warning")]
    # For all the files that it fails.
    assert len(warnings) == 1
    assert "No space left on device" in warnings[0]
    point(journal, 30)
    journal.evaluation(30, METRICS, 3.0)
    journal.close()
    assert stream.getvalue().count("can be written again") == 1
    rows = (tmp_path / "history.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["10", "20", "30"]
    assert {number.step for number in read_numbers(tmp_path / "train")} == {0, 30}
