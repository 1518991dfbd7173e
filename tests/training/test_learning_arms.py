"""The learning test's own parts: samples that are what they claim, and a verdict by numbers."""

import os
import subprocess
import sys

import learning
import learning_arms
import numpy as np
import original_twin
import pytest
import tensorflow as tf
import torchvision_colors
from toy_training import ROOT, read_until, started

from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import caching, pipeline
from ssd_tfrecord.options import FramingOptions, InputOptions
from ssd_tfrecord.pixels import color
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs.course.history_file import COLUMNS

OPTIONS = InputOptions(framing=FramingOptions(max_expansion=1.5))


@pytest.mark.parametrize(
    ("name", "value", "pixels", "want"),
    [
        # Cut, not rounded: 90.9, and 281 beyond the last level.
        ("brightness", 0.9, [(101, 0, 250)], [(90, 0, 225)]),
        ("brightness", 1.125, [(101, 0, 250)], [(113, 0, 255)]),
        # Greys 100 and 200, mean 150 (0.9999 of it, cut): half the distance to it.
        ("contrast", 0.5, [(100,) * 3, (200,) * 3], [(124,) * 3, (174,) * 3]),
        # Grey 0.2989 · 200 + 0.587 · 100 + 0.114 · 50 = 124.18, cut to 124: 162, 112, 87.
        ("saturation", 0.5, [(200, 100, 50)], [(162, 112, 87)]),
        ("hue", 1 / 3, [(255, 0, 0)], [(0, 255, 0)]),
        # Halfway to yellow, 127.5.
        ("hue", 1 / 12, [(255, 0, 0)], [(255, 127, 0)]),
        # Below red it goes round.
        ("hue", -1 / 12, [(255, 0, 0)], [(255, 0, 127)]),
    ],
)
def test_an_operation_of_torchvision_by_hand(name, value, pixels, want):
    got = torchvision_colors.distort(np.uint8([pixels]), [(name, value)], [0, 1, 2])
    # In float32 a half of 256 parts may go either way.
    np.testing.assert_allclose(got[0], want, atol=1 if name == "hue" else 0)


def test_torchvisions_operations_are_drawn_as_often_as_there():
    random = np.random.default_rng(0)
    draws = [torchvision_colors.draw(random) for _ in range(4000)]
    names = [[name for name, _ in operations] for operations, _ in draws]
    for name, (low, high) in torchvision_colors.RANGES.items():
        values = [value for operations, _ in draws for key, value in operations if key == name]
        # 5 standard errors of a share of 1/2 are 0.04.
        assert len(values) / 4000 == pytest.approx(0.5, abs=0.04)
        assert low <= min(values) < low + 0.01 * (high - low)
        assert high >= max(values) > high - 0.01 * (high - low)
    both = [each for each in names if {"contrast", "hue"} <= set(each)]
    first = [each.index("contrast") < each.index("hue") for each in both]
    assert np.mean(first) == pytest.approx(0.5, abs=0.08)
    # Half of them are not permuted, and a sixth of the others are permuted into their own order.
    same = [tuple(channels) == (0, 1, 2) for _, channels in draws]
    assert np.mean(same) == pytest.approx(7 / 12, abs=0.04)
    assert torchvision_colors.distort(np.uint8([[(1, 2, 3)]]), [], [2, 0, 1]).tolist() == [
        [[3, 1, 2]]
    ]


def drawn(arm, records, start_step=0, count=3, seed=5):
    """The first batches of an arm, as arrays."""
    read = pipeline.record_batches
    ours = learning_arms.install(arm)
    # No more is read: a thread would still make samples in Python while its iterator is destroyed.
    pipeline.record_batches = lambda *args, **options: read(*args, **options).take(count)
    try:
        source = caching.opened([Manifest.load(records)], OPTIONS.reading)
        batches = pipeline.batches(
            source, OPTIONS, input_size=64, batch_size=4, seed=seed, start_step=start_step
        )
        return [tf.nest.map_structure(lambda value: value.numpy(), b) for b in batches]
    finally:
        pipeline.batches, pipeline.record_batches = ours, read


def assert_equal(one, other):
    for name, value in one._asdict().items():
        np.testing.assert_array_equal(value, other._asdict()[name], err_msg=name)


@pytest.mark.parametrize("arm", learning_arms.FLAGS)
def test_a_resumed_run_has_the_samples_that_it_would_have_had(arm, tiny_records):
    batches = drawn(arm, tiny_records)
    [second] = drawn(arm, tiny_records, start_step=1, count=1)
    assert_equal(batches[1], second)
    [other] = drawn(arm, tiny_records, count=1, seed=6)
    assert (other.images != batches[0].images).any()
    assert batches[0].images.shape == (4, 64, 64, 3)


def test_all_arms_see_the_records_in_one_order(tiny_records):
    indices = [
        [b.indices.tolist() for b in drawn(arm, tiny_records)] for arm in learning_arms.FLAGS
    ]
    assert indices[0] == indices[1] == indices[2]


def test_what_the_arms_make_is_left_alone_by_the_step(tiny_records):
    for arm in ("torchvision", "original"):
        [batch] = drawn(arm, tiny_records, count=1)
        np.testing.assert_array_equal(batch.color, [color.IDENTITY] * 4)
    assert not batch.mirrored.any()
    assert batch.rectangles.tolist() == [[0, 0, 64, 64]] * 4
    assert batch.boxes.shape == (4, 8, 4)


