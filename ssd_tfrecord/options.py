"""What can be chosen: one small frozen dataclass a noun, each field with its help and range.

A field's name is its flag's name; ``flags`` derives the flags, ``config`` composes the programs.
Standard library only, so that ``--help`` and every configuration error come before TensorFlow.
"""

import dataclasses
import math
import re
from dataclasses import dataclass
from itertools import pairwise

from ssd_tfrecord.errors import InputError


def option(default, text, *, choices=None, minimum=None, maximum=None, above=None):
    """A dataclass field that carries its help ``text`` and its allowed range."""
    limits = {"choices": choices, "minimum": minimum, "maximum": maximum, "above": above}
    return dataclasses.field(default=default, metadata={"text": text, **limits})


def allowed(field):
    """What ``field`` takes, in words; empty where everything of its type is taken."""
    limits = field.metadata
    if limits.get("choices"):
        return "one of " + ", ".join(str(choice) or "empty" for choice in limits["choices"])
    low, high, above = limits.get("minimum"), limits.get("maximum"), limits.get("above")
    parts = [f"above {above:g}"] if above is not None else []
    parts += [f"at least {low:g}"] if low is not None else []
    parts += [f"at most {high:g}"] if high is not None else []
    return " and ".join(parts)


def _fits(value, limits):
    if limits.get("choices"):
        return value in limits["choices"]
    if isinstance(value, float) and not math.isfinite(value):
        return False
    low, high, above = limits.get("minimum"), limits.get("maximum"), limits.get("above")
    return (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
    )


