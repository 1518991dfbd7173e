"""Errors that come before TensorFlow does."""

import dataclasses
import os
import shutil
import sys

import pytest
import toy_published

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.devices import onednn
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import AnchorOptions, DeviceOptions, ModelOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs import identity, run_folder
from ssd_tfrecord.training import preflight

CONFIG = TrainConfig(train_records=("nowhere",), run_dir="run")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (CONFIG, "nowhere: no manifest.json"),
        (
            dataclasses.replace(CONFIG, model=ModelOptions(backbone_weights="vgg.h5")),
            "--backbone_weights=vgg.h5: no such file; must be imagenet, none or a file",
        ),
        (
            dataclasses.replace(CONFIG, init_checkpoint="runs/none"),
            "--init_checkpoint=runs/none: not found; must be a run folder, a checkpoint in it",
        ),
    ],
)
def test_what_is_not_there_is_named(config, message):
    with pytest.raises(InputError) as error:
        preflight.check(config)
    assert message in str(error.value)


def test_backbone_weights_are_not_needed_where_another_run_gives_them(tiny_records, tiny_run):
    config = TrainConfig(
        train_records=(str(tiny_records),),
        run_dir="run",
        init_checkpoint=str(tiny_run),
        model=ModelOptions(backbone_weights="gone.h5"),
    )
    [manifest], _ = preflight.check(config)
    assert manifest.num_records == 6


@pytest.mark.parametrize(
    "weights",
    [{"model": ModelOptions(backbone_weights="gone.h5")}, {"init_checkpoint": "gone/run"}],
    ids=["file", "checkpoint"],
)
def test_start_weights_are_not_needed_by_a_run_that_has_a_checkpoint(
    tiny_records, tmp_path, weights
):
    config = TrainConfig(train_records=(str(tiny_records),), run_dir=str(tmp_path), **weights)
    run_folder.begin(config)
    with pytest.raises(InputError, match="gone"):
        preflight.check(config)
    (tmp_path / "checkpoints").mkdir()
    for suffix in ("index", "data-00000-of-00001"):
        (tmp_path / f"checkpoints/ckpt-2.{suffix}").touch()
    assert preflight.check(config)[0][0].num_records == 6
    with pytest.raises(InputError, match="gone"):
        preflight.check(dataclasses.replace(config, restart=True))


def test_sets_without_any_object_are_refused(tiny_records, tmp_path):
    empty = tmp_path / "empty"
    shutil.copytree(tiny_records, empty)
    manifest = dataclasses.replace(Manifest.load(empty), num_objects=0)
    manifest.save()
    config = TrainConfig(train_records=(str(empty),), run_dir="run")
    with pytest.raises(InputError, match="empty: no image has an object; nothing can be learnt"):
        preflight.check(config)
    # Backgrounds beside images with objects are usual.
    both = dataclasses.replace(config, train_records=(str(empty), str(tiny_records)))
    assert len(preflight.check(both)[0]) == 2


def variant(config):
    return preflight.resolved(config).anchors.anchor_variant


def test_the_anchor_variant_is_that_of_the_start_weights(tiny_run, tmp_path, monkeypatch):
    assert variant(CONFIG) == "caffe"
    path = tmp_path / "a.pth"
    toy_published.install(monkeypatch, path)
    config = dataclasses.replace(CONFIG, init_checkpoint=str(path))
    assert variant(config) == "torchvision"
    given = dataclasses.replace(config, anchors=AnchorOptions(anchor_variant="caffe"))
    assert preflight.resolved(given).anchors == given.anchors
    # Of another run, too.
    run_folder.begin(preflight.resolved(dataclasses.replace(config, run_dir=str(tmp_path / "a"))))
    other = dataclasses.replace(CONFIG, init_checkpoint=str(tmp_path / "a"))
    assert variant(other) == "torchvision"
    assert variant(dataclasses.replace(CONFIG, init_checkpoint=str(tiny_run))) == "caffe"
    with pytest.raises(InputError, match="--init_checkpoint=gone: not found"):
        variant(dataclasses.replace(CONFIG, init_checkpoint="gone"))