def test_torchvisions_colours_are_those_of_the_part_that_is_seen(tiny_records, monkeypatch):
    """The window, its place and the mirroring are the package's own."""
    monkeypatch.setattr(torchvision_colors, "distort", lambda image, *_: 255 - image)
    with_colors = drawn("torchvision", tiny_records)
    for ours, theirs in zip(drawn("ours", tiny_records), with_colors):
        for i in range(4):
            ymin, xmin, ymax, xmax = ours.rectangles[i]
            if ours.mirrored[i]:
                xmin, xmax = 64 - xmax, 64 - xmin
            expected = ours.images[i].copy()
            expected[ymin:ymax, xmin:xmax] = 255 - expected[ymin:ymax, xmin:xmax]
            np.testing.assert_array_equal(theirs.images[i], expected)


def test_the_twins_boxes_end_where_colours_change(monkeypatch):
    """A red rectangle on grey, in 200 samples; the canvas is grey, too."""
    monkeypatch.setattr(original_twin, "draw_colors", lambda random: [0, 1, 1, 0, 1])
    pixels = np.full([120, 160, 3], 128, np.uint8)
    pixels[30:90, 40:100] = 220, 20, 20
    box = np.array([[30 / 120, 40 / 160, 90 / 120, 100 / 160]])
    random, count = np.random.default_rng(0), 0
    for _ in range(200):
        sample, boxes, kept = learning_arms.twin_sample(
            random, pixels, box, 300, FramingOptions(), "bilinear"
        )
        if kept[0]:
            red = np.int_(sample)[..., 0] - sample[..., 1] > 100
            rows, columns = red.any(1).nonzero()[0], red.any(0).nonzero()[0]
            seen = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
            np.testing.assert_allclose(boxes[0] * 300, seen, atol=1.5)
            count += 1
    assert count > 120


def test_the_table_says_what_differs_by_more_than_seeds_do():
    def scores(*values):
        return [{"voc07_map": value, "coco_ap": 0.3 + 0.1 * value} for value in values]

    # Every arm's standard deviation is 0.01: of a difference of means of three 0.01 · √(2/3), and
    # three of these are 0.02449.
    lines, differing = learning.table(
        {
            "ours": scores(0.80, 0.81, 0.82),
            "torchvision": scores(0.824, 0.834, 0.844),
            "original": scores(0.785, 0.775, 0.795),
        }
    )
    assert lines[1:5] == [
        "ours         voc07_map   0.8100     +0.0000  0.8000 0.8100 0.8200",
        "torchvision  voc07_map   0.8340     +0.0240  0.8240 0.8340 0.8440",
        "original     voc07_map   0.7850     -0.0250  0.7850 0.7750 0.7950",
        "             voc07_map  differences that chance makes: 0.0245",
    ]
    assert differing == ["original (voc07_map)", "original (coco_ap)"]
    lines, differing = learning.table({"ours": scores(0.8), "original": scores(0.2)})
    assert lines[3].endswith("not known from one seed") and differing == []


@pytest.mark.parametrize("name", learning.SETS)
def test_a_set_s_recipe_takes_its_changes(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    recipe, _, changes, _ = learning.SETS[name]
    for arm, more in learning_arms.FLAGS.items():
        words = [f"--flagfile=configs/{recipe}.flags", "--train_records=a", "--run_dir=b"]
        config = flags.parse(TrainConfig, ["train", *words, "--eval_records=c", *changes, *more])
        # The last evaluation is that of the last step, by which the arms are compared.
        assert config.num_steps % config.checkpoints.eval_every == 0
        semantics = "torchvision" if arm == "torchvision" else "original"
        assert config.input.framing.crop_semantics == semantics


def test_a_curve_is_made_of_the_steps_that_all_runs_have(tmp_path):
    for name, values in {"a": (0.1, 0.5, 0.8), "b": (0.3, "", 0.82)}.items():
        lines = [
            ",".join(str({"step": 50 * i, "voc07_map": value}.get(key, "")) for key in COLUMNS)
            for i, value in enumerate(values, start=1)
        ]
        (tmp_path / name).mkdir()
        (tmp_path / name / "history.csv").write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    assert learning.curve([tmp_path / "a", tmp_path / "b"], 150) == [
        "50,voc07_map,0.200,0.141,2,seeds",
        "150,voc07_map,0.810,0.014,2,seeds",
    ]


@pytest.mark.soak
def test_the_command_goes_on_where_it_was(real_data, real_weights, tmp_path):
    folders = {"SSD_TFRECORD_TEST_DATA": real_data, "SSD_TFRECORD_TEST_WEIGHTS": real_weights}
    environment = os.environ | {name: str(path) for name, path in folders.items()}
    words = [f"--output_dir={tmp_path}", "--arms=torchvision,original", "--seeds=0"]
    words = ["tests/learning.py", *words, "--num_steps=3", "--", "--checkpoint_every=1"]
    words = [sys.executable, *words, "--steps_per_loop=1", "--summary_every=1"]
    process = started(words, env=environment)
    read_until(process, "step 1/3")
    process.terminate()
    said = process.communicate()[0]
    assert process.returncode == 143 and "stopped by SIGTERM at step" in said, said

    said = subprocess.check_output(words, cwd=ROOT, env=environment, text=True)
    assert "resuming at step" in said.split("original, seed 0")[0]
    assert said.count("done at step 3") == 2
    said = subprocess.check_output(words, cwd=ROOT, env=environment, text=True)
    assert said.startswith("arm ") and "further off than chance: none" in said
