"""Every layout against the network of its authors, with random weights."""

import dataclasses
import json

import numpy as np
import published_twins
import pytest
import weight_writers

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.model.weights.published.published_model import (
    is_published,
    of_arrays,
    read_published,
)
from ssd_tfrecord.model.weights.published.published_network import network_of
from ssd_tfrecord.model.weights.published.weight_files import WeightFile

SWAPPED = [1, 0, 3, 2]
MEAN = np.float32([123, 117, 104])


@pytest.fixture(scope="module")
def state():
    """Of torchvision's ssd300_vgg16 for VOC's 20 classes."""
    return published_twins.vgg16_state(21)


@pytest.fixture(scope="module")
def imported(state):
    return of_arrays("a.pth", WeightFile("torch", state))


def assert_near(got, expected):
    """Within 1e-4 of the largest value."""
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


def run(network, images):
    return {name: found.numpy() for name, found in network(images - MEAN, training=False).items()}


def test_ssd300_gives_the_outputs_of_torchvision(state, imported):
    assert (imported.layout, imported.backbone) == ("torchvision ssd300_vgg16", "vgg16")
    assert (imported.input_size, imported.anchor_scales) == (300, "coco")
    assert (imported.aspect_ratios, imported.anchor_variant) == ("", "torchvision")
    assert imported.left == ()
    assert (imported.class_names[0], imported.class_names[-1]) == ("aeroplane", "tvmonitor")
    images = np.random.default_rng(1).uniform(0, 255, (1, 300, 300, 3)).astype(np.float32)
    offsets, logits = published_twins.vgg16(state, images)
    got = run(network_of(imported), images)
    assert logits.std() > 0.3
    assert_near(got["logits"], logits)
    assert_near(got["offsets"], offsets[..., SWAPPED])
    # The two anchors that torchvision clips; decoded without, they are 23 % too long.
    anchors = anchor_boxes(imported.anchor_options, imported.model_options.maps)[8730:] * 300
    long, short = 300, 261 / 2**0.5
    expected = [[150 - short / 2, 150 - long / 2, 150 + short / 2, 150 + long / 2]]
    expected += [[150 - long / 2, 150 - short / 2, 150 + long / 2, 150 + short / 2]]
    np.testing.assert_allclose(anchors, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("convert", "kind", "layout", "variant"),
    [
        (published_twins.amdegroot_state, "torch", "amdegroot ssd300", "amdegroot"),
        (published_twins.lufficc_state, "torch", "lufficc ssd300 vgg16", "amdegroot"),
        (published_twins.caffe_blobs, "caffe", "caffe SSD_300x300", "caffe"),
        (published_twins.keras_arrays, "keras_h5", "ssd_keras ssd300", "caffe"),
    ],
)
def test_other_layouts_hold_the_same_network(state, imported, convert, kind, layout, variant):
    arrays = convert(state)
    if "lufficc" in layout:
        # A checkpoint of its trainer.
        arrays = {f"model.{name}": array for name, array in arrays.items()}
        arrays["optimizer.state.0.momentum_buffer"] = np.zeros(3, np.float32)
    found = of_arrays("a", WeightFile(kind, arrays))
    assert (found.layout, found.anchor_variant) == (layout, variant)
    assert (found.input_size, found.anchor_scales, found.aspect_ratios) == (300, "voc", "")
    assert found.class_names == imported.class_names
    assert len(found.left) == ("lufficc" in layout)
    assert found.arrays.keys() == imported.arrays.keys()
    for layer, there in imported.arrays.items():
        for ours, theirs in zip(found.arrays[layer], there, strict=True):
            np.testing.assert_array_equal(ours, theirs, err_msg=layer)


def test_a_file_is_known_by_its_bytes(state, imported, tmp_path):
    path = tmp_path / "weights"
    weight_writers.torch_legacy(path, {"epoch": 3, "model": state})
    assert is_published(path)
    found = read_published(path)
    assert (found.layout, found.left) == (imported.layout, ())
    np.testing.assert_array_equal(found.arrays["fc7"][0], imported.arrays["fc7"][0])
    assert found.lines == [
        f"{path}: torchvision ssd300_vgg16, 20 classes, anchors coco, torchvision"
    ]
    path.write_text("weights\n")
    assert not is_published(path)
    assert not is_published(tmp_path)
    assert not is_published(tmp_path / "none")


