"""The config of detection in images and videos."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.config.trained import CHECKPOINT_TEXT, RUN_TEXT
from ssd_tfrecord.options import DeviceOptions, ImageOptions, Options, ShownOptions, option

_MAX_PIXELS: Any = {field.name: field for field in dataclasses.fields(ImageOptions)}["max_pixels"]


@dataclass(frozen=True)
class DetectConfig(Options):
    """Detect objects in images and videos; write pictures with boxes, and detections.json."""

    run_dir: str = option("", RUN_TEXT)
    images: tuple[str, ...] = option(
        (),
        "image and video files, folders (see --recursive), patterns such as 'photos/**/*.jpg', "
        "text files (.txt) with one of these per line, - for lines on standard input, or camera:0; "
        "comma-separated (required). A file whose name has commas is found as it is; where a space "
        "follows the comma, put the name in double quotes",
    )
    recursive: bool = option(False, "also search the sub-folders of folders")
    frames: str = option(
        "all",
        "which frames of animated GIF and WebP and of multi-page TIFF. all: each is an image, "
        "named like a.gif#3; first: one, as the converters do",
        choices=("all", "first"),
    )
    output_dir: str = option("", "folder for the pictures and detections.json (required)")
    pictures: bool = option(
        True, "write a picture with boxes for each image, and for each video a video"
    )
    save_txt: bool = option(
        False,
        "write labels/, YOLO's text files: class (from 0), centre x, centre y, width, height as "
        "fractions, score; and classes.txt",
    )
    save_coco: bool = option(
        False,
        "write results.json for COCO's tools, and images.json with the images' ids and files and "
        "the categories. The ids are the numbers of the files' names if all names are numbers, "
        "else 1, 2, …",
    )
    save_voc: bool = option(
        False,
        "write annotations/, VOC XML files: detections as annotations to correct in a labelling "
        "tool, and to convert",
    )
    save_crops: bool = option(False, "write crops/<class>/: each object cut out of its image")
    checkpoint: str = option("best", CHECKPOINT_TEXT)
    batch_size: int = option(
        8,
        "number of images per batch, at most; changes speed and memory, not the result",
        minimum=1,
    )
    workers: int = option(
        0,
        "number of threads that read, draw and write beside the network; 0: one per core, at most "
        "8",
        minimum=0,
    )
    max_pixels: int = dataclasses.field(default=_MAX_PIXELS.default, metadata=_MAX_PIXELS.metadata)
    stretch: str = option(
        "none",
        "how the 16 bits of thermal, depth and X-ray images become 8: the --stretch with which the "
        "training set was converted. none: 65535 becomes 255; percentile: the darkest and "
        "brightest 0.1% of each image's pixels become 0 and 255",
        choices=("none", "percentile"),
    )
    annotations_dir: str = option(
        "",
        "folder of VOC XML files with the images' names: draw their objects beside the detections; "
        "empty: draw detections only",
    )
    detection: ShownOptions = ShownOptions()
    devices: DeviceOptions = DeviceOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "run_dir", "images", "output_dir")
