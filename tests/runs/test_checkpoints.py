"""What is saved comes back: step, weights, momenta, loss scale, classes."""

import dataclasses
import os
import re
import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from toy_checkpoints import OPTIONS, damage, dense, kernel, names, saved, steps

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.runs import checkpoints
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.training.update import optimizers

CLASSES = (ClassLabel(1, "cat", 17), ClassLabel(2, "dog", 18))


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
    kept.save_best(1, "coco_ap", 0.25)
    for step in (1, 2, 3):
        kept.save(step)
    kept.save_best(2, "coco_ap", 0.5)
    assert kept.best() == (2, {"coco_ap": 0.5})
    folder = tmp_path / "checkpoints"
    assert sorted(path.name for path in folder.glob("*.index")) == ["ckpt-2.index", "ckpt-3.index"]
    assert [path.name for path in folder.glob("best/*.index")] == ["ckpt-2.index"]


def test_other_classes_than_the_run_has(tmp_path):
    checkpoints.check_classes(tmp_path, CLASSES)
    dense(run_dir=tmp_path)[2].write_classes(CLASSES)
    checkpoints.check_classes(tmp_path, CLASSES)
    with pytest.raises(InputError, match=r"classes are \[cat\], but the run in "):
        checkpoints.check_classes(tmp_path, CLASSES[:1])
    # Ids belong to the data: a set that was converted again may have others.
    others = tuple(dataclasses.replace(item, original_id=item.id + 70) for item in CLASSES)
    checkpoints.check_classes(tmp_path, others)


def test_save_and_older_ones_go_in_an_order_that_a_power_cut_cannot_spoil(tmp_path, operations):
    _, kept = saved(tmp_path, 4, keep=1)
    operations.clear()
    kept.save(8)
    data, pid = "data-00000-of-00001", os.getpid()
    assert operations == [
        ("fsync", f"unfinished-ckpt-8.{data}"),
        ("fsync", "unfinished-ckpt-8.index"),
        ("rename", f"ckpt-8.{data}"),
        ("rename", "ckpt-8.index"),
        ("fsync", "checkpoints"),
        ("fsync", f"checkpoint.{pid}.part"),
        ("replace", "checkpoint"),
        ("fsync", "checkpoints"),
        ("unlink", "ckpt-4.index"),
        ("unlink", f"ckpt-4.{data}"),
    ]


def test_a_kill_before_any_operation_leaves_the_old_state_or_the_new_one(
    tmp_path, operations, monkeypatch
):
    """The run folder as it was before each rename, deletion and fsync, and after the last."""
    run_dir = tmp_path / "run"
    _, kept = saved(run_dir, 4, keep=1)
    kept.save_best(4, "coco_ap", 0.25)
    snapshots = []

    def snapshot():
        snapshots.append(shutil.copytree(run_dir, tmp_path / f"killed-{len(snapshots)}"))

    operations.before_fn = snapshot
    kept.save(8)
    first_of_best = len(snapshots)
    kept.save_best(8, "coco_ap", 0.5)
    snapshot()
    monkeypatch.undo()
    found = []
    for place in snapshots:
        _, other = saved(place)
        found.append((other.restore(), *other.best()))
        for folder in (place / "checkpoints", place / "checkpoints/best"):
            assert all(re.match(r"(ckpt-[48]\.|checkpoint$|best)", name) for name in names(folder))
            assert len(names(folder)) - len(steps(folder)) * 2 in (1, 2)
        assert len(steps(place / "checkpoints/best")) == 1
    old, new = {"coco_ap": 0.25}, {"coco_ap": 0.5}
    assert [item[1:] for item in found[:first_of_best]] == [(4, old)] * first_of_best
    restored = [item[0] for item in found]
    assert restored == sorted(restored)
    assert restored[first_of_best:] == [8] * (len(found) - first_of_best)
    best = [item[1:] for item in found[first_of_best:]]
    turn = best.index((8, new))
    assert best == [(4, old)] * turn + [(8, new)] * (len(best) - turn)
    assert turn > 0


def test_nothing_is_best_before_the_first_evaluation(tmp_path):
    assert saved(tmp_path, 4)[1].best() is None


def test_a_step_that_is_on_the_disk_is_not_written_again(tmp_path):
    _, kept = saved(tmp_path, 4)
    index = tmp_path / "checkpoints/ckpt-4.index"
    before = index.stat().st_mtime_ns
    kept.save(4)
    assert index.stat().st_mtime_ns == before
    damage(index.with_name("ckpt-4"), "data cut")
    kept.save(4)
    assert index.with_name("damaged-ckpt-4.index").exists()
    assert saved(tmp_path)[1].restore() == 4


