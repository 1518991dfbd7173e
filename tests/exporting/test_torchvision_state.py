"""A state dict that torchvision loads: its names and shapes, and the way back."""

import dataclasses
import types

import numpy as np
import published_twins
import pytest

from ssd_tfrecord.config import ExportConfig, TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting import torchvision_state
from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.model import ssd
from ssd_tfrecord.model.weights.published import weight_files
from ssd_tfrecord.model.weights.published.published_model import read_published
from ssd_tfrecord.options import AnchorOptions, DetectionOptions, ModelOptions

CONFIG = TrainConfig(
    train_records=("records",),
    run_dir="run",
    model=ModelOptions(
        backbone="mobilenet_v3_large_reduced", input_size=320, backbone_weights="none"
    ),
    anchors=AnchorOptions(anchor_scales="voc", anchor_variant="caffe"),
)
OPTIONS = DetectionOptions(score_threshold=0.2, nms_iou=0.6, max_detections=7)
EXPORT = ExportConfig(run_dir="run", output_dir="exports", format=("torchvision",))


def exportable(config=CONFIG, model=None):
    return Exportable(
        run="run",
        step=3,
        config=config,
        model=model,
        anchors=anchor_boxes(config.anchors, config.model.maps),
        class_names=("cat", "dög\u00a0\u200cx"),
        original_ids=(17, 18),
        options=OPTIONS,
        detector=None,
    )


@pytest.fixture(scope="module")
def model():
    network = ssd.build(CONFIG.model, CONFIG.anchors, 2, seed=3)
    # None as it is at first: means of 0 and variances of 1 could be exchanged.
    random = np.random.default_rng(0)
    for layer in network.layers:
        if layer.name.endswith("_BN"):
            layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return exportable(model=network)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    [file] = torchvision_state.export(model, folder, EXPORT)
    return file


def test_names_and_shapes_are_torchvisions(exported):
    assert (exported.name, exported.kind) == ("model.safetensors", "torchvision")
    held = weight_files.read(exported.path)
    expected = {
        name: array.shape
        for name, array in published_twins.ssdlite_state(3).items()
        # torchvision makes it itself.
        if not name.endswith("num_batches_tracked")
    }
    assert {name: array.shape for name, array in held.arrays.items()} == expected
    assert held.metadata["anchor_variant"] == "caffe"


def test_offsets_are_x_first_there(model, exported):
    held = weight_files.read(exported.path).arrays
    kernel, bias = model.model.get_layer("head_2_offsets").get_weights()
    theirs = held["head.regression_head.module_list.2.1.weight"]
    np.testing.assert_array_equal(theirs[4:8, :, 0, 0], kernel[0, 0].T[[5, 4, 7, 6]])
    theirs = held["head.regression_head.module_list.2.1.bias"]
    np.testing.assert_array_equal(theirs.reshape(-1, 4)[:, [1, 0, 3, 2]].ravel(), bias)


def test_read_back_it_is_the_same_model(model, exported):
    found = read_published(exported.path)
    assert (found.class_names, found.original_ids) == (("cat", "dög\u00a0\u200cx"), (17, 18))
    assert found.anchor_options == CONFIG.anchors
    assert found.backbone == CONFIG.model.backbone
    assert found.left == ()
    layers = {layer.name: layer.get_weights() for layer in model.model.layers if layer.weights}
    assert found.arrays.keys() == layers.keys()
    for name, arrays in layers.items():
        for ours, theirs in zip(arrays, found.arrays[name], strict=True):
            np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_its_runtime_is_the_detector_of_the_model(model, exported, monkeypatch):
    made = {}

    def detector(network, anchors, class_names, options, *, original_ids):
        made.update(locals())
        return types.SimpleNamespace(detect_prepared=lambda batch: [batch])

    monkeypatch.setattr(torchvision_state, "Detector", detector)
    # Building it takes seconds; its arrays are compared above.
    monkeypatch.setattr(torchvision_state, "network_of", lambda published: published)
    runtime = exported.open_fn(exported.path)
    np.testing.assert_array_equal(made["anchors"], model.anchors)
    assert (made["class_names"], made["original_ids"]) == (("cat", "dög\u00a0\u200cx"), (17, 18))
    assert made["options"] == OPTIONS
    assert made["network"].path == str(exported.path)
    assert runtime.detect(types.SimpleNamespace(prepared="image")) == ["image"]


def test_notes_say_how_to_load_it_and_which_anchors_differ(exported):
    assert exported.notes[0] == (
        "load with: model = torchvision.models.detection.ssdlite320_mobilenet_v3_large("
        "weights=None, weights_backbone=None, num_classes=3); "
        'model.load_state_dict(safetensors.torch.load_file("model.safetensors"))'
    )
    assert exported.notes[2] == (
        "3234 of 3234 anchors are not those of torchvision's ssdlite320_mobilenet_v3_large; after "
        "loading, set model.anchor_generator = torchvision.models.detection.anchor_utils."
        f"DefaultBoxGenerator({[[2.0, 3.0]] * 6}, "
        "scales=[0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05], clip=False)"
    )


@pytest.mark.parametrize(
    ("scales", "variant", "start"),
    [
        ("coco", "torchvision", None),
        ("coco", "caffe", "2 of 8732 anchors are not those of torchvision's ssd300_vgg16"),
        ("voc", "torchvision", "8732 of 8732 anchors"),
    ],
)
def test_vgg16s_anchors_are_compared_with_torchvisions(scales, variant, start):
    anchors = AnchorOptions(anchor_scales=scales, anchor_variant=variant)
    config = dataclasses.replace(CONFIG, model=ModelOptions(), anchors=anchors)
    published = AnchorOptions(anchor_scales="coco", anchor_variant="torchvision")
    notes = torchvision_state._notes(exportable(config), "ssd300_vgg16", published, False)
    assert len(notes) == (3 if start else 2)
    if start:
        assert notes[2].startswith(start)
        assert "steps=[8, 16, 32, 64, 100, 300]" in notes[2]


@pytest.mark.parametrize(
    ("options", "anchors", "message"),
    [
        (
            ModelOptions(backbone="mobilenet_v2"),
            AnchorOptions(),
            "torchvision has no SSD on mobilenet_v2 at 300 with --width=1; must be one of vgg16",
        ),
        (ModelOptions(input_size=512), AnchorOptions(), "torchvision has no SSD on vgg16 at 512"),
        (
            ModelOptions(),
            AnchorOptions(aspect_ratios="3:2,3:2,3:2,3:2:2"),
            "the run has --aspect_ratios=3:2,3:2,3:2,3:2:2",
        ),
    ],
)
def test_models_that_torchvision_lacks_are_refused(options, anchors, message, tmp_path):
    config = dataclasses.replace(CONFIG, model=options, anchors=anchors)
    with pytest.raises(InputError) as caught:
        torchvision_state.export(exportable(config), tmp_path, EXPORT)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []
