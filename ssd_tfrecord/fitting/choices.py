"""The recipe for a folder: flags with the reason for each, by data, machine and weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.config import FitConfig

# Images that a run sees on a CPU, for a set of 300; of one of four times the images, twice as many,
# so that each of its images is seen half as often. From scratch it takes longer, and the network is
# smaller. Of 300 blood smears, both took less than 30 CPU minutes.
_REFERENCE_IMAGES = 300
_SEEN_PRETRAINED, _SEEN_FROM_SCRATCH = 18_000, 32_000
# Of MobileNetV2 from scratch on a CPU: its step takes 0.4 of that of width 1.
_SMALL_WIDTH = "0.35"
# On a GPU steps are cheap: passes over the set, within these numbers of images. The most is what
# the published recipes see, 120,000 steps of 32.
_GPU_EPOCHS = 200
_GPU_SEEN = (64_000, 3_840_000)

_CPU_BATCH, _GPU_BATCH = 16, 32

# Pretrained layers that are not trained on a CPU: of MobileNetV2 those that see edges and colours,
# which hold for other images, too (a step of 16 images takes 1.1 CPU s instead of 1.65); of VGG-16
# all but fc6 and fc7, as layers that begin at random may spoil them (``model.weights.pretrained``).
_FROZEN = {"mobilenet_v2": "Conv1|expanded_conv|block_[1-5]", "vgg16": "block[1-5]"}

# Learning rates. After 375 steps of 16 on 205 blood smears, MobileNetV2's COCO AP on 87 others was
# 0.46 with 0.01, 0.53 with 0.03, 0.56 with 0.08 and 0.58 with 0.2; from scratch it learned faster
# with 0.1 than with 0.3. VGG-16, without batch normalisation, has the published one; ResNet-50 one
# between, not measured.
_RATE, _OTHER_RATES = "0.1", {"resnet50": "0.03", "vgg16": "0.001"}


@dataclass(frozen=True)
class Material:
    """What there is to learn from: training images, and classes without the background."""

    num_images: int
    num_classes: int


@dataclass(frozen=True)
class Machine:
    """What computes: GPUs, or without any the CPU's cores."""

    num_gpus: int
    num_cores: int

    @property
    def name(self) -> str:
        """In a few words."""
        if self.num_gpus:
            return "1 GPU" if self.num_gpus == 1 else f"{self.num_gpus} GPUs"
        return "1 CPU core" if self.num_cores == 1 else f"{self.num_cores} CPU cores"


@dataclass(frozen=True)
class Choice:
    """Flags that belong together, {name: text}, and why they are so."""

    flags: Mapping[str, str]
    reason: str


def backbone(config: FitConfig, machine: Machine, weights: str, of_file: str) -> str:
    """Which backbone to train.

    Args:
        config: of the program.
        machine: what computes.
        weights: as ``weights_choice.find`` returns them.
        of_file: the backbone whose weights a file holds; "" if that is not known.
    """
    if config.backbone != "auto":
        return config.backbone
    if of_file:
        return of_file
    if not machine.num_gpus:
        return "mobilenet_v2"
    # Without pretrained weights VGG-16, which has no batch normalisation, hardly begins to learn.
    return "resnet50" if weights == "none" else "vgg16"


def batch_size(config: FitConfig, machine: Machine) -> int:
    """Images per step, over all GPUs."""
    if config.global_batch_size:
        return config.global_batch_size
    if not machine.num_gpus:
        return _CPU_BATCH
    return math.ceil(_GPU_BATCH / machine.num_gpus) * machine.num_gpus


