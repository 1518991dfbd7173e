"""The facts of the backbones: that they are true, and that help and README tell them."""

import pathlib

import pytest

from ssd_tfrecord import flags
from ssd_tfrecord.backbones import BACKBONES, comparison
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.model import ssd, summary
from ssd_tfrecord.options import AnchorOptions, ModelOptions

README = pathlib.Path(__file__).parents[2] / "configs" / "README.md"

NETWORKS = [(name, size) for name, backbone in BACKBONES.items() for size in backbone.costs]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param(*network, marks=[] if network == ("vgg16", 300) else pytest.mark.soak)
        for network in NETWORKS
    ],
)
def test_parameters_and_multiply_adds_are_the_networks(name, size):
    model = ssd.build(ModelOptions(backbone=name, input_size=size), AnchorOptions(), 20)
    cost = BACKBONES[name].costs[size]
    trained = sum(weight.shape.num_elements() for weight in model.trainable_weights)
    assert cost.parameters == pytest.approx(trained / 1e6, abs=0.005)
    products = sum(map(summary.multiply_adds, model.layers))
    assert cost.multiply_adds == pytest.approx(products / 1e9, rel=0.005)


def test_every_backbone_says_what_it_is_for_and_costs_at_every_size():
    ours = {name: backbone for name, backbone in BACKBONES.items() if name != "toy"}
    assert len(ours) == 5
    for backbone in ours.values():
        assert backbone.purpose
        assert backbone.costs.keys() == backbone.inputs.keys()
        for cost in backbone.costs.values():
            # Backwards twice as many products as forwards.
            assert 2 * cost.detection_ms < cost.training_ms


def test_help_says_what_each_is_for():
    text = " ".join(flags.help_text(TrainConfig).split())
    for name, backbone in BACKBONES.items():
        assert f"{name}: {backbone.purpose} (at " in text or name == "toy"
    assert "toy: " not in text


def test_the_table_has_a_row_for_each_network():
    _, _, *rows = comparison.backbones_table().splitlines()
    assert len(rows) == len(NETWORKS)
    assert rows[0].startswith("| `vgg16` | 300 | 26.29 M | 31.4 G | ")
    assert rows[1].startswith("|  | 512 | ")


def test_the_table_of_the_readme_is_this_one():
    assert comparison.backbones_table() in README.read_text(encoding="utf-8")
