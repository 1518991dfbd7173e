import numpy as np
import pytest

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.ssd import build
from ssd_tfrecord.model.weights.transfer import transfer
from ssd_tfrecord.options import AnchorOptions, ModelOptions

SMALL = ModelOptions(backbone="mobilenet_v2", width=0.35)


@pytest.fixture(scope="module")
def source():
    model = build(SMALL, AnchorOptions(), 3, seed=1)
    for index in range(6):
        layer = model.get_layer(f"head_{index}_logits")
        layer.bias.assign(np.arange(layer.bias.shape[0]))
    return model


def test_logits_go_over_by_class_name_and_everything_else_by_layer(source):
    target = build(SMALL, AnchorOptions(), 2, seed=2)
    fresh = {layer.name: layer.get_weights() for layer in target.layers}
    report = transfer(
        source, ["cat", "dog", "cow"], target, ["cow", "emu"], BACKBONES["mobilenet_v2"]
    )
    assert report == [
        f"init checkpoint: {sum(bool(layer.weights) for layer in target.layers)} layers copied",
        "class outputs copied: background, cow",
        "class outputs initialised at random: emu",
    ]
    for layer in target.layers:
        if layer.weights and not layer.name.endswith("_logits"):
            for got, expected in zip(layer.weights, source.get_layer(layer.name).weights):
                np.testing.assert_array_equal(got, expected, err_msg=layer.name)
    layer = target.get_layer("head_1_logits")
    # Six anchors; the source holds 4 logits each, cow the last; emu's bias is 0 as built.
    expected = [row for anchor in range(6) for row in (4 * anchor, 4 * anchor + 3, 0)]
    np.testing.assert_array_equal(layer.bias, expected)
    kernel, old = layer.kernel.numpy(), source.get_layer("head_1_logits").kernel.numpy()
    np.testing.assert_array_equal(kernel[..., 3 * 5 + 1], old[..., 4 * 5 + 3])
    np.testing.assert_array_equal(kernel[..., 3 * 5], old[..., 4 * 5])
    np.testing.assert_array_equal(kernel[..., 3 * 5 + 2], fresh["head_1_logits"][0][..., 3 * 5 + 2])


def test_heads_with_other_anchors_start_fresh(source):
    target = build(SMALL, AnchorOptions(aspect_ratios="2,3:2,3:2,3:2,3:2:2"), 3, seed=2)
    report = transfer(source, ["a", "b", "c"], target, ["a", "b", "c"], BACKBONES["mobilenet_v2"])
    assert report[1:] == [
        "class outputs copied: background, a, b, c",
        "initialised at random: head_0_logits, head_0_offsets",
    ]
    layer = target.get_layer("head_0_logits")
    np.testing.assert_array_equal(layer.bias, np.zeros(6 * 4))
    layer = target.get_layer("head_1_logits")
    np.testing.assert_array_equal(layer.bias, np.arange(6 * 4))


def test_ssd300_starts_ssd512():
    source = build(ModelOptions(), AnchorOptions(), 1, seed=1)
    target = build(ModelOptions(input_size=512), AnchorOptions(), 1, seed=2)
    report = transfer(source, ["a"], target, ["a"], BACKBONES["vgg16"])
    assert report[-1] == (
        "initialised at random: conv10, head_4_logits, head_6_logits, head_4_offsets, "
        "head_6_offsets"
    )
    for name in ("block5_conv1", "fc6", "conv9_2", "head_3_offsets"):
        np.testing.assert_array_equal(
            target.get_layer(name).kernel, source.get_layer(name).kernel, err_msg=name
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ModelOptions(),
            "--init_checkpoint: ssd300_mobilenet_v2 has no layer block1_conv1, which ssd300_vgg16 "
            "has; both must have the same --backbone",
        ),
        (
            ModelOptions(backbone="mobilenet_v2", width=0.5),
            "--init_checkpoint: layer block_1_project has [(1, 1, 48, 8)]; must be "
            "[(1, 1, 48, 16)]; both runs must have the same --backbone and --width",
        ),
    ],
    ids=["backbone", "width"],
)
def test_another_backbone_is_an_error(source, options, message):
    target = build(options, AnchorOptions(), 3)
    before = target.get_weights()
    with pytest.raises(InputError) as caught:
        transfer(source, ["a", "b", "c"], target, ["a", "b", "c"], BACKBONES[options.backbone])
    assert str(caught.value) == message
    for old, new in zip(before, target.get_weights()):
        np.testing.assert_array_equal(old, new)
