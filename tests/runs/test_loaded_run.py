"""A run's model is loaded from its best checkpoint, its last, or another one, if it is intact."""

import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import ssd
from ssd_tfrecord.options import AnchorOptions, ModelOptions, OptimizerOptions
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.runs import checkpoint_files, checkpoint_state, checkpoints, run_folder
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.training.update import optimizers
from ssd_tfrecord.training.update.averages import Averages

CLASSES = (ClassLabel(1, "cat", 17), ClassLabel(2, "dog", 18))
SMALL = ModelOptions(backbone="toy", backbone_weights="none", input_size=64)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a small SSD whose best checkpoint is at step 1 and the last at step 2."""
    run_dir = tmp_path_factory.mktemp("runs") / "a"
    config = TrainConfig(train_records=("x",), run_dir=str(run_dir), model=SMALL)
    run_folder.begin(config)
    model = ssd.build(SMALL, AnchorOptions(), 2)
    optimizer = optimizers.create(OptimizerOptions(), 100, "float32")
    optimizers.build(optimizer, model.trainable_variables)
    kept = Checkpoints(run_dir, model=model, optimizer=optimizer, keep=3)
    kept.write_classes(CLASSES)
    bias = model.get_layer("head_0_logits").bias
    for step in (1, 2):
        bias.assign(tf.fill(bias.shape, float(step)))
        kept.save(step) if step == 2 else kept.save_best(step, "voc07_map", 0.5)
    return run_dir


@pytest.fixture
def copy(run, tmp_path):
    """A copy of ``run``."""
    return shutil.copytree(run, tmp_path / "copy")


def cut(path):
    """Cuts the data of a checkpoint."""
    data = path.with_name(f"{path.name}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:-1000])


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


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


def test_weights_are_the_checkpoints_and_none_are_drawn_in_their_place(run, monkeypatch):
    saved = ssd.build(SMALL, AnchorOptions(), 2)
    bias = saved.get_layer("head_0_logits").bias
    bias.assign(tf.fill(bias.shape, 2.0))

    def draw(*_, **__):
        raise AssertionError("initial weights that are not used")

    monkeypatch.setattr(keras.initializers.LecunUniform, "__call__", draw)
    loaded = checkpoints.load_run(run, "last").model
    assert len(loaded.weights) == len(saved.weights) > 20
    for ours, theirs in zip(loaded.weights, saved.weights):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.name)


def test_best_falls_back_to_the_last(copy, capsys):
    shutil.rmtree(copy / "checkpoints/best")
    assert checkpoints.load_run(copy, "best").step == 2
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("wanted", "damaged", "step", "said"),
    [
        ("best", "best/ckpt-1", 2, "best/ckpt-1 is damaged (its data are cut): "),
        ("last", "ckpt-2", 1, "ckpt-2 is damaged (its data are cut): "),
    ],
)
def test_another_one_is_taken_for_a_damaged_one(copy, capsys, wanted, damaged, step, said):
    """Said on stderr; nothing is changed: the run may be training."""
    folder = copy / "checkpoints"
    cut(folder / damaged)
    (folder / "unfinished-ckpt-4_temp").mkdir()
    (folder / "ckpt-4.data-00000-of-00001").touch()
    (folder / "checkpoint").unlink()
    before = names(copy)
    loaded = checkpoints.load_run(copy, wanted)
    assert loaded.step == step
    assert set(loaded.model.get_layer("head_0_logits").bias.numpy()) == {float(step)}
    out, error = capsys.readouterr()
    taken = "taking ckpt-2" if step == 2 else "taking best/ckpt-1"
    assert out == ""
    assert f"{said}{taken}" in error
    assert names(copy) == before


def test_all_damaged_is_an_error_that_names_each(copy):
    cut(copy / "checkpoints/ckpt-2")
    (copy / "checkpoints/best/ckpt-1.index").write_bytes(b"x" * 400)
    with pytest.raises(InputError, match="every checkpoint is damaged") as caught:
        checkpoints.load_run(copy, "best")
    assert "; ckpt-2: its data are cut)" in str(caught.value)
    assert "best/ckpt-1: its index is no index" in str(caught.value)


def test_a_path_is_never_replaced_by_another_one(copy):
    path = copy / "checkpoints/ckpt-2"
    cut(path)
    with pytest.raises(InputError, match=r"--checkpoint=.*/ckpt-2: damaged \(its data are cut\);"):
        checkpoints.load_run(copy, str(path))
    assert checkpoints.split_path(path) == (str(copy.resolve()), str(path))


def test_one_that_training_deletes_meanwhile_is_not_missed(copy, monkeypatch):
    """It was there when it was chosen; then the next one has taken its place."""
    real, folder = checkpoint_state.assign, copy / "checkpoints"

    def assign(state, path):
        monkeypatch.undo()
        for item in [*folder.glob("ckpt-2.*")]:
            item.unlink()
        real(state, path)

    monkeypatch.setattr(checkpoint_state, "assign", assign)
    assert checkpoints.load_run(copy, "last").step == 1


def test_one_that_training_deletes_while_it_is_read_is_not_called_damaged(
    copy, monkeypatch, capsys
):
    real, folder = checkpoint_state.damage, copy / "checkpoints"

    def damage(path, step=None):
        monkeypatch.undo()
        for item in [*folder.glob("ckpt-2.*")]:
            item.unlink()
        return real(path, step)

    monkeypatch.setattr(checkpoint_state, "damage", damage)
    assert checkpoints.load_run(copy, "last").step == 1
    assert capsys.readouterr().err == ""


def test_folder_names_that_tensorflow_takes_for_patterns(run, tmp_path):
    odd = shutil.copytree(run, tmp_path / "a[1]*{b,c}?\\d")
    assert checkpoints.load_run(odd, "last").step == 2
    assert checkpoints.load_run(odd, str(odd / "checkpoints/best/ckpt-1")).step == 1
    assert checkpoints.load_run(*checkpoints.split_path(odd / "checkpoints")).step == 2
    # A file of such a name, beside another one.
    for item in (odd / "checkpoints").glob("ckpt-2.*"):
        item.rename(item.with_name(item.name.replace("ckpt-2", "my[2]")))
    assert checkpoints.load_run(odd, str(odd / "checkpoints/my[2]")).step == 2


def test_checkpoint_of_another_network_is_one_line(copy):
    checkpoint_files.write_classes(copy / "checkpoints", (*CLASSES, ClassLabel(3, "cow", 19)))
    with pytest.raises(
        InputError, match=r"ckpt-2: does not fit the network of the run \("
    ) as caught:
        checkpoints.load_run(copy, "last")
    assert "\n" not in str(caught.value)


def test_damaged_classes_are_one_line(copy):
    (copy / "checkpoints/classes.json").write_bytes(b"\0" * 80)
    with pytest.raises(InputError, match=r"classes\.json: cannot be read \(binary\); training"):
        checkpoints.load_run(copy)


def test_missing_checkpoints_are_named(tmp_path, run):
    with pytest.raises(InputError, match="--checkpoint=nope: not found; must be best, last or"):
        checkpoints.load_run(run, "nope")
    run_folder.begin(TrainConfig(train_records=("x",), run_dir=str(tmp_path)))
    with pytest.raises(InputError, match="checkpoints: no checkpoint yet; train until"):
        checkpoints.load_run(tmp_path, "last")


def test_run_of_a_checkpoint(copy):
    best = copy / "checkpoints" / "best" / "ckpt-1"
    assert checkpoints.split_path(best) == (str(copy.resolve()), str(best))
    assert checkpoints.split_path(copy) == (str(copy.resolve()), "best")
    # A folder of checkpoints is its last one.
    assert checkpoints.split_path(best.parent) == (str(copy.resolve()), str(best))
    last = copy / "checkpoints" / "ckpt-2"
    assert checkpoints.split_path(last.parent) == (str(copy.resolve()), str(last))


def test_the_last_in_a_folder_is_the_last_intact_one(copy):
    folder = copy / "checkpoints"
    for item in (folder / "best").glob("ckpt-1.*"):
        shutil.copy(item, folder)
    cut(folder / "ckpt-2")
    said = []
    assert checkpoints.split_path(folder, say=said.append)[1] == str(folder / "ckpt-1")
    assert re.search(r"ckpt-2 is damaged \(.*\): taking ckpt-1$", said[0])
    cut(folder / "ckpt-1")
    with pytest.raises(InputError, match="every checkpoint is damaged"):
        checkpoints.split_path(folder)


def test_folder_without_a_run_or_a_checkpoint_names_the_flag_that_was_given(copy, tmp_path):
    with pytest.raises(
        InputError, match=r"--init_checkpoint=.*: neither it .* contains flags\.txt"
    ):
        checkpoints.split_path(tmp_path)
    (copy / "train").mkdir()
    with pytest.raises(InputError, match=r"--init_checkpoint=.*/train: the folder contains no ch"):
        checkpoints.split_path(copy / "train")


def test_a_run_with_averages_is_loaded_with_them_or_without(tmp_path):
    config = TrainConfig(train_records=("x",), run_dir=str(tmp_path), model=SMALL)
    run_folder.begin(config)
    model = ssd.build(SMALL, AnchorOptions(), 2)
    averages = Averages(model, 0.9)
    # A frozen layer's weights come last in Keras's order, which must not matter.
    model.get_layer("head_0_logits").trainable = False
    kept = Checkpoints(
        tmp_path, model=model, optimizer=tf.train.Checkpoint(), averages=averages, keep=1
    )
    kept.write_classes(CLASSES)
    for number, weight in enumerate(model.weights):
        weight.assign(tf.fill(weight.shape, float(number)))
    averages.reset()
    for weight in model.weights:
        weight.assign_add(tf.ones(weight.shape))
    kept.save(1)
    own = {weight.name: weight.numpy() for weight in model.weights}
    for wanted, less in (("averaged", 1.0), ("raw", 0.0)):
        loaded = checkpoints.load_run(tmp_path, weights=wanted)
        assert loaded.averaged is (wanted == "averaged")
        for weight in loaded.model.weights:
            np.testing.assert_array_equal(weight.numpy(), own[weight.name] - less)


def test_a_run_without_averages_is_not_averaged(run):
    assert checkpoints.load_run(run).averaged is False
