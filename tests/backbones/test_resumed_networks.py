"""Runs of the real networks that go on end with the weights of one that was never stopped."""

import pytest
from toy_training import assert_same_weights

from ssd_tfrecord import programs
from ssd_tfrecord.detection.detector import Detector

pytestmark = pytest.mark.soak


def train(records, run_dir, num_steps, network):
    words = ["train", f"--train_records={records}", f"--run_dir={run_dir}", *network]
    settings = ["--backbone_weights=none", "--global_batch_size=2", "--learning_rate=0.0001"]
    assert programs.run("train", [*words, *settings, f"--num_steps={num_steps}"]) == 0


@pytest.mark.parametrize(
    ("backbone", "size", "width"),
    [
        ("mobilenet_v2", 320, 0.1),
        ("mobilenet_v2", 512, 0.1),
        ("mobilenet_v3_large", 320, 0.1),
        ("mobilenet_v3_large", 512, 0.1),
        ("mobilenet_v3_large_reduced", 320, 0.1),
        ("resnet50", 300, 1),
        ("resnet50", 512, 1),
    ],
)
def test_a_run_that_goes_on_equals_one_at_a_stretch(tiny_records, tmp_path, backbone, size, width):
    network = (f"--backbone={backbone}", f"--input_size={size}", f"--width={width}")
    train(tiny_records, tmp_path / "whole", 3, network)
    train(tiny_records, tmp_path / "parts", 1, network)
    train(tiny_records, tmp_path / "parts", 3, network)
    assert_same_weights(tmp_path / "parts", tmp_path / "whole")
    assert Detector.load(tmp_path / "parts", "last").input_size == size
