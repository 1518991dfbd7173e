"""Jobs as a cluster starts them: two on one run folder, one that was killed, one that was moved.

All are real processes. Weights are compared bit for bit, as in ``test_killed_run``.
"""

import pathlib
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.model import ssd
from ssd_tfrecord.options import ModelOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs import checkpoints, run_folder

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


def command(place, *words):
    """Trains ``place/run`` on ``place/records``, from the weights of ``place/source``."""
    return [
        *(sys.executable, "-c", TOY, "--backbone=toy", "--input_size=64", "--num_steps=8"),
        *(f"--train_records={place}/records", f"--run_dir={place}/run"),
        *(f"--init_checkpoint={place}/source", "--global_batch_size=2", "--checkpoint_every=4"),
        *words,
    ]


def train(place, *words):
    return subprocess.run(
        command(place, *words), cwd=ROOT, capture_output=True, text=True, check=False
    )


def save_source(run_dir, classes):
    """A run of the same network, untrained."""
    options = ModelOptions(backbone="toy", input_size=64, backbone_weights="none")
    config = TrainConfig(train_records=("x",), run_dir=str(run_dir), model=options)
    run_folder.begin(config)
    model = ssd.build(options, config.anchors, len(classes))
    kept = checkpoints.Checkpoints(run_dir, model=model, optimizer=tf.train.Checkpoint(), keep=1)
    kept.write_classes(classes)
    kept.save(3)


def content(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def weights(run_dir):
    return checkpoints.load_run(str(run_dir), "last").model.get_weights()


@dataclass(frozen=True)
class Jobs:
    """What became of three jobs on one run folder; ``first`` is the number of the first."""

    place: pathlib.Path
    first: int
    refused: list[subprocess.CompletedProcess]
    touched: bool
    last: subprocess.CompletedProcess


@pytest.fixture(scope="module")
def jobs(tiny_records, tmp_path_factory):
    """The first is at work while others come, and is killed; the last ends it."""
    place = tmp_path_factory.mktemp("jobs")
    shutil.copytree(tiny_records, place / "records")
    save_source(place / "source", Manifest.load(tiny_records).classes)
    with subprocess.Popen(
        command(place), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 600
        while not (place / "run/identity.json").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # As one whose node hangs: it lives, and says nothing.
        process.send_signal(signal.SIGSTOP)
        before = content(place / "run")
        refused = [
            train(place),
            train(place, "--restart"),
            train(place, "--restart_id=7"),
        ]
        touched = content(place / "run") != before
        process.kill()
    return Jobs(place, process.pid, refused, touched, train(place))


def test_a_second_job_is_refused_at_once_even_with_restart(jobs):
    for done in jobs.refused:
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: --run_dir={jobs.place}/run: a run is going on there")
        assert f", process {jobs.first}, since 20" in done.stderr
        assert done.stderr.count("\n") == 1
    assert not jobs.touched


def test_the_folder_of_a_killed_job_is_taken_over(jobs):
    assert jobs.last.returncode == 0, jobs.last.stderr
    assert "done at step 8" in jobs.last.stdout
    assert (jobs.place / "run/lock").read_text() == ""


def test_a_run_that_was_moved_with_its_records_ends_in_the_same_weights(jobs, tmp_path):
    """From the middle, without the weights that it began with."""
    place = tmp_path / "[1] a"
    shutil.copytree(jobs.place, place, ignore=shutil.ignore_patterns("source", "ckpt-8.*"))
    done = train(place)
    assert done.returncode == 0, done.stderr
    assert "resuming at step 4" in done.stdout
    assert f"--init_checkpoint={place}/source: not found; not needed" in done.stdout + done.stderr
    for ours, theirs in zip(weights(place / "run"), weights(jobs.place / "run"), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_other_records_under_the_same_path_are_refused(jobs, tmp_path):
    place = tmp_path / "place"
    shutil.copytree(jobs.place, place)
    whole = Manifest.load(place / "records")
    halved = whole.shards[:1]
    Manifest(**{**vars(whole), "shards": halved, "num_records": halved[0].num_records}).save()
    done = train(place)
    assert done.returncode == 2
    assert (
        f"--train_records={place}/records: has other content than {jobs.place}/records had (6 "
        f"records in 2 shards -> {halved[0].num_records} records in 1 shard)"
    ) in done.stderr
