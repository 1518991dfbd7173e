"""Runs that begin with the weights of others."""

import dataclasses

import pytest
import toy_published

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import AnchorOptions
from ssd_tfrecord.runs import published_start, run_folder, start_weights


def test_the_variant_is_that_of_the_weights(tiny_run, tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    toy_published.install(monkeypatch, path)
    assert published_start.anchor_variant(str(path)) == "torchvision"
    # Made before there were variants.
    assert published_start.anchor_variant(str(tiny_run)) == "caffe"


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("weights\n")
    assert not published_start.is_published(str(path))
    with pytest.raises(InputError) as caught:
        run_folder.run_of_checkpoint(path)
    assert str(caught.value) == (
        f"--init_checkpoint={path}: not the weights of a program that is known; must be a run "
        "folder, a checkpoint in it (…/checkpoints/ckpt-N), or the file of a published model "
        "(.pth, .safetensors, .caffemodel, .h5)"
    )
    with pytest.raises(InputError, match=f"--init_checkpoint={path}: .*must be weights of torch"):
        published_start.read(str(path))


def test_a_cut_file_is_said_to_be_cut(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(b"PK\x03\x04" + bytes(1000))
    with pytest.raises(InputError, match=f"--init_checkpoint={path}: .*may be cut"):
        published_start.anchor_variant(str(path))


def test_flags_that_would_make_the_anchors_equal_are_named():
    own = AnchorOptions(anchor_variant="caffe")
    theirs = AnchorOptions(
        anchor_scales="coco", aspect_ratios="2:2:2:2:2:2", anchor_variant="torchvision"
    )
    assert published_start.other_anchors(theirs, own) == [
        "init checkpoint: was trained with other anchors than this run has; --anchor_scales=coco "
        "--aspect_ratios=2:2:2:2:2:2 --anchor_variant=torchvision would make them the same, so "
        "that the heads need not be learnt anew"
    ]
    # Of an earlier run, whose variant was caffe's.
    assert published_start.other_anchors(AnchorOptions(), own) == []


def test_a_file_is_known_by_its_content(tmp_path):
    config = TrainConfig(
        train_records=("records",), run_dir="run", init_checkpoint=str(tmp_path / "a.pth")
    )
    (tmp_path / "a.pth").write_bytes(b"weights")
    began = start_weights.named_by(config)
    assert len(began.digest) == 64
    assert (began.checkpoint, began.is_file) == ("", True)
    moved = dataclasses.replace(config, init_checkpoint=str(tmp_path / "b.pth"))
    (tmp_path / "a.pth").rename(tmp_path / "b.pth")
    assert start_weights.change(began, start_weights.named_by(moved)) == ("", "")
    # Gone: the run has its own checkpoints.
    wrong, note = start_weights.change(began, start_weights.named_by(config))
    assert (wrong, "not needed" in note) == ("", True)
    (tmp_path / "b.pth").write_bytes(b"others")
    wrong, _ = start_weights.change(began, start_weights.named_by(moved))
    assert "has other content than the file that the run began with" in wrong
