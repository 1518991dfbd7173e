"""Evaluations leave nothing behind. Measured in a process of its own, on the toy network."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]

# Prints the process's kB of memory and its seconds of CPU time, every 10 evaluations.
PROGRAM = """
import sys, time
sys.path.insert(0, "tests")
import tensorflow as tf
import toy_network
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.model import ssd
from ssd_tfrecord.options import ModelOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.logs.progress_line import host_rss_mb
from ssd_tfrecord.training.validation import Validator

toy_network.install()
records = sys.argv[1]
small = ModelOptions(backbone="toy", backbone_weights="none", input_size=64)
config = TrainConfig(
    train_records=(records,), eval_records=records, run_dir="x", model=small, global_batch_size=4
)
anchors = anchor_boxes(config.anchors, small.maps)


def new_validator():
    strategy = tf.distribute.get_strategy()
    model = ssd.build(small, config.anchors, 3)
    return Validator(model, anchors, Manifest.load(records), config, strategy)


validator = new_validator()
for number in range(int(sys.argv[2])):
    if sys.argv[3:] == ["anew"]:
        validator = new_validator()
    validator.metrics()
    validator.loss()
    validator.pictures(2)
    if number % 10 == 9:
        print(1000 * host_rss_mb(), time.process_time())
"""

# With an evaluation every 50 steps, half a kB a step.
MOST_KB = 25.0


def growth(records, num_evaluations, *words):
    """kB that an evaluation adds to the memory, and its seconds of CPU time."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(records), str(num_evaluations), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    points = np.array([line.split() for line in done.stdout.splitlines()], float)
    assert len(points) == num_evaluations // 10
    # The first evaluations trace, and fill the allocator's pools.
    memory, seconds = points[len(points) // 3 :].T
    evaluations = 10 * np.arange(len(memory))
    return np.polyfit(evaluations, memory, 1)[0], np.polyfit(evaluations, seconds, 1)[0]


# The short form has few points: what the allocator keeps back wavers by some hundred kB.
@pytest.mark.parametrize(
    ("num_evaluations", "most_kb"),
    [(90, 8 * MOST_KB), pytest.param(1500, MOST_KB, marks=pytest.mark.soak)],
)
def test_memory_does_not_grow_with_the_evaluations(tiny_records, num_evaluations, most_kb):
    kilobytes, seconds = growth(tiny_records, num_evaluations)
    print(f"{kilobytes:.2f} kB and {seconds:.3f} s of CPU time per evaluation")
    assert kilobytes < most_kb


@pytest.mark.soak
def test_a_pipeline_that_is_made_anew_is_seen(tiny_records):
    assert growth(tiny_records, 90, "anew")[0] > 8 * MOST_KB
