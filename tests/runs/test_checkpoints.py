"""What is saved comes back: step, weights, momenta, loss scale, classes."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import ssd
from ssd_tfrecord.options import AnchorOptions, ModelOptions, OptimizerOptions
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.runs import checkpoints, run_folder
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.training import optimizers

OPTIONS = OptimizerOptions(learning_rate=0.1)
CLASSES = (ClassLabel(1, "cat", 17), ClassLabel(2, "dog", 18))
SMALL = ModelOptions(backbone="toy", backbone_weights="none")


def dense(precision="mixed_float16", keep=2, *, run_dir):
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(1,), kernel_initializer="ones")])
    optimizer = optimizers.create(OPTIONS, 100, precision)
    optimizers.build(optimizer, model.trainable_variables)
    return model, optimizer, Checkpoints(run_dir, model=model, optimizer=optimizer, keep=keep)


def update(model, optimizer, gradient):
    variables = model.trainable_variables
    gradients = [tf.fill(variable.shape, gradient) for variable in variables]
    optimizers.apply_gradients(optimizer, gradients, variables, OPTIONS)


def test_restored_run_takes_the_same_next_step(tmp_path):
    model, optimizer, kept = dense(run_dir=tmp_path)
    for gradient in (1.0, np.inf, 2.0):  # the overflow halves the loss scale
        update(model, optimizer, gradient)
    assert kept.save(3).endswith("checkpoints/ckpt-3")
    other_model, other_optimizer, other_kept = dense(run_dir=tmp_path)
    assert other_kept.restore() == 3
    assert float(other_optimizer.loss_scale) == float(optimizer.loss_scale) == 2.0**14
    assert int(other_optimizer.iterations.numpy()) == 3
    update(model, optimizer, 0.5)
    update(other_model, other_optimizer, 0.5)
    np.testing.assert_array_equal(model.get_weights()[0], other_model.get_weights()[0])


def test_nothing_to_restore_is_step_zero(tmp_path):
    assert dense(run_dir=tmp_path)[2].restore() == 0


def test_last_ones_are_kept_beside_the_best(tmp_path):
    kept = dense(run_dir=tmp_path)[2]
    kept.save_best(1)
    for step in (1, 2, 3):
        kept.save(step)
    kept.save_best(2)
    folder = tmp_path / "checkpoints"
    assert sorted(path.name for path in folder.glob("*.index")) == ["ckpt-2.index", "ckpt-3.index"]
    assert [path.name for path in folder.glob("best/*.index")] == ["ckpt-2.index"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a small SSD whose best checkpoint is at step 1 and the last at step 2."""
    run_dir = tmp_path_factory.mktemp("runs") / "a"
    config = TrainConfig(train_records=("x",), run_dir=str(run_dir), model=SMALL)
    run_folder.begin(config)
    model = ssd.build(SMALL, AnchorOptions(), 2)
    optimizer = optimizers.create(OPTIONS, 100, "float32")
    optimizers.build(optimizer, model.trainable_variables)
    kept = Checkpoints(run_dir, model=model, optimizer=optimizer, keep=3)
    kept.write_classes(CLASSES)
    bias = model.get_layer("head_0_logits").bias
    for step, save in ((1, kept.save_best), (2, kept.save)):
        bias.assign(tf.fill(bias.shape, float(step)))
        save(step)
    return run_dir


@pytest.mark.parametrize(
    ("checkpoint", "step"), [("best", 1), ("last", 2), ("checkpoints/ckpt-2", 2)]
)
def test_run_is_loaded_whole(run, monkeypatch, checkpoint, step):
    monkeypatch.chdir(run)
    loaded = checkpoints.load_run(run, checkpoint)
    assert loaded.step == step
    assert loaded.class_names == ("cat", "dog")
    assert loaded.original_ids == (17, 18)
    assert loaded.config.model == SMALL
    assert set(loaded.model.get_layer("head_0_logits").bias.numpy()) == {float(step)}


def test_best_falls_back_to_the_last(tmp_path, run):
    run_folder.begin(TrainConfig(train_records=("x",), run_dir=str(tmp_path), model=SMALL))
    model = ssd.build(SMALL, AnchorOptions(), 2)
    kept = Checkpoints(tmp_path, model=model, optimizer=tf.train.Checkpoint(), keep=1)
    kept.write_classes(CLASSES)
    kept.save(7)
    assert checkpoints.load_run(tmp_path, "best").step == 7


def test_missing_checkpoints_are_named(tmp_path, run):
    with pytest.raises(InputError, match="--checkpoint=nope: not found; must be best, last or"):
        checkpoints.load_run(run, "nope")
    run_folder.begin(TrainConfig(train_records=("x",), run_dir=str(tmp_path)))
    with pytest.raises(InputError, match="checkpoints: no checkpoint yet; train until"):
        checkpoints.load_run(tmp_path, "last")


def test_run_of_a_checkpoint(run, tmp_path):
    best = run / "checkpoints" / "best" / "ckpt-1"
    assert checkpoints.split_path(best) == (str(run.resolve()), str(best))
    assert checkpoints.split_path(run) == (str(run.resolve()), "best")
    # A folder of checkpoints is its last one.
    assert checkpoints.split_path(best.parent) == (str(run.resolve()), str(best))
    last = run / "checkpoints" / "ckpt-2"
    assert checkpoints.split_path(last.parent) == (str(run.resolve()), str(last))


def test_folder_without_a_run_or_a_checkpoint_names_the_flag_that_was_given(run, tmp_path):
    with pytest.raises(
        InputError, match=r"--init_checkpoint=.*: neither it .* contains flags\.txt"
    ):
        checkpoints.split_path(tmp_path)
    (run / "train").mkdir()
    with pytest.raises(InputError, match=r"--init_checkpoint=.*/train: the folder contains no ch"):
        checkpoints.split_path(run / "train")


def test_other_classes_than_the_run_has(tmp_path):
    checkpoints.check_classes(tmp_path, CLASSES)
    dense(run_dir=tmp_path)[2].write_classes(CLASSES)
    checkpoints.check_classes(tmp_path, CLASSES)
    with pytest.raises(InputError, match=r"classes are \[cat\], but the run in "):
        checkpoints.check_classes(tmp_path, CLASSES[:1])
    # Ids belong to the data: a set that was converted again may have others.
    others = tuple(dataclasses.replace(item, original_id=item.id + 70) for item in CLASSES)
    checkpoints.check_classes(tmp_path, others)
