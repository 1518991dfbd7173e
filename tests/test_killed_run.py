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

from ssd_tfrecord.training import checkpoints

ROOT = pathlib.Path(__file__).parents[1]


def command(records, run_dir):
    return [
        *(sys.executable, "-m", "ssd_tfrecord.train"),
        *(f"--train_records={records}", f"--run_dir={run_dir}"),
        *("--backbone=mobilenet_v2", "--width=0.1", "--backbone_weights=none"),
        *("--num_steps=14", "--global_batch_size=4", "--steps_per_loop=1", "--summary_every=1"),
        *("--checkpoint_every=2", "--warmup_steps=3"),
    ]


def train(words):
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def weights(run_dir):
    return checkpoints.load_run(str(run_dir), "last").model.get_weights()


@pytest.mark.slow
def test_weights_after_a_kill_are_those_of_an_unbroken_run(tiny_records, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(command(tiny_records, whole))
    process = subprocess.Popen(
        command(tiny_records, killed),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    # Six records: steps 4 and 6 end in the middle of an epoch.
    while not (killed / "checkpoints" / "ckpt-6.index").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    said = train(command(tiny_records, killed))
    step = int(said.split("going on from step ")[1].split()[0])
    # Killed between a checkpoint and its entry in the list, a run goes on from the one before.
    assert 4 <= step < 14
    for ours, theirs in zip(weights(killed), weights(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
