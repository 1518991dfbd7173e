"""What the input pipeline can be told."""

import re
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options.option import Options, option


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
    crop_semantics: str = option(
        "original",
        "whose IoU crop: the original's (one of all samplers' windows, IoU with any object), "
        "torchvision's (IoU with an object whose centre is inside; --crop_trials=40 there) or "
        "mmdetection's (IoU with every object)",
        choices=("original", "torchvision", "mmdetection"),
    )
    crop_trials: int = option(50, "windows drawn by each crop sampler", minimum=1, maximum=1000)
    max_expansion: float = option(
        4.0, "largest canvas side of the zoom-out, in image sides", minimum=1.0, maximum=16.0
    )
    min_box_size: float = option(
        0.0,
        "boxes of which the crop leaves less than this, in pixels of the sample, are not trained "
        "on; the original keeps all",
        minimum=0.0,
    )


@dataclass(frozen=True)
class RenderOptions(Options):
    """Pixels of a training sample."""

    decode: str = option(
        "full",
        "full; reduced: a picture of which a sample shows twice, four or eight times the pixels "
        "that it has is decoded at a half, a quarter or an eighth: cheaper, and smoother",
        choices=("full", "reduced"),
    )
    interpolation: str = option(
        "bilinear",
        "how pixels are resized: bilinear, or as the original, drawn among linear, area, nearest, "
        "cubic and Lanczos",
        choices=("bilinear", "original"),
    )


@dataclass(frozen=True)
class ColorOptions(Options):
    """Photometric distortion of a training sample."""

    color: str = option(
        "original",
        "original: every result rounds and saturates to a byte, as OpenCV's; fast: one pass in "
        "floats, rounded at its end, for 2/3 of the CPU time and 0.2 levels off in the mean",
        choices=("original", "fast"),
    )
    color_on: str = option(
        "device",
        "where colours are changed, with equal results",
        choices=("device", "host"),
        role="means",
    )


@dataclass(frozen=True)
class ReadOptions(Options):
    """How records are read."""

    shuffle_buffer_mb: int = option(
        0,
        "0: records are read at random from the whole set, each epoch in an order of its own; else "
        "shards are read through and their records shuffled in this memory, for disks that are "
        "slow at random reading",
        minimum=0,
    )
    interleaved_shards: int = option(
        8, "shards read in turn, with --shuffle_buffer_mb", minimum=1, maximum=256
    )
    num_workers: int = option(
        0, "threads of the input pipeline; 0: one a core", minimum=0, role="means"
    )
    on_bad_record: str = option(
        "stop",
        "a record that fails its checksum: stop, or skip (the next one of the set takes its "
        "place, and it is counted)",
        choices=("stop", "skip"),
        role="means",
    )
    cache: str = option(
        "none",
        "none; records: keep the serialized records; decoded: keep the pictures' pixels; the first "
        "run with it reads all of the set",
        choices=("none", "records", "decoded"),
        role="means",
    )
    cache_dir: str = option("", "local folder of the cache; default: memory", role="means")
    cache_limit_mb: int = option(
        0,
        "largest cache in MB; 0: 80 % of the memory or disk that is free",
        minimum=0,
        role="means",
    )
    data_service: str = option(
        "",
        "grpc://host:port of a tf.data service's dispatcher, whose workers then make the batches "
        "(`ssd-tfrecord data-service`); the order is theirs, so a resume is not exact",
        role="means",
    )

    def __post_init__(self):
        super().__post_init__()
        if self.data_service and not re.fullmatch(r"grpc://[^/\s]+:\d+", self.data_service):
            raise InputError(f"--data_service={self.data_service}: must be grpc://host:port")
        if self.data_service and (self.cache != "none" or self.shuffle_buffer_mb):
            raise InputError("--data_service: goes with neither --cache nor --shuffle_buffer_mb")
        if self.shuffle_buffer_mb and self.on_bad_record == "skip":
            raise InputError("--on_bad_record=skip: goes with --shuffle_buffer_mb=0 alone")
        if self.shuffle_buffer_mb and self.cache != "none":
            raise InputError(f"--cache={self.cache}: goes with --shuffle_buffer_mb=0 alone")
        if self.cache_dir and self.cache == "none":
            raise InputError("--cache_dir: goes with --cache=records or decoded")


@dataclass(frozen=True)
class InputOptions(Options):
    """The input pipeline."""

    framing: FramingOptions = FramingOptions()
    rendering: RenderOptions = RenderOptions()
    color: ColorOptions = ColorOptions()
    reading: ReadOptions = ReadOptions()
