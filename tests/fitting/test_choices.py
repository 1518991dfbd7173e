"""The recipe by data, machine and weights."""

import pytest

from ssd_tfrecord import flags
from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.config import FitConfig
from ssd_tfrecord.fitting import choices, recipe_file
from ssd_tfrecord.fitting.choices import Machine, Material

CPU, GPU, EIGHT = Machine(0, 2), Machine(1, 16), Machine(8, 64)


def config_of(*words):
    return flags.parse(FitConfig, ["fit", "in", "--output_dir=out", *words])


@pytest.mark.parametrize(
    ("machine", "weights", "of_file", "words", "wanted"),
    [
        (CPU, "imagenet", "", (), "mobilenet_v2"),
        (CPU, "none", "", (), "mobilenet_v2"),
        (GPU, "imagenet", "", (), "vgg16"),
        (GPU, "none", "", (), "resnet50"),
        (GPU, "x.h5", "mobilenet_v2", (), "mobilenet_v2"),
        (GPU, "none", "", ("--backbone=vgg16",), "vgg16"),
    ],
)
def test_backbone(machine, weights, of_file, words, wanted):
    assert choices.backbone(config_of(*words), machine, weights, of_file) == wanted


@pytest.mark.parametrize(
    ("machine", "words", "wanted"),
    [
        (CPU, (), 16),
        (GPU, (), 32),
        (EIGHT, (), 32),
        (Machine(3, 8), (), 33),
        (CPU, ("--global_batch_size=5",), 5),
    ],
)
def test_batch_size(machine, words, wanted):
    assert choices.batch_size(config_of(*words), machine) == wanted


@pytest.mark.parametrize(
    ("machine", "images", "weights", "words", "wanted"),
    [
        # 18,000 images for 300 images, twice as many for four times the images.
        (CPU, 300, "imagenet", (), 1125),
        (CPU, 1200, "imagenet", (), 2250),
        (CPU, 10, "imagenet", (), 562),
        (CPU, 300, "none", (), 2000),
        # 200 passes.
        (GPU, 1000, "imagenet", (), 6_250),
        (GPU, 10, "none", (), 2_000),
        (GPU, 118_000, "imagenet", (), 120_000),
        (CPU, 300, "none", ("--num_steps=7",), 7),
        # A tenth of the hour is for evaluations: 3,240 s of steps of 10 s.
        (CPU, 300, "none", ("--max_hours=1",), 324),
        (CPU, 300, "none", ("--max_hours=9",), 2000),
        (CPU, 300, "none", ("--max_hours=0.0001",), 1),
    ],
)
def test_num_steps(machine, images, weights, words, wanted):
    size = choices.batch_size(config_of(), machine)
    steps, _ = choices.num_steps(
        config_of(*words), Material(images, 3), machine, weights, size=size, step_seconds=10.0
    )
    assert steps == wanted


@pytest.mark.parametrize(
    ("machine", "weights", "wanted"),
    [
        (CPU, "imagenet", ("Conv1|expanded_conv|block_[1-5]", 1.0)),
        (CPU, "none", ("", 0.35)),
        (GPU, "imagenet", ("", 1.0)),
        (GPU, "none", ("", 1.0)),
    ],
)
def test_what_a_cpu_spares(machine, weights, wanted):
    chosen = choices.recipe(
        config_of(), machine, "mobilenet_v2", weights, size=16, steps=(9, "because")
    )
    config = recipe_file.parsed(chosen, ["--train_records=a", "--run_dir=b"])
    assert (config.optimizer.freeze, config.model.width) == wanted


@pytest.mark.parametrize("machine", [CPU, GPU, EIGHT])
@pytest.mark.parametrize("steps", [1, 2, 375, 240_000])
@pytest.mark.parametrize("backbone", ["mobilenet_v2", "mobilenet_v3_large", "resnet50", "vgg16"])
def test_every_recipe_is_one_that_the_trainer_takes(machine, steps, backbone, tmp_path):
    chosen = choices.recipe(
        config_of("--seed=3"), machine, backbone, "none", size=32, steps=(steps, "because")
    )
    words = ["--train_records=a", "--run_dir=b"]
    config = recipe_file.parsed(chosen, words)
    assert (config.num_steps, config.global_batch_size, config.seed) == (steps, 32, 3)
    assert config.model.input_size in BACKBONES[backbone].inputs
    assert config.optimizer.warmup_steps <= steps
    # SSD300 on VGG-16 is published with 0.001; batch normalisation bears a hundred times that.
    rates = {"vgg16": 0.001, "resnet50": 0.03, "mobilenet_v2": 0.1}
    assert config.optimizer.learning_rate == rates.get(backbone, 0.1)
    recipe_file.write(tmp_path / "recipe.flags", chosen, ["train", "--run_dir=my run"])
    text = (tmp_path / "recipe.flags").read_text()
    assert "# ssd-tfrecord train '--run_dir=my run'\n" in text
    assert "\n# because.\n" in text
    again = flags.parse(type(config), ["train", f"--flagfile={tmp_path}/recipe.flags", *words])
    assert again == config
