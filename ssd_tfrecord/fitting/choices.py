"""The recipe for a folder: flags with the reason for each, by data, machine and weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.config import FitConfig

# Images that a run sees: as many as this for each of sqrt(images x the reference's), so that a set
# of four times the images is trained twice as long, and each of its images half as often. On two
# CPU cores the reference takes a quarter of an hour.
_REFERENCE_IMAGES = 300
_SEEN_OF_REFERENCE = 6_000
_LEAST_SEEN = 4_000
# On a GPU steps are cheap: passes over the set, within these numbers of images. The most is what
# the published recipes see, 120,000 steps of 32.
_GPU_EPOCHS = 200
_GPU_SEEN = (64_000, 3_840_000)

_CPU_BATCH, _GPU_BATCH = 16, 32


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
    config: FitConfig, material: Material, machine: Machine, size: int, step_seconds: float
) -> tuple[int, str]:
    """Number of steps, and why.

    Args:
        config: of the program.
        material: what there is to learn from.
        machine: what computes.
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
        seen = max(round(_SEEN_OF_REFERENCE * ratio), _LEAST_SEEN)
    steps = max(1, round(seen / size))
    passes = steps * size / max(1, material.num_images)
    reason = f"each image is seen about {passes:.0f} times"
    if config.max_hours:
        # The rest is for evaluations, checkpoints and the start.
        fitting = int(0.9 * 3600 * config.max_hours / step_seconds)
        if fitting < steps:
            return max(1, fitting), f"what --max_hours={config.max_hours:g} hold"
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
    separable = BACKBONES[name].has_batch_norm
    warm_up = min(500, max(1, count // 5))
    every = max(1, count // 5)
    rate = "0.01" if separable else "0.001"
    return [
        Choice(
            {"backbone": name, "input_size": str(_input_size(name))},
            f"network for {machine.name}",
        ),
        Choice(
            {"backbone_weights": weights},
            "from scratch: no pretrained weights at hand" if weights == "none" else "pretrained",
        ),
        Choice({"global_batch_size": str(size), "seed": str(config.seed)}, "images per step"),
        Choice({"num_steps": str(count)}, why),
        Choice(
            {
                "learning_rate": rate,
                "lr_schedule": "cosine",
                "warmup_steps": str(warm_up),
                "gradient_clip_norm": "10",
            },
            "new heads begin slowly; the rate falls to 0, so that the last weights are the best",
        ),
        Choice(
            {"ema_decay": f"{_ema_decay(count):g}"},
            "the average of the weights of the last tenth of the steps is what is used",
        ),
        Choice(
            {"max_expansion": "1.5"} if not machine.num_gpus else {"max_expansion": "4"},
            "zoom-out: little in a short run, as published in a long one",
        ),
        Choice(
            {
                "checkpoint_every": str(every),
                "eval_every": str(every),
                "summary_every": str(max(1, min(100, count // 30))),
                "best_metric": "coco_ap",
            },
            "five evaluations, if there are images for them",
        ),
    ]


def _input_size(name: str) -> int:
    inputs = BACKBONES[name].inputs
    return 300 if 300 in inputs else min(inputs)


def _ema_decay(steps: int) -> float:
    """The decay whose average goes back over a thirtieth of the steps, at most 0.9998."""
    return round(min(0.9998, max(0.9, 1 - 30 / max(steps, 1))), 4)
