"""The configs of the converters."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import BoxOptions, ImageOptions, Options, RecordSetOptions, option


@dataclass(frozen=True)
class ConvertVocConfig(Options):
    """Convert Pascal VOC XML, from a VOCdevkit or from folders of XML and images, to TFRecords."""

    voc_root: str = option(
        "", "VOCdevkit folder, which contains VOC2007, VOC2012, …; requires --sets"
    )
    sets: tuple[str, ...] = option(
        (),
        "sets of --voc_root to convert, as YEAR_SET, comma-separated: 2007_trainval,2012_trainval; "
        "a year alone means all of its XML files",
    )
    annotations_dir: str = option(
        "",
        "folder of XML files, instead of --voc_root; sub-folders are searched too; requires "
        "--images_dir",
    )
    images_dir: str = option(
        "",
        "folder of the images that belong to --annotations_dir; sub-folders are searched too",
    )
    image_set: str = option(
        "",
        "text file that lists the images of --annotations_dir to convert, one name per line, with "
        "or without extension; in a sub-folder, with its path. Empty: every XML file",
    )
    pixel_origin: int = option(
        1,
        "number of the first pixel in the coordinates of the XML files: 1, as in Pascal VOC, or 0",
        choices=(0, 1),
    )
    unannotated: str = option(
        "skip",
        "what to do with an image that has no XML file. skip: leave it out, but if there is no XML "
        "at all, convert all images of a list without objects, and stop if there is XML but none "
        "for the list; negative: convert it as an image without objects; fail: stop",
        choices=("skip", "negative", "fail"),
    )
    record_set: RecordSetOptions = RecordSetOptions()
    images: ImageOptions = ImageOptions()
    boxes: BoxOptions = BoxOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.record_set, "output_dir")
        if bool(self.voc_root) == bool(self.annotations_dir):
            raise InputError(
                "give either --voc_root and --sets, or --annotations_dir and --images_dir"
            )
        require(self, *(("sets",) if self.voc_root else ("images_dir",)))
        if self.voc_root and (self.images_dir or self.image_set):
            raise InputError("--images_dir and --image_set require --annotations_dir")
        if self.annotations_dir and self.sets:
            raise InputError("--sets requires --voc_root; use --image_set with --annotations_dir")


@dataclass(frozen=True)
class ConvertCocoConfig(Options):
    """Convert a COCO instances JSON to TFRecords."""

    annotations: str = option("", "COCO instances JSON file (required)")
    images_dir: str = option(
        "", "folder that contains the images, by the JSON's file_name (required)"
    )
    record_set: RecordSetOptions = RecordSetOptions()
    images: ImageOptions = ImageOptions()
    boxes: BoxOptions = BoxOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "annotations", "images_dir")
        require(self.record_set, "output_dir")
