"""Every recipe in configs/ parses, is whole in itself, and has the published numbers."""

import dataclasses
import pathlib
import re
import shlex

import pytest

from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.options import (
    AnchorOptions,
    CheckpointOptions,
    DetectionOptions,
    FramingOptions,
    InputOptions,
    LossOptions,
    ModelOptions,
    OptimizerOptions,
    RenderOptions,
)
from ssd_tfrecord.training.update.schedules import stretch_rates

FOLDER = pathlib.Path(__file__).parent.parent / "configs"
PATHS = sorted(FOLDER.glob("*.flags"))
README = (FOLDER / "README.md").read_text(encoding="utf-8")

# steps, input size, anchor scales, boundaries, checkpoint every, best metric. Source: the authors'
# ssd_pascal.py and ssd_coco.py, and the notebook; 07++12 as its header says.
RECIPES = {
    "ssd300_voc0712": (120_000, 300, "voc", (80_000, 100_000), 1000, "voc07_map"),
    "ssd512_voc0712": (120_000, 512, "voc", (80_000, 100_000), 1000, "voc07_map"),
    "ssd300_voc0712pp": (240_000, 300, "voc", (160_000, 200_000), 1000, "voc12_map"),
    "ssd300_coco2017": (400_000, 300, "coco", (280_000, 360_000), 1000, "coco_ap"),
    "ssd512_coco2017": (400_000, 512, "coco", (280_000, 360_000), 1000, "coco_ap"),
    "notebook_ssd300_voc0712": (80_000, 300, "voc", (60_000,), 250, "voc07_map"),
    "notebook_ssd300_coco2017": (240_000, 300, "coco", (160_000, 200_000), 250, "coco_ap"),
}

# The flags of NVIDIA's recipe that are not as in the authors'. Source: main.py, ssd/utils.py,
# ssd/coco_pipeline.py and examples/SSD300_FP32_1GPU.sh of DeepLearningExamples (729963d).
NVIDIA = "ssd300_resnet50_coco2017"
# 65 epochs, a lower rate after 43 and after 54, of the images that have objects.
NVIDIA_EPOCHS, NVIDIA_IMAGES = (65, 43, 54), 117_266

RECIPE_FLAGS = {"num_steps", "global_batch_size", "seed", "precision", "xla", "color"} | {
    field.name
    for options in (
        ModelOptions,
        AnchorOptions,
        FramingOptions,
        RenderOptions,
        LossOptions,
        OptimizerOptions,
        DetectionOptions,
        CheckpointOptions,
    )
    for field in dataclasses.fields(options)
}


def text(name):
    return (FOLDER / f"{name}.flags").read_text(encoding="ascii")


def parse(name):
    command = ["prog", f"--flagfile={FOLDER / name}.flags", "--train_records=a", "--run_dir=b"]
    return flags.parse(TrainConfig, command)


def header(path):
    """{key: text} of the lines ``# Key: text`` that a config begins with, continued or not."""
    lines = path.read_text(encoding="ascii").split("\n\n")[0].splitlines()
    entries = {"What": lines[0].removeprefix("# ")}
    for line in lines[2:]:
        if match := re.fullmatch(r"# ([A-Z][a-z-]+): +(.+)", line):
            key = match[1]
            entries[key] = match[2]
        else:
            entries[key] += " " + line.removeprefix("#").strip()
    return entries


def not_said(config):
    """The recipe's flags that have no meaning in ``config``, and may be left out."""
    out = {"lr_values"}  # the boundaries and a tenth each give them, --learning_rate scales them
    out |= {"width", "batch_norm"} if config.model.backbone == "vgg16" else set()
    out |= {"lr_boundaries"} if config.optimizer.lr_schedule == "cosine" else set()
    if config.input.framing.augmentation != "ssd":
        out |= {"crop_min_ious", "crop_trials", "crop_semantics", "max_expansion"}
    return out


def test_every_config_of_the_list_is_there_and_no_other():
    assert {path.stem for path in PATHS} == {*RECIPES, NVIDIA, "demo", "bccd"}


@pytest.mark.parametrize("name", RECIPES)
def test_numbers_are_the_published_ones(name):
    steps, size, scales, boundaries, checkpoint_every, metric = RECIPES[name]
    config = parse(name)
    assert (config.num_steps, config.global_batch_size) == (steps, 32)
    assert (config.model.input_size, config.anchors.anchor_scales) == (size, scales)
    assert (config.model.backbone, config.model.backbone_weights) == ("vgg16", "imagenet")
    assert config.optimizer.lr_boundaries == boundaries
    assert stretch_rates(config.optimizer) == pytest.approx(
        (1e-3, 1e-4, 1e-5)[: len(boundaries) + 1]
    )
    assert (config.optimizer.optimizer, config.optimizer.lr_schedule) == ("sgd", "steps")
    assert (config.optimizer.momentum, config.optimizer.weight_decay) == (0.9, 5e-4)
    assert (config.optimizer.warmup_steps, config.optimizer.gradient_clip_norm) == (0, 0)
    assert config.loss == LossOptions(box_loss="smooth_l1", box_loss_weight=1, negative_ratio=3)
    assert config.input == InputOptions()
    assert config.input.framing == FramingOptions(
        "ssd", (0.1, 0.3, 0.5, 0.7, 0.9), "original", 50, 4.0, 0.0
    )
    assert config.detection == DetectionOptions(0.01, 0.45, 400, 200)
    assert config.checkpoints.checkpoint_every == checkpoint_every
    assert config.checkpoints.best_metric == metric
    assert (config.devices.precision, config.xla) == ("float32", False)