def test_a_run_that_resumes_keeps_its_variant_when_its_start_weights_are_gone(
    tmp_path, monkeypatch
):
    path = tmp_path / "a.pth"
    toy_published.install(monkeypatch, path)
    config = dataclasses.replace(CONFIG, run_dir=str(tmp_path / "run"), init_checkpoint=str(path))
    run_folder.begin(preflight.resolved(config))
    (tmp_path / "run/checkpoints").mkdir()
    for suffix in ("index", "data-00000-of-00001"):
        (tmp_path / f"run/checkpoints/ckpt-2.{suffix}").touch()
    path.unlink()
    assert variant(config) == "torchvision"
    run_folder.check(preflight.resolved(config))
    (tmp_path / "run/identity.json").write_text("{")
    assert variant(config) == "torchvision"
    with pytest.raises(InputError, match="not found"):
        variant(dataclasses.replace(config, restart=True))


def test_published_weights_must_be_of_the_runs_backbone(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    toy_published.install(monkeypatch, path)
    config = dataclasses.replace(CONFIG, init_checkpoint=str(path))
    with pytest.raises(InputError) as error:
        preflight.check(config)
    assert str(error.value) == (
        f"--init_checkpoint={path}: torchvision toy has --backbone=toy and --width=1; the run must "
        "have the same"
    )
    same = ModelOptions(backbone="toy")
    with pytest.raises(InputError, match=r"nowhere: no manifest\.json"):
        preflight.check(dataclasses.replace(config, model=same))


def test_a_run_keeps_the_batch_size_that_auto_found(tmp_path):
    """From its first line on, with or without a checkpoint; also as a number of an earlier run."""
    auto = dataclasses.replace(CONFIG, run_dir=str(tmp_path / "run"), global_batch_size=0)
    assert preflight.resolved(auto).global_batch_size == 0
    found = dataclasses.replace(preflight.resolved(auto), global_batch_size=48)
    run_folder.begin(found, identity.of_flags(found))
    again = preflight.resolved(auto)
    assert again.global_batch_size == 48
    run_folder.check(again)
    # Of a run that an earlier version has begun, flags.txt tells.
    (tmp_path / "run/identity.json").unlink()
    assert preflight.resolved(auto).global_batch_size == 48
    # A run that begins afresh finds its own.
    for afresh in ({"restart": True}, {"restart_id": "7"}):
        new = dataclasses.replace(auto, **afresh)
        assert preflight.resolved(new).global_batch_size == 0
    (tmp_path / "run/restarting").touch()
    assert preflight.resolved(auto).global_batch_size == 0


def test_a_run_that_resumes_keeps_its_kernels(tmp_path, monkeypatch):
    """As in a process that has not imported TensorFlow."""
    monkeypatch.delitem(sys.modules, "tensorflow")

    def chosen(**changes):
        # Also what the next call would find, had TensorFlow been imported in another process.
        monkeypatch.delenv(onednn.VARIABLE, raising=False)
        given = dataclasses.replace(config, **changes)
        found = preflight.resolved(given).devices.onednn
        assert os.environ[onednn.VARIABLE] == {"on": "1", "off": "0"}[found]
        return found

    config = dataclasses.replace(CONFIG, run_dir=str(tmp_path / "run"))
    assert chosen() == "on"
    run_folder.begin(dataclasses.replace(config, devices=DeviceOptions(onednn="off")))
    assert chosen() == "off"
    # A change is allowed: it is "means".
    assert chosen(devices=DeviceOptions(onednn="on")) == "on"
    run_folder.check(dataclasses.replace(config, devices=DeviceOptions(onednn="on")))
    assert chosen(restart=True) == "on"
    (tmp_path / "run/flags.txt").unlink()
    assert chosen() == "on"
    monkeypatch.setenv(onednn.VARIABLE, "0")
    assert preflight.resolved(config).devices.onednn == "off"