def test_another_thread_saves_while_the_replicas_compute(tmp_path):
    """Two replicas are amid a call of seconds; the state is that of a moment in it."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = keras.Sequential(
            [keras.layers.Dense(1, input_shape=(1,)), keras.layers.BatchNormalization()]
        )
        optimizer = optimizers.create(OPTIONS, 100, "float32")
        optimizers.build(optimizer, model.trainable_variables)
        go_on = tf.Variable(True, trainable=False)
    kept = Checkpoints(tmp_path, model=model, optimizer=optimizer, keep=1)

    @tf.function
    def wait():
        def replica():
            turns = tf.constant(0)
            while go_on:
                turns += 1
            return turns

        return strategy.run(replica)

    paths, inside = [], []

    def save():
        time.sleep(0.5)
        inside.append(calling.is_set())
        try:
            paths.append(kept.save(4))
            inside.append(calling.is_set())
        finally:
            go_on.assign(False)

    wait.get_concrete_function()
    calling = threading.Event()
    thread = threading.Thread(target=save)
    thread.start()
    calling.set()
    wait()
    calling.clear()
    thread.join()
    assert inside == [True, True]
    assert paths == [str(tmp_path / "checkpoints/ckpt-4")]
    assert kept.restore() == 4


def test_a_save_waits_for_whoever_holds_the_lock(tmp_path):
    _, kept = saved(tmp_path)
    thread = threading.Thread(target=kept.save, args=(4,))
    with kept.lock:
        thread.start()
        thread.join(timeout=0.3)
        assert thread.is_alive()
        # The holder itself may save.
        kept.save(2)
    thread.join()
    assert steps(tmp_path / "checkpoints") == [4, 2]


def test_other_programs_restore_it_as_tensorflow_does(tmp_path):
    saved(tmp_path, 4)
    model, optimizer, _ = dense("float32", run_dir=tmp_path / "other")
    step = tf.Variable(0, dtype=tf.int64)
    state = tf.train.Checkpoint(step=step, model=model, optimizer=optimizer)
    manager = tf.train.CheckpointManager(state, str(tmp_path / "checkpoints"), max_to_keep=3)
    state.restore(manager.latest_checkpoint).assert_existing_objects_matched().assert_consumed()
    assert int(step.numpy()) == 4
    assert kernel(model) == 4


def test_checkpoints_of_tensorflows_manager_are_restored(tmp_path):
    """As earlier versions wrote them."""
    model, optimizer, kept = dense(run_dir=tmp_path)
    state = tf.train.Checkpoint(step=kept.step, model=model, optimizer=optimizer)
    manager = tf.train.CheckpointManager(state, str(tmp_path / "checkpoints"), max_to_keep=3)
    for step in (2, 4):
        kept.step.assign(step)
        model.set_weights([np.full((1, 1), float(step)), np.zeros(1)])
        manager.save(checkpoint_number=step)
    model, _, kept = dense(run_dir=tmp_path)
    assert kept.restore() == 4
    assert kernel(model) == 4
    kept.save(6)
    assert steps(tmp_path / "checkpoints") == [6, 4]


class Shifted:
    """Averages that stand in the model until they are put back, beside its weight 1."""

    def __init__(self, model):
        self._kernel = model.weights[0]
        self.state = {"dense/kernel": tf.Variable(tf.fill(self._kernel.shape, 5.0))}
        self._kernel.assign(self.state["dense/kernel"])

    def put_back(self):
        self._kernel.assign(tf.ones(self._kernel.shape))


def test_what_is_saved_are_the_weights_beside_their_averages(tmp_path):
    model, optimizer, _ = dense(run_dir=tmp_path / "other")
    kept = Checkpoints(tmp_path, model=model, optimizer=optimizer, averages=Shifted(model), keep=1)
    path = kept.save(1)
    found = {name: tf.train.load_variable(path, name) for name, _ in tf.train.list_variables(path)}
    [mean] = [value for name, value in found.items() if name.startswith("averages/")]
    assert set(mean.ravel()) == {5.0}
    [own] = [value for name, value in found.items() if re.match(r"model/.*kernel/\.ATTR", name)]
    assert set(own.ravel()) == {1.0}
