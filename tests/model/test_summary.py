import re

import pytest

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model.ssd import build
from ssd_tfrecord.model.summary import block_of, blocks_of, multiply_adds, summary_table
from ssd_tfrecord.options import AnchorOptions, ModelOptions

VGG, MOBILENET = BACKBONES["vgg16"], BACKBONES["mobilenet_v2"]
MOBILENET_V3, RESNET = BACKBONES["mobilenet_v3_large"], BACKBONES["resnet50"]


@pytest.fixture(scope="module")
def mobilenet():
    return build(ModelOptions(backbone="mobilenet_v2", width=0.35), AnchorOptions(), 2)


def columns(lines):
    """{first word of the line: its other columns}."""
    return {line.split()[0]: re.split(r"  +", line)[1:] for line in lines}


def test_the_table_adds_up_blocks():
    lines = summary_table(build(ModelOptions(), AnchorOptions(), 20), VGG).splitlines()
    rows = columns(lines)
    # 3 * 3 * 3 * 64 + 64 and 3 * 3 * 64 * 64 + 64; each kernel once for each of 300 * 300 pixels.
    assert rows["block1"] == ["300 × 300 × 64", "38,720", "3,473.3"]
    # 1 * 1 * 1024 * 256 + 256 and 3 * 3 * 256 * 512 + 512, of 19 * 19 and 10 * 10 pixels.
    assert rows["conv6"] == ["10 × 10 × 512", "1,442,560", "212.6"]
    assert rows["conv4_3_norm"] == ["38 × 38 × 512", "512", "0.0"]
    # Open Model Zoo's ssd300 has 62.8 thousand million operations: two each.
    assert rows["all"] == ["26,285,486", "31,373.5"]
    assert lines[-1].split() == ["trained", "26,285,486"]


def test_moving_averages_are_not_trained(mobilenet):
    lines = summary_table(mobilenet, MOBILENET).splitlines()
    moving = [weight for weight in mobilenet.weights if "moving" in weight.name]
    moving = sum(weight.shape.num_elements() for weight in moving)
    rows = columns(lines)
    counts = [int(rows[name][0].replace(",", "")) for name in ("all", "trained")]
    assert counts[0] - counts[1] == moving > 0
    assert len(lines) < 45


SMALL = ModelOptions(backbone="toy", input_size=64)
TOY = BACKBONES["toy"]


def test_frozen_blocks_are_marked_and_not_trained():
    model = build(SMALL, AnchorOptions(), 2)
    plain = summary_table(model, TOY)
    assert "frozen" not in plain
    for layer in blocks_of(model, TOY)["toy_8"]:
        layer.trainable = False
    model.get_layer("head_1_offsets").trainable = False
    rows, before = columns(summary_table(model, TOY).splitlines()), columns(plain.splitlines())
    # 3 * 8 + 4 * 8 parameters; 64 pixels of 24 products are 0.0 million.
    assert rows["toy_8"] == ["8 × 8 × 8", "56", "0.0", "frozen"]
    assert rows["head_1_offsets"] == [*before["head_1_offsets"], "partly frozen"]
    assert rows["toy_4"] == before["toy_4"]
    # Of toy_8 its moving averages were none before; the head has 6 * 4 channels of 8 and a bias.
    counts = [int(table["trained"][0].replace(",", "")) for table in (before, rows)]
    assert counts[0] - counts[1] == (56 - 2 * 8) + 24 * 9
    assert rows["all"] == before["all"]


def test_batch_normalisation_that_is_frozen_alone_marks_no_block():
    model = build(
        ModelOptions(backbone="toy", input_size=64, batch_norm="frozen"), AnchorOptions(), 2
    )
    assert "frozen" not in summary_table(model, TOY)


def test_batch_normalisation_is_in_the_row_of_its_convolution(mobilenet):
    blocks = blocks_of(mobilenet, MOBILENET)
    names = {block: [layer.name for layer in layers] for block, layers in blocks.items()}
    assert names["Conv1"] == ["Conv1", "bn_Conv1"]
    assert names["Conv_1"] == ["Conv_1", "Conv_1_bn"]
    assert not [name for name in names if "bn" in name.lower()]


def test_a_depthwise_convolution_multiplies_each_channel_on_its_own():
    layer = keras.layers.DepthwiseConv2D(3, strides=2, padding="same")
    layer(keras.Input((10, 10, 8)))
    assert multiply_adds(layer) == 5 * 5 * 3 * 3 * 8
    assert multiply_adds(keras.layers.ReLU()) == 0


def test_blocks_of_names():
    assert block_of("block1_conv2", VGG) == "block1"
    assert block_of("block_16_project_BN", MOBILENET) == "block_16"
    assert block_of("conv10_2", VGG) == "conv10"
    assert block_of("conv4_3_norm", VGG) == "conv4_3_norm"
    assert block_of("head_5_logits_depthwise_BN", MOBILENET) == "head_5_logits"
    assert block_of("extra_3_squeeze", MOBILENET) == "extra_3"
    assert block_of("fc6", VGG) == "fc6"
    assert block_of("expanded_conv_12_squeeze_excite_Conv_1", MOBILENET_V3) == "expanded_conv_12"
    assert block_of("expanded_conv_project_BN", MOBILENET_V3) == "expanded_conv"
    assert block_of("conv2_block1_0_BN", RESNET) == "conv2_block1"
    assert block_of("Conv_1_BN", MOBILENET_V3) == "Conv_1"
    assert block_of("conv1_BN", RESNET) == "conv1"
    assert block_of("conv10_2_BN", RESNET) == "conv10"
