"""Errors that come before TensorFlow does."""

import dataclasses
import shutil

import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ModelOptions
from ssd_tfrecord.records.manifest import Manifest
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
