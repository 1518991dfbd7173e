"""The config of the converter that recognises the layout."""

import math
from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import BoxOptions, ImageOptions, Options, RecordSetOptions, option

_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class ConvertConfig(Options):
    """Convert a folder of any usual layout to TFRecords; each split becomes a record set."""

    input: str = option(
        "",
        "folder with images and annotations, as unpacked from an archive or exported by an "
        "annotation tool (required). Several splits become sub-folders of --output_dir; a folder "
        "without splits becomes one record set. --classes=default stands for the layout's own "
        "list, or else for every name found in any split",
    )
    layout: str = option(
        "auto",
        "what to look for in --input. voc: Pascal VOC XML in any arrangement; coco: instances "
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
    record_set: RecordSetOptions = RecordSetOptions()
    images: ImageOptions = ImageOptions()
    boxes: BoxOptions = BoxOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "input")
        require(self.record_set, "output_dir")
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
