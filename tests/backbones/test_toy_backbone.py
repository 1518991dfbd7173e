"""A backbone is data: one that is named in one place is an option, a network, a run.

``toy_network`` names it, as a file of ours would: with inputs of 300 pixels and of 64.
"""

import numpy as np
import pytest
from toy_network import SSD64

from ssd_tfrecord import flags, programs
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.detection.detector import Detector
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.options import AnchorOptions, ModelOptions

TOY = ("--backbone=toy", "--input_size=64", "--backbone_weights=none")


def test_help_and_errors_know_it():
    text = " ".join(flags.help_text(TrainConfig).split())
    assert "mobilenet_v3_large_reduced, toy)" in text
    with pytest.raises(InputError, match="--input_size=512: must be 300 or 64 for toy"):
        ModelOptions(backbone="toy", input_size=512)
    with pytest.raises(InputError, match="--width=2: must be 1 for toy"):
        ModelOptions(backbone="toy", width=2.0)
    message = "--anchor_scales=0.1,0.5: has 2 scales; --input_size=64 needs 3, one per feat"
    with pytest.raises(InputError, match=message):
        AnchorOptions(anchor_scales="0.1,0.5").check_maps(SSD64)


def test_its_anchors_are_of_its_maps():
    boxes = anchor_boxes(AnchorOptions(), SSD64)
    assert boxes.shape == (8 * 8 * 4 + 4 * 4 * 6, 4)
    # The first cell's middle is (4, 4), its first square 13 pixels wide.
    np.testing.assert_allclose(boxes[0] * 64, [-2.5, -2.5, 10.5, 10.5])


def test_it_trains_two_steps_and_is_saved_and_loaded(tiny_records, tmp_path, capsys):
    run_dir = tmp_path / "run"
    words = ["train", f"--train_records={tiny_records}", f"--run_dir={run_dir}", *TOY]
    assert programs.run("train", [*words, "--num_steps=2", "--global_batch_size=2"]) == 0
    printed = capsys.readouterr().out
    assert "toy_8" in printed and "head_1_logits" in printed
    detector = Detector.load(run_dir, "last")
    assert (detector.step, detector.input_size) == (2, 64)
    (found,) = detector.detect([np.zeros([50, 80, 3], np.uint8)])
    assert (found.height, found.width) == (50, 80)
    assert 0 < len(found.labels) <= 200
