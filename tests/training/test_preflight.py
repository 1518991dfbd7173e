"""Errors that come before TensorFlow does."""

import dataclasses
import shutil

import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ModelOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs import run_folder
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
            "--init_checkpoint=runs/none: not found; must be a run folder or a checkpoint",
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