def test_ssdlite_gives_the_outputs_of_torchvision():
    state = published_twins.ssdlite_state(91)
    imported = of_arrays("a.pth", WeightFile("torch", state))
    assert imported.backbone == "mobilenet_v3_large_reduced"
    assert (imported.input_size, imported.anchor_scales) == (320, "ssdlite")
    # Of 90 ids, ten have never been given to a class.
    assert (len(imported.class_names), imported.original_ids[-1]) == (80, 90)
    assert (imported.class_names[11], imported.original_ids[11]) == ("stop sign", 13)
    assert imported.left == ()
    images = np.random.default_rng(1).uniform(0, 255, (1, 320, 320, 3))
    # In float64, for float32 alone is up to 8e-5 away, by the kernels that TensorFlow chooses.
    state = {name: array.astype(np.float64) for name, array in state.items()}
    offsets, logits = published_twins.ssdlite(state, images)
    got = run(network_of(imported), images.astype(np.float32))
    assert logits.std() > 0.3
    assert_near(got["logits"], logits[..., [0, *imported.original_ids]])
    assert_near(got["offsets"], offsets[..., SWAPPED])


def heads(depth, anchors=published_twins.ANCHORS, maps=published_twins.MAPS):
    """Zeros for the heads of torchvision's ssd300_vgg16."""
    found = {}
    for index, (channels, number) in enumerate(zip(maps, anchors)):
        for kind, outputs in (
            (published_twins.LOGITS, number * depth),
            (published_twins.OFFSETS, number * 4),
        ):
            found[f"{kind}.{index}.weight"] = np.zeros((outputs, channels, 3, 3), np.float32)
            found[f"{kind}.{index}.bias"] = np.zeros(outputs, np.float32)
    return found


def test_classes_that_are_not_published_are_numbered_or_named_by_the_user(state):
    file = WeightFile("torch", {**state, **heads(4)})
    found = of_arrays("a.pth", file)
    assert (found.class_names, found.names_known) == (("class_1", "class_2", "class_3"), False)
    assert of_arrays("a.pth", file, ["x", "y", "z"]).class_names == ("x", "y", "z")


def test_other_aspect_ratios_are_told_by_the_heads(state):
    other = heads(3, anchors=(6, 6, 6, 6, 6, 4))
    found = of_arrays("a.pth", WeightFile("torch", {**state, **other}))
    assert found.aspect_ratios == "2,3:2,3:2,3:2,3:2,3:2"


