"""The config of fit."""

from collections import ChainMap
from dataclasses import dataclass
from typing import ClassVar, cast

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.config.checks import require
from ssd_tfrecord.config.export import FORMATS
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import BoxOptions, ImageOptions, Options, SourceOptions, option

# Not a copy: a backbone that comes later counts, too.
_BACKBONES = ChainMap({"auto": None}, cast("dict[str, None]", BACKBONES))


@dataclass(frozen=True)
class FitConfig(Options):
    """From a folder of annotated images to a model, its evaluation, exports and a page."""

    bare_word: ClassVar[str] = "input"

    input: str = option(
        "",
        "folder with images and annotations, as unpacked from an archive or exported by an "
        "annotation tool: Pascal VOC XML, COCO, YOLO, CSV, labelme, Open Images or TFRecords "
        "(required)",
    )
    output_dir: str = option(
        "",
        "folder for everything that is made: records, run, evaluation, exports and index.html, "
        "which shows them; the same command goes on where it was stopped (required)",
        role="place",
    )
    restart: bool = option(
        False,
        "delete what an earlier fit has made in --output_dir, and start from scratch",
        role="place",
    )
    only: str = option(
        "",
        "check: convert and check, but do not train. Devices, anchors and how many boxes they "
        "cover, boxes that are too small, whether eight images are learnt by heart, time of a "
        "step, and whether it will wait for data. Empty: everything",
        choices=("", "check"),
        role="view",
    )
    classes: str = option(
        "default",
        "class list. default: the layout's own, or else every name found; auto: every name found; "
        "or a text file with one name per line",
    )
    backbone: str = option(
        "auto",
        "feature extractor. auto: that of --backbone_weights, if it is a file; else mobilenet_v2 "
        "on a CPU, and on a GPU vgg16, or without weights resnet50",
        choices=_BACKBONES,
    )
    backbone_weights: str = option(
        "auto",
        "initial weights of the backbone. auto: ImageNet's, if they are in Keras's cache or can be "
        "downloaded, else none; or imagenet, none, or a Keras file, .h5 or .weights.h5",
    )
    num_steps: int = option(
        0,
        "number of training steps. auto: by the number of images, and no more than fit into "
        "--max_hours",
        minimum=1,
        words={"auto": 0},
    )
    max_hours: float = option(
        0.0,
        "with --num_steps=auto: as many steps as fit into so many hours of training, by the time "
        "that a step takes in the check; 0: no limit",
        minimum=0.0,
    )
    global_batch_size: int = option(
        0,
        "number of images per step. auto: 16 on a CPU, 32 on GPUs, fewer if they do not fit",
        minimum=1,
        words={"auto": 0},
    )
    hold_out: bool = option(
        False,
        "where there are both val and test: do not train on val, but choose the best checkpoint by "
        "it. By default both train and val are trained on, to the end of a falling rate",
    )
    seed: int = option(
        0,
        "random seed of weights, order and augmentation",
        minimum=0,
        maximum=2**31 - 1,
    )
    format: tuple[str, ...] = option(
        ("saved_model", "tflite"),
        "formats to export, comma-separated; empty: none",
        choices=FORMATS,
    )
    source: SourceOptions = SourceOptions()
    images: ImageOptions = ImageOptions()
    boxes: BoxOptions = BoxOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.input:
            raise InputError("a folder is required: ssd-tfrecord fit FOLDER --output_dir=mymodel")
        require(self, "output_dir")
