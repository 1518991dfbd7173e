"""What the converters can be told."""

from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options.option import Options, option


@dataclass(frozen=True)
class RecordSetOptions(Options):
    """The record set that is written."""

    output_dir: str = option("", "folder of the record set; made if need be", role="place")
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
        0,
        "processes that read XML and write shards; 0: one a core, fewer for few images",
        minimum=0,
        role="means",
    )
    beam_runner: str = option(
        "",
        "write the shards by Apache Beam, one a task: DirectRunner works on this machine, the "
        "others where --beam_options say; all workers must see --output_dir and the images under "
        "the same paths; default: processes of this machine",
        choices=("", "DirectRunner", "PrismRunner", "FlinkRunner", "SparkRunner", "PortableRunner"),
        role="means",
    )
    beam_options: tuple[str, ...] = option(
        (),
        "options of the runner: --direct_num_workers=2,--direct_running_mode=multi_processing",
        role="means",
    )
    overwrite: bool = option(
        False,
        "replace what is already in --output_dir: a record set, once the new one is whole, and an "
        "unfinished one of other flags",
        role="place",
    )
    dry_run: bool = option(False, "do everything but write, and print the same table", role="place")

    def __post_init__(self):
        super().__post_init__()
        if "/" in self.set_name or "\\" in self.set_name:
            raise InputError(f"--set_name={self.set_name}: must be a name, not a path")
        if self.beam_options and not self.beam_runner:
            raise InputError("--beam_options: goes with --beam_runner")
        if self.beam_runner and self.workers:
            raise InputError(
                "--workers: goes without --beam_runner, whose --beam_options say how many there are"
            )
        if self.beam_runner and self.dry_run:
            raise InputError(
                "--dry_run: goes without --beam_runner, whose workers report by what they write"
            )


@dataclass(frozen=True)
class ImageOptions(Options):
    """Images on their way into records."""

    verify: str = option(
        "decode",
        "decode: every JPEG is decoded once, by training's decoder and to an eighth of its size; "
        "header: its header and its end are looked at",
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
        # TensorFlow's decoder refuses 2**29 pixels and more, but not an eighth of such an image, at
        # which images are verified; a grey 23170x23170 was taken, 23171x23171 refused.
        maximum=2**29 - 1,
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
