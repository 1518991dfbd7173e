"""Trainings as processes, on a network that starts in seconds, for tests of how they end."""

import fcntl
import pathlib
import shutil
import subprocess
import sys

import numpy as np

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
TOY_PROGRAM = ("-c", TOY)
REAL_PROGRAM = ("-m", "ssd_tfrecord.train")

NUM_STEPS = 14


def command(records, run_dir, *flags, program=TOY_PROGRAM):
    """The words of a training of 14 steps, with a checkpoint after every second."""
    network = ("--backbone=toy", "--input_size=64")
    if program == REAL_PROGRAM:
        network = ("--backbone=mobilenet_v2", "--width=0.1")
    return [
        *(sys.executable, *program, f"--train_records={records}", f"--run_dir={run_dir}"),
        *(*network, "--backbone_weights=none"),
        *(f"--num_steps={NUM_STEPS}", "--global_batch_size=4", "--steps_per_loop=1"),
        *("--summary_every=1", "--checkpoint_every=2", "--warmup_steps=3", *flags),
    ]


def train(words, code=0):
    """Runs a command to its end, with the exit code ``code``; returns what it printed."""
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def whole(folder, records):
    """The run of ``command`` that nobody has touched: trained by the first that asks.

    Args:
        folder: of all that share it, in whatever process.
        records: folder of the record set.

    Returns:
        Its run folder, to be read and copied.
    """
    run_dir, complete = folder / "whole/run", folder / "whole/complete"
    with open(folder / "whole.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(run_dir, ignore_errors=True)
            train(command(records, run_dir))
            complete.touch()
    return run_dir


def started(words, **settings):
    """The process of a command, whose output, errors included, is a pipe of text."""
    return subprocess.Popen(
        words,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **settings,
    )


def read_until(process, words):
    """Reads lines of a process up to the first that contains ``words``; returns them all."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError(f"never said {words!r}: {''.join(lines)}")


def weights(run_dir):
    """The weights of the last checkpoint."""
    return checkpoints.load_run(str(run_dir), "last").model.get_weights()


def assert_same_weights(run_dir, other):
    """Bit for bit: on the CPU, in float32, with the same number of threads."""
    for ours, theirs in zip(weights(run_dir), weights(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)
