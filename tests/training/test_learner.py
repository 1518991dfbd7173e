"""What a network begins with."""

import dataclasses

import numpy as np
import toy_published

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.model import ssd
from ssd_tfrecord.options import AnchorOptions, ModelOptions
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.training import learner

CONFIG = TrainConfig(
    train_records=("records",),
    run_dir="run",
    model=ModelOptions(backbone="toy", input_size=64, backbone_weights="none"),
    anchors=AnchorOptions(anchor_variant="torchvision"),
)


def test_a_published_model_gives_its_weights_by_layer_and_class(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    published = toy_published.install(monkeypatch, path)
    config = dataclasses.replace(CONFIG, init_checkpoint=str(path))
    classes = (ClassLabel(1, "person", 1), ClassLabel(2, "emu", 2))
    network = ssd.build(config.model, config.anchors, 2, seed=1)
    lines = learner.first_weights(network, classes, config)
    assert lines == [
        f"init checkpoint: {path}: torchvision toy, 3 classes, anchors voc, torchvision",
        f"init checkpoint: {path}: 1 arrays not used: optimizer.step",
        f"init checkpoint: {len(published.arrays)} layers copied",
        "class outputs copied: background, person",
        "class outputs initialised at random: emu",
    ]
    for name, arrays in published.arrays.items():
        if not name.endswith("_logits"):
            for ours, theirs in zip(network.get_layer(name).get_weights(), arrays):
                np.testing.assert_array_equal(ours, theirs, err_msg=name)
    # Of each anchor's four channels, the background's and the third class's.
    kernel = network.get_layer("head_0_logits").get_weights()[0]
    theirs = published.arrays["head_0_logits"][0]
    np.testing.assert_array_equal(kernel[..., 0::3], theirs[..., 0::4])
    np.testing.assert_array_equal(kernel[..., 1::3], theirs[..., 3::4])


def test_other_anchors_than_the_weights_have_are_said(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    toy_published.install(monkeypatch, path, anchor_scales="0.1,0.3,0.9")
    config = dataclasses.replace(
        CONFIG, init_checkpoint=str(path), anchors=AnchorOptions(anchor_variant="caffe")
    )
    classes = tuple(ClassLabel(n, name, n) for n, name in enumerate(toy_published.CLASSES, 1))
    network = ssd.build(config.model, config.anchors, 3)
    assert (
        "--anchor_scales=0.1,0.3,0.9 --anchor_variant=torchvision would"
        in (learner.first_weights(network, classes, config)[-1])
    )