def num_steps(
    config: FitConfig,
    material: Material,
    machine: Machine,
    weights: str,
    *,
    size: int,
    step_seconds: float,
) -> tuple[int, str]:
    """Number of steps, and why.

    Args:
        config: of the program.
        material: what there is to learn from.
        machine: what computes.
        weights: value of --backbone_weights.
        size: images per step.
        step_seconds: of one step.
    """
    if config.num_steps:
        return config.num_steps, "as asked for"
    if machine.num_gpus:
        least, most = _GPU_SEEN
        seen = min(max(_GPU_EPOCHS * material.num_images, least), most)
    else:
        ratio = math.sqrt(material.num_images / _REFERENCE_IMAGES)
        of_reference = _SEEN_FROM_SCRATCH if weights == "none" else _SEEN_PRETRAINED
        seen = round(of_reference * max(0.5, ratio))
    steps = max(1, round(seen / size))
    passes = steps * size / max(1, material.num_images)
    reason = f"each image is seen about {passes:.0f} times"
    if config.max_hours:
        # The rest is for evaluations, checkpoints and the start.
        fitting = int(0.9 * 3600 * config.max_hours / step_seconds)
        if fitting < steps:
            return max(1, fitting), f"as many as fit into --max_hours={config.max_hours:g}"
    return steps, reason


def recipe(
    config: FitConfig,
    machine: Machine,
    name: str,
    weights: str,
    *,
    size: int,
    steps: tuple[int, str],
) -> list[Choice]:
    """The flags of the training, without those of the anchors.

    Args:
        config: of the program.
        machine: what computes.
        name: of the backbone.
        weights: value of --backbone_weights.
        size: images per step.
        steps: number of steps, and why.
    """
    count, why = steps
    warm_up = min(500, max(1, count // 10))
    every = max(1, count // 5)
    from_scratch = weights == "none"
    small = from_scratch and name == "mobilenet_v2" and not machine.num_gpus
    frozen = "" if from_scratch or machine.num_gpus else _FROZEN.get(name, "")
    start = [Choice({"backbone_weights": weights}, "pretrained")]
    if from_scratch:
        start = [
            Choice(
                {"backbone_weights": "none"},
                "from scratch, as asked for"
                if config.backbone_weights == "none"
                else "from scratch: no pretrained weights at hand",
            )
        ]
    if small:
        start.append(
            Choice(
                {"width": _SMALL_WIDTH, "weight_decay": "0.0001"},
                "a small network: in the same time it sees two and a half times as many images",
            )
        )
    if frozen:
        start.append(
            Choice(
                {"freeze": frozen},
                "pretrained layers that hold for other images stay as they are: a step takes less",
            )
        )
    return [
        Choice(
            {"backbone": name, "input_size": str(_input_size(name))},
            f"network for {machine.name}",
        ),
        *start,
        Choice({"global_batch_size": str(size)}, "images per step"),
        Choice({"seed": str(config.seed)}, "of everything random"),
        Choice({"num_steps": str(count)}, why),
        Choice(
            {
                "learning_rate": _OTHER_RATES.get(name, _RATE),
                "lr_schedule": "cosine",
                "warmup_steps": str(warm_up),
                "gradient_clip_norm": "10",
            },
            "new heads begin slowly; the rate falls to 0, so that the last weights are the best",
        ),
        Choice(
            {"ema_decay": f"{_ema_decay(count):g}"},
            "an average of the weights over a thirtieth of the steps is what is used",
        ),
        Choice(
            {"max_expansion": "1.5"} if not machine.num_gpus else {"max_expansion": "4"},
            "zoom-out: 4 as published, less in a short run",
        ),
        Choice(
            {
                "checkpoint_every": str(every),
                "eval_every": str(every),
                "summary_every": str(max(1, min(100, count // 30))),
                "best_metric": "coco_ap",
            },
            "five checkpoints; at each an evaluation, if a set is held out (--eval_records)",
        ),
    ]


def _input_size(name: str) -> int:
    inputs = BACKBONES[name].inputs
    return 300 if 300 in inputs else min(inputs)


def _ema_decay(steps: int) -> float:
    """The decay whose average goes back over a thirtieth of the steps, at most 0.9998."""
    return round(min(0.9998, max(0.9, 1 - 30 / max(steps, 1))), 4)
