"""What optimizer, devices and checkpoints can be told."""

from dataclasses import dataclass
from itertools import pairwise

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options.option import Options, flag_text, option


@dataclass(frozen=True)
class OptimizerOptions(Options):
    """Optimizer and learning rate."""

    optimizer: str = option(
        "sgd",
        "sgd with momentum and Caffe's coupled weight decay; sgdw, lamb and novograd come from "
        "TensorFlow Addons (Python 3.10 and 3.11)",
        choices=("sgd", "sgdw", "lamb", "novograd"),
    )
    momentum: float = option(0.9, "momentum (beta_1 of lamb, novograd)", minimum=0.0, maximum=1.0)
    weight_decay: float = option(5e-4, "L2 weight decay of the kernels", minimum=0.0)
    learning_rate: float = option(1e-3, "first learning rate", above=0.0)
    lr_schedule: str = option(
        "steps", "fall of the rate after the warm-up", choices=("steps", "cosine")
    )
    lr_boundaries: tuple[int, ...] = option((), "steps at which the rate changes", minimum=1)
    lr_values: tuple[float, ...] = option(
        (),
        "rate of each stretch, one more than --lr_boundaries; default: --learning_rate, a tenth "
        "of it after the first boundary, and so on",
        minimum=0.0,
    )
    warmup_steps: int = option(
        0,
        "steps of linear warm-up; the published recipes have none, own data likes 500",
        minimum=0,
    )
    gradient_clip_norm: float = option(
        0.0, "largest norm of the whole gradient; 0: as it comes, as published", minimum=0.0
    )

    def __post_init__(self):
        super().__post_init__()
        if any(a >= b for a, b in pairwise(self.lr_boundaries)):
            raise InputError(f"--lr_boundaries={flag_text(self.lr_boundaries)}: must rise")
        if self.lr_values and len(self.lr_values) != len(self.lr_boundaries) + 1:
            raise InputError(
                f"--lr_values={flag_text(self.lr_values)}: must be one more value than "
                f"--lr_boundaries={flag_text(self.lr_boundaries)}"
            )
        if self.lr_schedule == "cosine" and (self.lr_boundaries or self.lr_values):
            raise InputError("--lr_schedule=cosine: takes neither --lr_boundaries nor --lr_values")


@dataclass(frozen=True)
class DeviceOptions(Options):
    """Where and how exactly it is computed."""

    num_virtual_devices: int = option(
        0,
        "replicas on the CPU, to try several without GPUs; 0: every GPU, or the CPU",
        minimum=0,
        maximum=8,
        role="means",
    )
    require_gpu: bool = option(False, "stop where there is no GPU", role="means")
    precision: str = option(
        "float32",
        "arithmetic of the network; losses and weights are always float32",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )

    def __post_init__(self):
        super().__post_init__()
        if self.require_gpu and self.num_virtual_devices:
            raise InputError(
                f"--require_gpu: --num_virtual_devices={self.num_virtual_devices} computes on the "
                "CPU; give one of the two"
            )


@dataclass(frozen=True)
class CheckpointOptions(Options):
    """What is kept of a run, and how often it is looked at."""

    checkpoint_every: int = option(1000, "steps between checkpoints", minimum=1, role="cadence")
    keep_checkpoints: int = option(3, "latest checkpoints kept", minimum=1, role="cadence")
    eval_every: int = option(
        5000, "steps between evaluations, if --eval_records", minimum=1, role="cadence"
    )
    best_metric: str = option(
        "voc07_map",
        "metric that chooses checkpoints/best",
        choices=("voc07_map", "voc12_map", "coco_ap", "coco_ap50"),
    )
    patience: int = option(
        0,
        "stop after this many evaluations without a better --best_metric; 0: never",
        minimum=0,
        role="cadence",
    )
    summary_every: int = option(100, "steps between TensorBoard points", minimum=1, role="cadence")
