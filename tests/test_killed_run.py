"""A training that is killed, really, and started again ends in the very weights of one that is not.

Bit for bit: on the CPU, in float32, with the same number of threads.
"""

import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ssd_tfrecord.runs import checkpoints

ROOT = pathlib.Path(__file__).parents[1]


# The trainer's command, of which the toy is the network.
TOY = """
import sys
sys.path.insert(0, "tests")
import toy_network
from ssd_tfrecord import programs
toy_network.install()
sys.exit(programs.run('train'))
"""


TOY_FLAGS = ("--backbone=toy", "--input_size=64")
REAL_FLAGS = ("--backbone=mobilenet_v2", "--width=0.1")


def command(program, records, run_dir):
    network = TOY_FLAGS if "-c" in program else REAL_FLAGS
    return [
        *(sys.executable, *program, f"--train_records={records}", f"--run_dir={run_dir}"),
        *(*network, "--backbone_weights=none"),
        *("--num_steps=14", "--global_batch_size=4", "--steps_per_loop=1", "--summary_every=1"),
        *("--checkpoint_every=2", "--warmup_steps=3"),
    ]


def train(words):
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def weights(run_dir):
    return checkpoints.load_run(str(run_dir), "last").model.get_weights()


@pytest.mark.parametrize(
    ("program", "steps"),
    [
        pytest.param(("-c", TOY), (4,), id="toy"),
        pytest.param(
            ("-m", "ssd_tfrecord.train"), range(2, 14, 2), marks=pytest.mark.soak, id="MobileNetV2"
        ),
    ],
)
def test_weights_after_kills_are_those_of_an_unbroken_run(tiny_records, tmp_path, program, steps):
    """Killed at the checkpoints of ``steps``: of six records, 4 and 8 are amid an epoch."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(command(program, tiny_records, whole))
    for step in steps:
        kill(command(program, tiny_records, killed), killed / "checkpoints" / f"ckpt-{step}.index")
    said = train(command(program, tiny_records, killed))
    resumed = int(said.split("resuming at step ")[1].split()[0])
    # Killed between a checkpoint and its entry in the list, a run goes on from the one before.
    assert steps[-1] - 2 <= resumed < 14
    for ours, theirs in zip(weights(killed), weights(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def kill(words, checkpoint):
    """Kills the command as soon as the file ``checkpoint`` is there."""
    process = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 600
    while not checkpoint.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