@pytest.mark.parametrize("name", RECIPES)
def test_spelt_aspect_ratios_are_the_published_ones(name):
    config = parse(name)
    size, scales = config.model.input_size, config.anchors.anchor_scales
    # Empty, so that published weights that it may begin with bring their own.
    assert config.anchors.anchor_variant == ""
    published = anchor_boxes(AnchorOptions(anchor_scales=scales), config.model.maps)
    assert len(published) == {300: 8732, 512: 24564}[size]
    assert (anchor_boxes(config.anchors, config.model.maps) == published).all()


def test_the_recipe_of_resnet50_is_nvidias():
    config = parse(NVIDIA)
    epochs = [count * NVIDIA_IMAGES / 32 for count in NVIDIA_EPOCHS]
    steps = (config.num_steps, *config.optimizer.lr_boundaries)
    assert steps == pytest.approx(epochs, abs=50)
    assert config.global_batch_size == 32
    assert (config.model.backbone, config.model.input_size) == ("resnet50", 300)
    assert (config.model.backbone_weights, config.model.batch_norm) == ("imagenet", "sync")
    anchors = AnchorOptions(anchor_scales="coco", anchor_variant="amdegroot")
    expected = anchor_boxes(anchors, config.model.maps)
    assert (anchor_boxes(config.anchors, config.model.maps) == expected).all()
    assert stretch_rates(config.optimizer) == pytest.approx((2.6e-3, 2.6e-4, 2.6e-5))
    assert (config.optimizer.momentum, config.optimizer.weight_decay) == (0.9, 5e-4)
    assert (config.optimizer.warmup_steps, config.optimizer.gradient_clip_norm) == (300, 0)
    assert config.loss == LossOptions()
    assert config.input.framing == FramingOptions(max_expansion=1.0)
    assert config.detection == DetectionOptions(0.05, 0.5, 200, 200)
    assert config.checkpoints.best_metric == "coco_ap"
    entries = header(FOLDER / f"{NVIDIA}.flags")
    # Published: 20:20:13 in float32, 10:23:46 in mixed precision.
    assert entries["Hours"].startswith("about 20.3 on one V100 GPU of 16 GB in float32, 10.4 ")
    assert "0.250" in entries["Score"] and "github.com/NVIDIA/" in entries["Source"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_config_is_whole_in_itself(path):
    given = re.findall(r"^--(\w+)=", text(path.stem), re.MULTILINE)
    assert "flagfile" not in given
    assert len(given) == len(set(given)), "a flag given twice: the last one wins without a word"
    assert RECIPE_FLAGS - set(given) - not_said(parse(path.stem)) == set()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_config_names_no_place_of_one_machine(path):
    places = {"train_records", "eval_records", "run_dir", "init_checkpoint", "num_workers"}
    assert places & set(re.findall(r"^--(\w+)", text(path.stem), re.MULTILINE)) == set()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_header_says_command_hours_score_and_warm_up(path):
    entries = header(path)
    assert {"What", "Command", "Hours", "Score", "Warm-up"} <= set(entries)
    assert re.search(r"GPU|GTX|cores", entries["Hours"])
    assert re.search(r"arXiv|measured|Measured|target", entries["Score"] + entries["Hours"])
    assert entries["Warm-up"].startswith("none") == (parse(path.stem).optimizer.warmup_steps == 0)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_command_of_the_header_parses(path, monkeypatch):
    monkeypatch.chdir(FOLDER.parent)
    python, module, name, *words = shlex.split(header(path)["Command"])
    assert (python, module, name) == ("python", "-m", "ssd_tfrecord.train")
    assert f"--flagfile=configs/{path.name}" in words
    config = flags.parse(TrainConfig, [name, *words])
    assert config.train_records and config.run_dir
    given = parse(path.stem)
    assert config.optimizer == given.optimizer
    assert config.model == given.model


@pytest.mark.parametrize("name", RECIPES)
def test_hours_follow_from_the_published_rate(name):
    """32 images/s of SSD300-VGG16 on a GTX 1080 Ti (SSD.TensorFlow); SSD512 by its pixels."""
    config = parse(name)
    rate = 32 / (config.model.input_size / 300) ** 2
    hours = config.num_steps * config.global_batch_size / rate / 3600
    said = header(FOLDER / f"{name}.flags")["Hours"]
    assert said.startswith(f"about {hours:.0f} on one GTX 1080 Ti. Estimated: ")
    assert f"{config.num_steps * config.global_batch_size:,} images" in said


def test_the_table_of_recipes_agrees_with_their_files():
    rows = re.findall(r"^\| \[`(\w+)`\]\((\w+)\.flags\) \|(.+)\|$", README, re.MULTILINE)
    assert {name for name, _, _ in rows} == {path.stem for path in PATHS}
    for name, file, row in rows:
        assert name == file
        network, steps, hours, score, source, here = (cell.strip() for cell in row.split("|"))
        config, entries = parse(name), header(FOLDER / f"{name}.flags")
        count = config.num_steps // 1000
        assert (
            steps == f"{f'{count}k' if count else config.num_steps} of {config.global_batch_size}"
        )
        assert network.startswith(f"SSD{config.model.input_size}, ")
        assert entries["Hours"].removeprefix("about ").startswith(re.match(r"[\d.]+", hours)[0])
        for number in re.findall(r"0\.\d\d+", score.split("mAP")[-1].split("AP")[-1]):
            assert number in entries["Score"], (name, number)
        measured = source == "our own"
        assert here.startswith("no") != measured
        assert ("measured" in entries["Score"]) == measured, name
