"""The options of the converters."""

import math
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options.option import Options, option

# What the fractions of --split make.
_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class SourceOptions(Options):
    """How a folder of any usual layout is read."""

    layout: str = option(
        "auto",
        "what to look for in the folder. voc: Pascal VOC XML in any arrangement; coco: instances "
        "JSON; yolo: YOLO text files, also of polygons and turned boxes; csv: CSV with a row for "
        "each box in pixels; openimages: Open Images' CSV; labelme: JSON for each image; tfrecord: "
        "TFRecords of the TF Object Detection API; auto: whichever is there",
        choices=("auto", "voc", "coco", "yolo", "csv", "openimages", "labelme", "tfrecord"),
    )
    split: tuple[float, ...] = option(
        (),
        "divide the images into train, val and test by these fractions, as 0.8,0.1,0.1, or into "
        "train and val, as 0.9,0.1, instead of the splits that are there. Each class is divided "
        "near them, and images of equal content stay together. Empty: the splits that are there",
        minimum=0.0,
        maximum=1.0,
    )
    split_seed: int = option(0, "random seed of --split", minimum=0)
    pixel_origin: int = option(
        1,
        "number of the first pixel in the coordinates of VOC XML: 1, as in Pascal VOC, or 0; "
        "coordinates of the other layouts begin at 0",
        choices=(0, 1),
    )
    unannotated: str = option(
        "auto",
        "what to do with an image that has no annotation file. skip: leave it out; negative: "
        "convert it as an image without objects; fail: stop; auto: what the layout means by it, "
        "which is negative for YOLO and skip for the others",
        choices=("auto", "skip", "negative", "fail"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.split:
            return
        written = ",".join(f"{share:g}" for share in self.split)
        if len(self.split) not in (2, 3) or self.split[0] == 0:
            raise InputError(
                f"--split={written}: must be two or three fractions, for train, val and test"
            )
        if not math.isclose(sum(self.split), 1, abs_tol=1e-6):
            raise InputError(f"--split={written}: must add up to 1")

    @property
    def fractions(self) -> dict[str, float]:
        """{name of a part: its fraction} of --split, without parts that have none."""
        return {name: share for name, share in zip(_PARTS, self.split) if share > 0}


@dataclass(frozen=True)
class RecordSetOptions(Options):
    """The record set that is written."""

    output_dir: str = option(
        "", "folder for the record set; created if it does not exist (required)", role="place"
    )
    set_name: str = option(
        "", "name of the record set, which its shards' names begin with; empty: the folder's name"
    )
    num_shards: int = option(
        16,
        "number of shards (TFRecord files); fewer are written if there are fewer images. At most "
        "this many workers can write at a time",
        minimum=1,
        maximum=99999,
    )
    classes: str = option(
        "default",
        "class list. default: the source's own list, or else VOC's 20 (convert: or else every name "
        "found); voc: VOC's 20; coco: COCO's 80; auto: every name found, sorted; or a text file "
        "with one name per line, or the manifest.json of another record set. Use a training set's "
        "manifest.json for its test set",
    )
    shuffle_seed: int = option(0, "seed of the order in which images are written", minimum=0)
    workers: int = option(
        0,
        "number of processes that write shards, and that read the XML files of VOC; 0: one per "
        "core, fewer for few images. The result does not depend on it",
        minimum=0,
        role="means",
    )
    beam_runner: str = option(
        "",
        "write the shards with Apache Beam, on several machines, which must all see --output_dir "
        "and the images under the same paths; DirectRunner tries it out on this machine. Empty: "
        "write with --workers, without Beam",
        choices=("", "DirectRunner", "PrismRunner", "FlinkRunner", "SparkRunner", "PortableRunner"),
        role="means",
    )
    beam_options: tuple[str, ...] = option(
        (),
        "options of the Beam runner, comma-separated, as in --direct_num_workers=2",
        role="means",
    )
    overwrite: bool = option(
        False,
        "replace what is in --output_dir: a record set, as soon as the new one is complete, or an "
        "unfinished conversion with other flags",
        role="place",
    )
    max_dropped: float = option(
        10.0,
        "stop if more than this percentage of the images or objects, and at least 10 of them, "
        "would be dropped for one reason, or if a class would lose all its objects; 100: allow it. "
        "A set that would lose all its objects is always an error",
        minimum=0.0,
        maximum=100.0,
        role="means",
    )
    dry_run: bool = option(
        False,
        "check everything and print the summary, but write nothing",
        role="place",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if "/" in self.set_name or "\\" in self.set_name:
            raise InputError(f"--set_name={self.set_name}: must be a name, not a path")
        if self.beam_options and not self.beam_runner:
            raise InputError("--beam_options requires --beam_runner")
        if self.beam_runner and self.workers:
            raise InputError(
                "--workers cannot be combined with --beam_runner; set the number of workers in "
                "--beam_options"
            )
        if self.beam_runner and self.dry_run:
            raise InputError(
                "--dry_run cannot be combined with --beam_runner, whose workers report through the "
                "files that they write"
            )


@dataclass(frozen=True)
class ImageOptions(Options):
    """Checking and storing images."""

    verify: str = option(
        "decode",
        "how JPEGs are checked. decode: by decoding them with the decoder of training, at 1/8 of "
        "their size; header: only the beginning and the end of the file, which is faster but "
        "misses damage in between",
        choices=("decode", "header"),
    )
    bad_images: str = option(
        "fail",
        "what to do with an image that is missing, damaged, too large or not of the annotated "
        "size. fail: stop; drop: leave it out, and list it in rejects.jsonl; repair: store what "
        "can be decoded of a damaged image, drop the others",
        choices=("fail", "drop", "repair"),
    )
    exif: str = option(
        "apply",
        "what to do with an EXIF orientation. apply: rotate the image if the annotated size only "
        "fits the rotated one; ignore: never rotate; fail: stop",
        choices=("apply", "ignore", "fail"),
    )
    jpeg_quality: int = option(
        95,
        "JPEG quality of images that are re-encoded (other formats, rare kinds of JPEG, rotated, "
        "shrunk or repaired); all other JPEGs are stored unchanged, but see --recode and "
        "--progressive",
        minimum=1,
        maximum=100,
    )
    recode: bool = option(
        False,
        "re-encode all images with --jpeg_quality, colours at half the resolution (4:2:0), JPEGs "
        "that need not be shrunk included. What decoding costs in training follows the number of "
        "bytes; the images lose a little quality",
    )
    progressive: str = option(
        "keep",
        "progressive JPEGs, which take training three times as long to decode. keep: store them as "
        "they are; baseline: rewrite them as baseline JPEGs of the same pixels, to the bit, and "
        "about 5% more bytes; needs the program jpegtran of libjpeg-turbo",
        choices=("keep", "baseline"),
    )
    max_side: int = option(
        0,
        "shrink images whose longer side exceeds this many pixels; 0: keep their size",
        minimum=0,
    )
    max_pixels: int = option(
        100_000_000,
        "largest image that is decoded, height x width in pixels; protects the memory against "
        "damaged or malicious files that claim to be huge",
        minimum=1,
        # TensorFlow's decoder refuses 2**29 pixels and more, but not an eighth of such an image,
        # which is how images are verified. Tried in grey: it accepts 23170x23170 and refuses
        # 23171x23171.
        maximum=2**29 - 1,
    )
    stretch: str = option(
        "none",
        "how the 16 bits of thermal, depth and X-ray images become 8. none: 65535 becomes 255; "
        "percentile: the darkest and brightest 0.1% of each image's pixels become 0 and 255, and "
        "all others lie in between, for images that use few of their levels",
        choices=("none", "percentile"),
    )
    annotated_size: str = option(
        "check",
        "what to do with the image size that annotations state. check: it must be that of the "
        "image; ignore: disregard it, if a tool has written it wrongly but the boxes fit the image",
        choices=("check", "ignore"),
    )
    links: str = option(
        "inside",
        "symbolic links in the folders of images and annotations. inside: follow those that lead "
        "to a place in the same folder, list the others; follow: follow all, as for data sets in "
        "caches and on several disks",
        choices=("inside", "follow"),
    )


@dataclass(frozen=True)
class BoxOptions(Options):
    """Checking objects."""

    bad_boxes: str = option(
        "clip",
        "what to do with a box that is missing, inverted, not finite, without area, or beyond the "
        "image by more than --box_tolerance. fail: stop; drop: leave the object out; clip: put "
        "inverted corners in order, keep the part inside the image, and leave the object out if "
        "there is none",
        choices=("fail", "drop", "clip"),
    )
    box_tolerance: float = option(
        2.0,
        "boxes that reach beyond the image by up to this many pixels are always clipped, and "
        "counted",
        minimum=0.0,
    )
    unknown_classes: str = option(
        "fail",
        "what to do with an object whose class is not in --classes. fail: stop; drop: leave the "
        "object out",
        choices=("fail", "drop"),
    )
    box_unit: str = option(
        "auto",
        "unit of the boxes in the annotation files. auto: pixels, but stop if all boxes of the set "
        "look like fractions or percentages; pixel: pixels; fraction: of the image's width and "
        "height, 0 to 1; percent: of the image's width and height, 0 to 100",
        choices=("auto", "pixel", "fraction", "percent"),
    )

    @property
    def whole_side(self) -> float:
        """What a whole side of the image is in the unit of the boxes; 0 for pixels."""
        return {"fraction": 1.0, "percent": 100.0}.get(self.box_unit, 0.0)
