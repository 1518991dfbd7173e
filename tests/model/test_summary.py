from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.model.ssd import build
from ssd_tfrecord.model.summary import block_of, summary_table
from ssd_tfrecord.options import AnchorOptions, ModelOptions

VGG, MOBILENET = BACKBONES["vgg16"], BACKBONES["mobilenet_v2"]


def test_the_table_adds_up_blocks():
    lines = summary_table(build(ModelOptions(), AnchorOptions(), 20), VGG).splitlines()
    rows = {line.split("  ")[0]: line.split()[-1] for line in lines}
    # 3 * 3 * 3 * 64 + 64 and 3 * 3 * 64 * 64 + 64.
    assert lines[1] == "block1          300 × 300 × 64       38,720"
    # 1 * 1 * 1024 * 256 + 256 and 3 * 3 * 256 * 512 + 512.
    assert rows["conv6"] == "1,442,560"
    assert rows["conv4_3_norm"] == "512"
    assert lines[-2].split() == ["all", "26,285,486"]
    assert lines[-1].split() == ["trained", "26,285,486"]


def test_moving_averages_are_not_trained():
    model = build(ModelOptions(backbone="mobilenet_v2", width=0.35), AnchorOptions(), 2)
    lines = summary_table(model, MOBILENET).splitlines()
    moving = sum(weight.shape.num_elements() for weight in model.weights if "moving" in weight.name)
    counts = [int(line.split()[-1].replace(",", "")) for line in lines[-2:]]
    assert counts[0] - counts[1] == moving > 0
    assert len(lines) < 45


def test_blocks_of_names():
    assert block_of("block1_conv2", VGG) == "block1"
    assert block_of("block_16_project_BN", MOBILENET) == "block_16"
    assert block_of("conv10_2", VGG) == "conv10"
    assert block_of("conv4_3_norm", VGG) == "conv4_3_norm"
    assert block_of("head_5_logits_depthwise_BN", MOBILENET) == "head_5_logits"
    assert block_of("extra_3_squeeze", MOBILENET) == "extra_3"
    assert block_of("fc6", VGG) == "fc6"
