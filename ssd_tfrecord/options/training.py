"""The options of optimizer, devices and checkpoints."""

import re
from dataclasses import dataclass
from itertools import pairwise

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options.option import Options, flag_text, option


@dataclass(frozen=True)
class OptimizerOptions(Options):
    """Optimizer and learning rate."""

    optimizer: str = option(
        "sgd",
        "sgd: momentum and coupled weight decay, as in Caffe SSD; sgdw, lamb and novograd need "
        "TensorFlow Addons (Python 3.10 or 3.11)",
        choices=("sgd", "sgdw", "lamb", "novograd"),
    )
    momentum: float = option(
        0.9, "momentum of sgd and sgdw; beta_1 of lamb and novograd", minimum=0.0, maximum=1.0
    )
    weight_decay: float = option(
        5e-4,
        "L2 weight decay of the kernels; biases and batch normalisation never decay. 0: none",
        minimum=0.0,
    )
    learning_rate: float = option(
        1e-3,
        "initial learning rate, after the warm-up. 0.001 is VGG-16's, as published; MobileNetV2, "
        "which has batch normalisation, learnt with 0.1 in a third of the steps of 0.01, in "
        "batches of 16",
        above=0.0,
    )
    lr_schedule: str = option(
        "steps",
        "how the learning rate falls. steps: to the next of --lr_values at each of "
        "--lr_boundaries; cosine: along a half cosine to 0 at --num_steps",
        choices=("steps", "cosine"),
    )
    lr_boundaries: tuple[int, ...] = option(
        (),
        "steps at which --lr_schedule=steps changes the learning rate, comma-separated; empty: "
        "never",
        minimum=1,
    )
    lr_values: tuple[float, ...] = option(
        (),
        "learning rates before, between and after --lr_boundaries, one more value than "
        "--lr_boundaries; empty: --learning_rate, divided by 10 at each boundary",
        minimum=0.0,
    )
    warmup_steps: int = option(
        0,
        "raise the learning rate linearly over this many steps at the start; 0: no warm-up, as "
        "published. Try 500 for your own data",
        minimum=0,
    )
    gradient_clip_norm: float = option(
        0.0,
        "scale gradients down to this global norm if theirs is larger; 0: no clipping, as "
        "published",
        minimum=0.0,
    )
    accumulate_steps: int = option(
        1,
        "go through each batch in this many parts, one after the other, and apply the sum of their "
        "gradients: memory for a part, the result of the whole. Batch normalisation sees one part",
        minimum=1,
    )
    ema_decay: float = option(
        0.0,
        "keep a moving average of all weights, w <- decay x w + (1 - decay) x new, and evaluate, "
        "choose and export that; in step t the decay is at most (1 + t) / (10 + t). 0: none, as "
        "published. Try 0.9998",
        minimum=0.0,
        maximum=0.999999,
    )
    freeze: str = option(
        "",
        "regular expression: layers of the printed table whose whole name matches are not trained, "
        "such as 'block[12]' for vgg16, 'Conv1|expanded_conv|block_[1-5]' for mobilenet_v2; empty: "
        "all are trained",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            re.compile(self.freeze)
        except re.error as error:
            raise InputError(
                f"--freeze={self.freeze}: must be a regular expression ({error})"
            ) from None
        if any(a >= b for a, b in pairwise(self.lr_boundaries)):
            raise InputError(
                f"--lr_boundaries={flag_text(self.lr_boundaries)}: must be in increasing order"
            )
        if self.lr_values and len(self.lr_values) != len(self.lr_boundaries) + 1:
            raise InputError(
                f"--lr_values={flag_text(self.lr_values)}: must have one more value than "
                f"--lr_boundaries={flag_text(self.lr_boundaries)}"
            )
        if self.lr_schedule == "cosine" and (self.lr_boundaries or self.lr_values):
            raise InputError(
                "--lr_schedule=cosine cannot be combined with --lr_boundaries or --lr_values"
            )


@dataclass(frozen=True)
class DeviceOptions(Options):
    """Devices and precision."""

    num_virtual_devices: int = option(
        0,
        "split the CPU into this many replicas, to try multi-GPU training without GPUs; 0: use all "
        "GPUs, or the CPU if there are none",
        minimum=0,
        maximum=8,
        role="means",
    )
    require_gpu: bool = option(
        False, "stop with an error if there is no GPU, instead of using the CPU", role="means"
    )
    # Not "means": half precision changes the weights that come out.
    precision: str = option(
        "float32",
        "arithmetic of the network. mixed_bfloat16 and mixed_float16 are faster on GPUs that "
        "support them, mixed_bfloat16 also on CPUs with AVX512-BF16 or AMX; weights and losses are "
        "float32 in any case",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    # "means": a run may go on without, as on a machine of another kind; it is said in a line.
    onednn: str = option(
        "auto",
        "oneDNN's kernels, on a CPU. auto: as the run has used them, or else on, with which "
        "every backbone is faster. They round otherwise. TF_ENABLE_ONEDNN_OPTS in the environment "
        "comes first",
        choices=("auto", "on", "off"),
        role="means",
    )
    gradient_dtype: str = option(
        "float32",
        "type in which gradients travel between replicas; bfloat16 halves the traffic, and rounds",
        choices=("float32", "bfloat16"),
    )
    allreduce_mb: int = option(
        32,
        "gradients travel between GPUs in packs of this many megabytes, so that the first are on "
        "their way while others are still computed; 0: each by itself",
        minimum=0,
        role="means",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.require_gpu and self.num_virtual_devices:
            raise InputError(
                "--require_gpu cannot be combined with "
                f"--num_virtual_devices={self.num_virtual_devices}, which uses the CPU"
            )


@dataclass(frozen=True)
class ClusterOptions(Options):
    """Several machines."""

    cluster: str = option(
        "none",
        "who trains together. none: this process alone; tf_config: the workers in TF_CONFIG; "
        "slurm: the tasks of the srun step; kubernetes: the pods of a JobSet or an Indexed Job; "
        "auto: whichever of these the environment speaks of, or none. Run the same command on each",
        choices=("none", "auto", "tf_config", "slurm", "kubernetes"),
        role="means",
    )
    cluster_port: int = option(
        2222,
        "first port of the workers, with slurm and kubernetes; the first worker also listens at "
        "1000 above its own, for what is not tensors",
        minimum=1024,
        maximum=64000,
        role="means",
    )
    cluster_timeout: int = option(
        300,
        "end the run if not all workers are there after this many seconds; the message names those "
        "that are missing",
        minimum=1,
        role="means",
    )


@dataclass(frozen=True)
class CheckpointOptions(Options):
    """Checkpoints, evaluations and logs."""

    checkpoint_every: int = option(
        1000, "number of steps between checkpoints", minimum=1, role="cadence"
    )
    keep_checkpoints: int = option(
        3, "number of latest checkpoints to keep, besides the best one", minimum=1, role="cadence"
    )
    eval_every: int = option(
        5000,
        "number of steps between evaluations on --eval_records; there is one at the end, too",
        minimum=1,
        role="cadence",
    )
    best_metric: str = option(
        "voc07_map",
        "metric by which the best checkpoint is chosen: 11-point VOC2007 mAP, VOC2012 mAP (area "
        "under the curve), COCO AP at IoU 0.50:0.95, or COCO AP at IoU 0.50",
        choices=("voc07_map", "voc12_map", "coco_ap", "coco_ap50"),
        role="view",
    )
    patience: int = option(
        0,
        "early stopping: end the run after this many evaluations in a row without a better "
        "--best_metric; 0: never",
        minimum=0,
        role="cadence",
    )
    summary_every: int = option(
        100,
        "number of steps between points in TensorBoard and rows in history.csv",
        minimum=1,
        role="cadence",
    )
