"""The trial steps before a training: verdicts by numbers, and that every network learns."""

import pytest
import tensorflow as tf

from ssd_tfrecord.config import FitConfig
from ssd_tfrecord.fitting import choices, recipe_file, rehearsal
from ssd_tfrecord.fitting.rehearsal import Outcome
from ssd_tfrecord.records.manifest import Manifest


def outcome(**changes):
    known = {"losses": (20.0, 9.0), "num_steps": 12, "seconds": 15.0}
    return Outcome(**(known | {"image_seconds": 0.25, "images_per_s": 100.0} | changes))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "loss 20.0 -> 9.0 in 12 steps, 15 s: learnt, as it has halved"),
        ({"losses": (20.0, 10.0)}, "learnt, as it has halved"),
        # Time was up after twelve of 40 steps.
        ({"losses": (20.0, 11.0)}, "it falls; time was up before it had halved"),
        ({"losses": (20.0, 11.0), "num_steps": 40}, "NOT learnt"),
        ({"losses": (20.0, 21.0)}, "NOT learnt"),
        ({"losses": (20.0, float("nan"))}, "NOT learnt"),
    ],
)
def test_what_the_loss_says(changes, verdict):
    made = outcome(**changes)
    assert verdict in made.lines(16, on_gpu=False)[0]
    assert made.learns == ("as it has halved" in verdict)


def test_a_gpu_waits_for_what_comes_later_than_its_step():
    # 16 images in 0.16 s; a step of them takes 0.04 s on the GPU: it waits for three quarters.
    made = outcome(image_seconds=0.0025)
    assert made.lines(16, on_gpu=True)[1] == (
        "a step of 16 takes about 0.04 s; its batch is made in 0.16 s; the step will wait for them "
        "75% of the time"
    )
    assert "wait" not in made.lines(16, on_gpu=False)[1]
    assert "wait for them 0%" in outcome().lines(16, on_gpu=True)[1]


# All but VGG-16: from scratch, without batch normalisation, it hardly begins to learn.
@pytest.mark.soak
@pytest.mark.parametrize(
    "backbone",
    ["mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_large_reduced", "resnet50"],
)
def test_every_network_learns_by_heart_at_the_rate_that_fit_chooses(
    tiny_records, tmp_path, monkeypatch, backbone
):
    monkeypatch.setattr(rehearsal, "MAX_SECONDS", 600.0)
    config = FitConfig(input=str(tmp_path), output_dir=str(tmp_path / "out"))
    machine = choices.Machine(num_gpus=0, num_cores=2)
    chosen = choices.recipe(config, machine, backbone, "none", size=8, steps=(40, ""))
    trial = recipe_file.parsed(chosen, [f"--train_records={tiny_records}", "--run_dir=any"])
    found = rehearsal.rehearse(trial, [Manifest.load(tiny_records)], tf.distribute.get_strategy())
    assert found.learns, found