LAST = f"{published_twins.LOGITS}.5.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"backbone.features.2.weight": None},
            "a.pth: torchvision ssd300_vgg16: backbone.features.2.weight is missing; needed for "
            "layer block1_conv2, [64, 64, 3, 3]",
        ),
        (
            {"backbone.features.0.weight": np.zeros((64, 3, 5, 5), np.float32)},
            "a.pth: torchvision ssd300_vgg16: backbone.features.0.weight has [64, 3, 5, 5]; layer "
            "block1_conv1 needs [64, 3, 3, 3]",
        ),
        (
            {"backbone.features.0.bias": np.full(64, np.nan, np.float32)},
            "a.pth: torchvision ssd300_vgg16: backbone.features.0.bias holds numbers that are not "
            "finite; layer block1_conv1 needs finite ones",
        ),
        ({LAST: None}, f"a.pth: torchvision ssd300_vgg16: {LAST} is missing; must be the kernel"),
        (
            {LAST: np.zeros((80, 256, 3, 3), np.float32)},
            f"{LAST.removesuffix('.weight')} has 80 channels; must be 4 anchors times 21 classes",
        ),
        (
            {f"{published_twins.OFFSETS}.0.weight": np.zeros((8, 512, 3, 3), np.float32)},
            "has 8 channels; must be 16 or 24, for 4 or 6 anchors of a cell",
        ),
        (
            {"backbone.scale_weight": None},
            "a.pth: of no known layout: it has 70 arrays, backbone.features.0.weight",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(state, change, message):
    changed = {name: array for name, array in {**state, **change}.items() if array is not None}
    with pytest.raises(InputError) as caught:
        of_arrays("a.pth", WeightFile("torch", changed))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_a_terminal_could_not_show_are_escaped():
    arrays = dict.fromkeys(("\ud800", "a\nb\x1b[2J"), np.zeros(3, np.float32))
    with pytest.raises(InputError, match=r"it has 2 arrays, '.ud800', 'a.nb.x1b\[2J' …; must be"):
        of_arrays("a.pth", WeightFile("torch", arrays))


def test_what_is_left_is_said(imported):
    left = dataclasses.replace(imported, left=tuple(f"x.{n}" for n in range(7)), path="a.pth")
    assert left.lines[-1] == "a.pth: 7 arrays not used: x.0, x.1, x.2, x.3, x.4, …"
    left = dataclasses.replace(imported, left=("\ud800", "\x1b[2J", "é"), path="a.pth")
    assert left.lines[-1] == r"a.pth: 3 arrays not used: '\ud800', '\x1b[2J', é"
    unknown = dataclasses.replace(imported, names_known=False, class_names=("class_1", "class_2"))
    assert "the names of its 2 classes are not known; called class_1 to class_2" in unknown.lines[1]


def test_ssd512_is_told_by_its_seventh_map(state):
    amdegroot = published_twins.amdegroot_state(state)
    amdegroot |= {
        f"{name}.{kind}": np.zeros(shape if kind == "weight" else shape[:1], np.float32)
        for name, shape in {
            "extras.8": (128, 256, 1, 1),
            "extras.9": (256, 128, 4, 4),
            **{f"conf.{k}": (21 * n, c, 3, 3) for k, n, c in ((4, 6, 256), (6, 4, 256))},
            **{f"loc.{k}": (4 * n, c, 3, 3) for k, n, c in ((4, 6, 256), (6, 4, 256))},
        }.items()
        for kind in ("weight", "bias")
    }
    found = of_arrays("a.pth", WeightFile("torch", amdegroot))
    assert (found.layout, found.input_size) == ("amdegroot ssd512", 512)
    assert found.arrays["conv10_2"][0].shape == (4, 4, 128, 256)
    # Not truncated to 35: that of the first cell, of 8 pixels.
    first = anchor_boxes(found.anchor_options, found.model_options.maps)[0] * 512
    np.testing.assert_allclose(first[2:] - first[:2], 35.84, atol=1e-3)


def told(**changes):
    """The metadata of our own export of an SSD300 for two classes."""
    metadata = {"ssd_tfrecord": "1", "anchor_scales": "voc", "aspect_ratios": ""}
    metadata["anchor_variant"] = "caffe"
    metadata["classes"] = '[{"name": "a", "original_id": 4}, {"name": "b", "original_id": 9}]'
    return metadata | changes


def test_our_own_export_says_what_it_is(state):
    file = WeightFile("safetensors", {**state, **heads(3)}, told())
    found = of_arrays("a", file)
    assert (found.class_names, found.original_ids) == (("a", "b"), (4, 9))
    assert (found.anchor_scales, found.anchor_variant) == ("voc", "caffe")


# With a no-break space, and with the joiners of Persian and Malayalam.
@pytest.mark.parametrize("name", ["a\u00a0b", "می\u200cرود", "ന\u200dമ"])
def test_words_of_any_script_name_a_class(state, name):
    classes = [{"name": name, "original_id": 4}, {"name": "b", "original_id": 9}]
    file = WeightFile("safetensors", {**state, **heads(3)}, told(classes=json.dumps(classes)))
    assert of_arrays("a", file).class_names == (name, "b")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": "[" * 9999}, "a: its metadata are damaged (RecursionError); export the model"),
        (
            {"classes": '[{"name": "a\\n", "original_id": 1}]'},
            r"damaged (class name 'a\n': must",
        ),
        (
            {"classes": '[{"name": "\\u009b", "original_id": 1}]'},
            r"(class name '\x9b': must be a",
        ),
        (
            {"classes": '[{"name": "\\ud800", "original_id": 1}]'},
            r"class name '\ud800': must be",
        ),
        (
            {"classes": '[{"name": 3, "original_id": 1}]'},
            "class name 3: must be a text without",
        ),
        ({"classes": '[{"name": "a", "original_id": "1"}]'}, "damaged (TypeError)"),
        ({"classes": '[{"name": "a", "original_id": 1}]'}, "a: has 2 classes, but 1 names"),
        ({"anchor_variant": "own"}, "a: its metadata are damaged (--anchor_variant=own: must be"),
        ({"anchor_scales": "0.1,0.2"}, "a: --anchor_scales=0.1,0.2: has 2 scales"),
    ],
)
def test_damaged_metadata_are_refused(state, changes, message):
    file = WeightFile("safetensors", {**state, **heads(3)}, told(**changes))
    with pytest.raises(InputError) as caught:
        of_arrays("a", file)
    assert message in str(caught.value)
