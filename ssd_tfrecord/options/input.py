"""The options of the input pipeline."""

import re
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options.option import Options, option


@dataclass(frozen=True)
class FramingOptions(Options):
    """Training samples, geometry: expand, crop, flip."""

    augmentation: str = option(
        "ssd",
        "ssd: expand, IoU-based crop, horizontal flip and colour distortion, as published; flip: "
        "horizontal flip only; none: no augmentation",
        choices=("ssd", "flip", "none"),
    )
    # 0.1 to 0.9 in steps of 0.2: Liu et al., arXiv 1512.02325, section 2.2.
    crop_min_ious: tuple[float, ...] = option(
        (0.1, 0.3, 0.5, 0.7, 0.9),
        "one crop sampler per value, whose crops need at least this IoU with an object; two more "
        "samplers are always there: one keeps the whole image, one accepts any crop",
        minimum=0.0,
        maximum=1.0,
    )
    crop_semantics: str = option(
        "original",
        "how a crop is chosen. original: every sampler looks for a crop, and one of those found is "
        "drawn; the IoU with any object counts. torchvision: samplers are drawn until one finds a "
        "crop; the IoU with an object whose centre is inside counts (use --crop_trials=40 as "
        "there). mmdetection: likewise, but the IoU with every object counts",
        choices=("original", "torchvision", "mmdetection"),
    )
    crop_trials: int = option(
        50,
        "number of random crops that each crop sampler tries",
        minimum=1,
        maximum=1000,
    )
    max_expansion: float = option(
        4.0,
        "zoom out: half of the images are placed on a mean-coloured canvas of up to this many "
        "times their height and width, which makes objects smaller; 1: no zooming out",
        minimum=1.0,
        maximum=16.0,
    )
    min_box_size: float = option(
        0.0,
        "do not train on boxes that are narrower or shorter than this after cropping, in pixels of "
        "the network's input; 0: train on all, as published",
        minimum=0.0,
    )


@dataclass(frozen=True)
class RenderOptions(Options):
    """Training samples, decoding and resizing."""

    decode: str = option(
        "full",
        "full: decode JPEGs at full resolution; reduced: decode at 1/2, 1/4 or 1/8 of it wherever "
        "the image is to be shrunk by at least that factor anyway: less CPU time, but smoother "
        "pixels",
        choices=("full", "reduced"),
    )
    interpolation: str = option(
        "bilinear",
        "how images are resized. bilinear: always bilinear; original: one of linear, area, "
        "nearest, cubic and Lanczos at random, as in Caffe SSD",
        choices=("bilinear", "original"),
    )


@dataclass(frozen=True)
class ColorOptions(Options):
    """Training samples, colour distortion (with --augmentation=ssd)."""

    color: str = option(
        "original",
        "original: round to whole levels after every operation, as OpenCV and Caffe SSD do; fast: "
        "round once at the end, for 2/3 of the CPU time and a mean difference of 0.2 levels",
        choices=("original", "fast"),
    )
    color_on: str = option(
        "device",
        "where colours are distorted: on the training device (GPU) or on the host's CPU; the "
        "results are equal",
        choices=("device", "host"),
        role="means",
    )


@dataclass(frozen=True)
class ReadOptions(Options):
    """Reading records."""

    shuffle_buffer_mb: int = option(
        0,
        "0: read records at random positions, in a new order of the whole set each epoch; above 0: "
        "read shards sequentially and shuffle in a buffer of this many MB, for disks and networks "
        "with slow random access",
        minimum=0,
    )
    interleaved_shards: int = option(
        8,
        "number of shards read alternately; only used with --shuffle_buffer_mb",
        minimum=1,
        maximum=256,
    )
    num_workers: int = option(
        0, "number of threads in the input pipeline; 0: one per core", minimum=0, role="means"
    )
    on_bad_record: str = option(
        "stop",
        "what to do with a record whose checksum is wrong. stop: end the run with an error that "
        "names it; skip: use the next record instead and count it as bad_records in TensorBoard",
        choices=("stop", "skip"),
        role="means",
    )
    cache: str = option(
        "none",
        "none: read from disk each time; records: keep the serialized records (compressed images); "
        "decoded: keep the decoded pixels, 3 bytes per pixel. Filling the cache reads the whole "
        "set once, before training starts",
        choices=("none", "records", "decoded"),
        role="means",
    )
    cache_dir: str = option(
        "",
        "folder for the cache, on a local disk; later runs use it again. Empty: cache in memory",
        role="means",
    )
    cache_limit_mb: int = option(
        0,
        "stop before training if the cache would be larger than this many MB; 0: 80 % of the "
        "memory or disk space that is free",
        minimum=0,
        role="means",
    )
    data_service: str = option(
        "",
        "address of a tf.data service dispatcher, grpc://host:port, whose workers make the batches "
        "(see `ssd-tfrecord data-service`). The order of records is then theirs, so a resumed run "
        "is not exactly reproducible. Empty: make batches on this machine",
        role="means",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data_service and not re.fullmatch(r"grpc://[^/\s]+:\d+", self.data_service):
            raise InputError(f"--data_service={self.data_service}: must be grpc://host:port")
        if self.data_service and (self.cache != "none" or self.shuffle_buffer_mb):
            raise InputError(
                "--data_service cannot be combined with --cache or --shuffle_buffer_mb"
            )
        # Skipping and caching need records that are read by index; a stream reads whole shards.
        if self.shuffle_buffer_mb and self.on_bad_record == "skip":
            raise InputError("--on_bad_record=skip requires --shuffle_buffer_mb=0")
        if self.shuffle_buffer_mb and self.cache != "none":
            raise InputError(f"--cache={self.cache} requires --shuffle_buffer_mb=0")
        if self.cache_dir and self.cache == "none":
            raise InputError("--cache_dir requires --cache=records or --cache=decoded")


@dataclass(frozen=True)
class InputOptions(Options):
    """The input pipeline."""

    framing: FramingOptions = FramingOptions()
    rendering: RenderOptions = RenderOptions()
    color: ColorOptions = ColorOptions()
    reading: ReadOptions = ReadOptions()