@dataclass(frozen=True)
class Options:
    """Validates every field against its range when it is made."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for item in value if isinstance(value, tuple) else (value,):
                if not _fits(item, field.metadata):
                    raise InputError(f"--{field.name}={item}: must be {allowed(field)}")


@dataclass(frozen=True)
class RecordSetOptions(Options):
    """The record set that is written."""

    output_dir: str = option("", "folder of the record set; made if need be")
    set_name: str = option("", "first part of the shards' names; default: the folder's name")
    num_shards: int = option(
        16, "shards to write; fewer where there are fewer images", minimum=1, maximum=99999
    )
    classes: str = option(
        "default",
        "class list: default (VOC's 20, or the JSON's own), voc, coco (its 80), auto (every name "
        "found, sorted), a file with a name a line, or another set's manifest.json",
    )
    shuffle_seed: int = option(0, "seed of the order of the records", minimum=0)
    workers: int = option(
        0, "processes that write shards; 0: one a core, fewer for few images", minimum=0
    )
    overwrite: bool = option(
        False,
        "replace what is already in --output_dir: a record set, once the new one is whole, and an "
        "unfinished one of other flags",
    )
    dry_run: bool = option(False, "do everything but write, and print the same table")

    def __post_init__(self):
        super().__post_init__()
        if "/" in self.set_name or "\\" in self.set_name:
            raise InputError(f"--set_name={self.set_name}: must be a name, not a path")


@dataclass(frozen=True)
class ImageOptions(Options):
    """Images on their way into records."""

    verify: str = option(
        "decode",
        "decode: every JPEG is decoded once, by training's decoder; header: its header and its "
        "end are looked at",
        choices=("decode", "header"),
    )
    bad_images: str = option(
        "fail",
        "images that are missing, damaged or of another size than annotated: fail; drop; repair "
        "(what can still be read of a damaged one is encoded anew, the others are dropped)",
        choices=("fail", "drop", "repair"),
    )
    exif: str = option(
        "apply",
        "EXIF orientation: apply (turned where the annotated size is the turned one's alone), "
        "ignore, fail",
        choices=("apply", "ignore", "fail"),
    )
    jpeg_quality: int = option(
        95, "quality of the images that are encoded anew", minimum=1, maximum=100
    )
    max_side: int = option(
        0, "shrink images to this longer side in pixels; 0: as they are", minimum=0
    )
    max_pixels: int = option(
        100_000_000,
        "largest height x width that is decoded; a damaged or hostile file may claim any",
        minimum=1,
    )


@dataclass(frozen=True)
class BoxOptions(Options):
    """Objects on their way into records."""

    bad_boxes: str = option(
        "clip",
        "boxes that leave the image by more than --box_tolerance, have no area, are inverted or "
        "not finite: fail; drop; clip (what is inside the image is kept, the others are dropped)",
        choices=("fail", "drop", "clip"),
    )
    box_tolerance: float = option(
        2.0, "pixels that a box may leave the image by: it is clipped and counted", minimum=0.0
    )
    unknown_classes: str = option(
        "fail", "objects of a class that --classes does not have", choices=("fail", "drop")
    )


@dataclass(frozen=True)
class FramingOptions(Options):
    """Geometry of a training sample: expand, crop, flip."""

    augmentation: str = option(
        "ssd",
        "ssd: expand, IoU crop, flip and colour distortion; flip: mirroring alone; none",
        choices=("ssd", "flip", "none"),
    )
    crop_min_ious: tuple[float, ...] = option(
        (0.1, 0.3, 0.5, 0.7, 0.9),
        "minimum IoU of window and any object, a crop sampler each; two more samplers take the "
        "whole image and any window",
        minimum=0.0,
        maximum=1.0,
    )
    crop_trials: int = option(50, "windows drawn by each crop sampler", minimum=1, maximum=1000)
    max_expansion: float = option(
        4.0, "largest canvas side of the zoom-out, in image sides", minimum=1.0, maximum=16.0
    )


@dataclass(frozen=True)
class ReadOptions(Options):
    """How records are read."""

    shuffle_buffer_mb: int = option(
        512, "memory for shuffling serialized records, in MB", minimum=1
    )
    interleaved_shards: int = option(8, "shards read in turn", minimum=1, maximum=256)
    num_workers: int = option(0, "threads of the input pipeline; 0: one a core", minimum=0)


# Feature maps with anchors, for each input size.
_NUM_MAPS = {300: 6, 512: 7}


@dataclass(frozen=True)
class AnchorOptions(Options):
    """The default boxes."""

    anchor_scales: str = option(
        "voc",
        "voc or coco (the published sizes), or a list of one scale a map and a last one, as "
        "fractions of the input: 0.1,0.2,0.37,0.54,0.71,0.88,1.05",
    )
    aspect_ratios: str = option(
        "",
        "aspect ratios above 1 of each map, maps apart by ':' (2:2,3:2,3:2,3:2:2); their flips "
        "come of themselves. Default: the published ones",
    )

    def __post_init__(self):
        super().__post_init__()
        self.scales()
        self.ratios()

    def scales(self):
        """The scale list as floats, or None for the published tables."""
        if self.anchor_scales in ("voc", "coco"):
            return None
        what = f"--anchor_scales={self.anchor_scales}"
        scales = _floats(self.anchor_scales, f"{what}: must be voc, coco or a list of numbers")
        if len(scales) < 2 or any(a >= b for a, b in pairwise(scales)) or scales[0] <= 0:
            raise InputError(f"{what}: must rise from above 0, one a map and a last one")
        return scales

    def ratios(self):
        """The ratios of each map as tuples of floats, or None for the published ones."""
        if not self.aspect_ratios:
            return None
        what = f"--aspect_ratios={self.aspect_ratios}: must be numbers above 1, maps apart by ':'"
        ratios = tuple(_floats(part, what) for part in self.aspect_ratios.split(":"))
        if any(ratio <= 1 for part in ratios for ratio in part):
            raise InputError(what)
        return ratios

    def check_maps(self, input_size):
        """Raises ``InputError`` unless there are as many scales and ratios as maps."""
        scales, ratios, maps = self.scales(), self.ratios(), _NUM_MAPS[input_size]
        takes = f"--input_size={input_size} takes"
        if scales and len(scales) != maps + 1:
            raise InputError(
                f"--anchor_scales={self.anchor_scales}: has {len(scales)} scales; "
                f"{takes} {maps + 1}, one a map and a last one"
            )
        if ratios and len(ratios) != maps:
            raise InputError(
                f"--aspect_ratios={self.aspect_ratios}: has {len(ratios)} maps; {takes} {maps}"
            )


def _floats(text, message):
    try:
        values = tuple(float(item) for item in text.split(","))
    except ValueError:
        raise InputError(message) from None
    if not all(math.isfinite(value) for value in values):
        raise InputError(message)
    return values


@dataclass(frozen=True)
class ModelOptions(Options):
    """The network."""

    input_size: int = option(300, "input side in pixels", choices=(300, 512))
    backbone: str = option("vgg16", "feature extractor", choices=("vgg16", "mobilenet_v2"))
    width: float = option(1.0, "channel multiplier of mobilenet_v2", minimum=0.1, maximum=2.0)
    backbone_weights: str = option(
        "imagenet",
        "imagenet (downloaded by Keras), none, or a Keras .h5 or .weights.h5 of the backbone "
        "with or without its classifier",
    )
    batch_norm: str = option(
        "sync",
        "batch normalisation: over the global batch, or with its moving averages frozen",
        choices=("sync", "frozen"),
    )

    def __post_init__(self):
        super().__post_init__()
        if self.backbone == "mobilenet_v2" and self.input_size != 300:
            raise InputError(
                f"--input_size={self.input_size}: mobilenet_v2 takes 300; vgg16 takes 300 or 512"
            )
        if self.backbone == "vgg16" and self.width != 1.0:
            raise InputError(f"--width={self.width:g}: vgg16 takes 1; mobilenet_v2 takes others")


@dataclass(frozen=True)
class LossOptions(Options):
    """The multibox loss."""

    box_loss: str = option(
        "smooth_l1", "loss of the boxes", choices=("smooth_l1", "giou", "diou", "ciou")
    )
    box_loss_weight: float = option(1.0, "weight of the box loss", minimum=0.0)
    negative_ratio: float = option(3.0, "mined negatives per positive", minimum=0.0)


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
    )
    require_gpu: bool = option(False, "stop where there is no GPU")
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
class DetectionOptions(Options):
    """From logits to detections."""

    score_threshold: float = option(0.01, "smallest score of a detection", minimum=0.0, maximum=1.0)
    nms_iou: float = option(
        0.45,
        "IoU above which the lower of two detections of a class goes",
        minimum=0.0,
        maximum=1.0,
    )
    nms_candidates: int = option(400, "detections of a class that enter NMS", minimum=1)
    max_detections: int = option(200, "detections kept of an image", minimum=1)


@dataclass(frozen=True)
class CheckpointOptions(Options):
    """What is kept of a run, and how often it is looked at."""

    checkpoint_every: int = option(1000, "steps between checkpoints", minimum=1)
    keep_checkpoints: int = option(3, "latest checkpoints kept", minimum=1)
    eval_every: int = option(5000, "steps between evaluations, if --eval_records", minimum=1)
    best_metric: str = option(
        "voc07_map",
        "metric that chooses checkpoints/best",
        choices=("voc07_map", "voc12_map", "coco_ap", "coco_ap50"),
    )
    patience: int = option(
        0,
        "stop after this many evaluations without a better --best_metric; 0: never",
        minimum=0,
    )
    summary_every: int = option(100, "steps between TensorBoard points", minimum=1)


def flag_text(value):
    """A field's value as its flag is written; ``flags`` reads it back to an equal value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(flag_text(item) for item in value)
    return re.sub(r"\.0$", "", repr(value)) if isinstance(value, float) else str(value)
