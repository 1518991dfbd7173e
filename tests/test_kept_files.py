"""Records, checkpoints and run folders that an earlier version made: every later one takes them.

``kept/`` was made by version 0.1.0 at commit d2ec31f, on Python 3.11 and TensorFlow 2.15: four
images of VOC XML, one object of which leaves its image, converted with ``--classes=auto
--num_shards=2``, and two steps of MobileNetV2 with ``--width=0.1 --global_batch_size=2``. Then
every variable of the checkpoint was given one value, made from its name: a file of 2 MB that packs
to 20 kB, in which a weight that went to another place shows.
"""

import pathlib
import shutil
import zlib

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord import programs
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.detection.recorded import read_ground_truths
from ssd_tfrecord.options import InputOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs import checkpoints, run_folder
from ssd_tfrecord.training import run_state
from ssd_tfrecord.training.logs.voice import Voice

KEPT = pathlib.Path(__file__).parent / "kept"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A copy of the files in the current folder, as they were made: paths in it are relative."""
    shutil.copytree(KEPT, tmp_path / "kept")
    monkeypatch.chdir(tmp_path / "kept")


def value_of(name):
    return np.float32(zlib.crc32(name.encode()) / 2**32)


def assert_values(variables):
    for variable in variables:
        got = variable.numpy()
        np.testing.assert_array_equal(got, np.full_like(got, value_of(variable.name)))


def test_records_are_whole_and_say_what_they_said(kept, capsys):
    assert programs.run("inspect", ["inspect", "--records=records/set", "--verify"]) == 0
    assert "intact: checksums, counts and all records are correct" in capsys.readouterr().out
    manifest = Manifest.load("records/set")
    assert (manifest.num_records, manifest.num_objects) == (4, 4)
    assert manifest.class_names == ("cat", "dog")
    assert manifest.rejects == {"beyond_tolerance": 1}
    truths = {truth.source_id: truth for truth in read_ground_truths(manifest)}
    np.testing.assert_allclose(
        truths["VOC2007/000004"].boxes, [[6 / 54, 18 / 72, 48 / 54, 1]], rtol=1e-6
    )


def test_records_are_trained_on_in_the_order_they_were(kept):
    reader = RecordReader([Manifest.load("records/set")])
    batches = pipeline.batches(reader, InputOptions(), input_size=300, batch_size=2, seed=0)
    taken = list(batches.take(4).as_numpy_iterator())
    assert [batch.indices.tolist() for batch in taken] == [[3, 0], [1, 2], [3, 1], [2, 0]]
    sums = [int(batch.images.astype(np.int64).sum()) for batch in taken]
    assert sums == [56820752, 37372914, 62664822, 26649420]


def test_a_converter_takes_the_same_set_for_the_same(kept, capsys):
    """Without --overwrite, the set that is there is left alone."""
    words = ["--voc_root=VOCdevkit", "--sets=2007_trainval", "--output_dir=records/set"]
    assert programs.run("convert-voc", ["convert-voc", *words]) == 2
    assert "records/set: already holds a record set" in capsys.readouterr().err


def test_every_weight_of_the_checkpoint_is_in_its_place():
    run = checkpoints.load_run(KEPT / "runs/run", "best")
    assert (run.step, run.class_names) == (2, ("cat", "dog"))
    assert len(run.model.variables) > 300
    assert_values(run.model.variables)


def test_a_run_resumes_with_its_optimizer(kept):
    config = run_folder.read_config("runs/run")
    run_folder.check(config)
    classes = Manifest.load("records/set").classes
    state = run_state.create(config, classes, tf.distribute.get_strategy(), Voice())
    assert state.step == 2
    assert int(state.learner.optimizer.iterations.numpy()) == 2
    assert_values(state.learner.model.variables)
    momenta = [variable for variable in state.learner.optimizer.variables if variable.shape.rank]
    assert len(momenta) == len(state.learner.model.trainable_variables)
    assert_values(momenta)


@pytest.mark.soak
def test_the_same_command_finds_the_run_done(kept, capsys):
    assert programs.run("train", ["train", "--flagfile=runs/run/flags.txt"]) == 0
    assert "done at step 2" in capsys.readouterr().out
