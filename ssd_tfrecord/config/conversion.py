"""What the converters are told."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import BoxOptions, ImageOptions, Options, RecordSetOptions, option


@dataclass(frozen=True)
class ConvertVocConfig(Options):
    """Pascal VOC XML -> TFRecords, from a VOCdevkit or from any folder of XML."""

    voc_root: str = option("", "folder that holds VOC2007, VOC2012, …; goes with --sets")
    sets: tuple[str, ...] = option(
        (), "year_set, several joined: 2007_trainval,2012_trainval; goes with --voc_root"
    )
    annotations_dir: str = option("", "folder of XML files; goes with --images_dir")
    images_dir: str = option("", "folder of images; goes with --annotations_dir")
    image_set: str = option(
        "", "file with an image's stem a line; default: every XML; goes with --annotations_dir"
    )
    pixel_origin: int = option(
        1, "number of the first pixel in the XML: 1 as in VOC, or 0", choices=(0, 1)
    )
    unannotated: str = option(
        "skip",
        "images without an XML: skip; negative (converted without objects); fail",
        choices=("skip", "negative", "fail"),
    )
    record_set: RecordSetOptions = RecordSetOptions()
    images: ImageOptions = ImageOptions()
    boxes: BoxOptions = BoxOptions()

    def __post_init__(self):
        super().__post_init__()
        require(self.record_set, "output_dir")
        if bool(self.voc_root) == bool(self.annotations_dir):
            raise InputError(
                "give either --voc_root with --sets, or --annotations_dir with --images_dir"
            )
        require(self, *(("sets",) if self.voc_root else ("images_dir",)))
        if self.voc_root and (self.images_dir or self.image_set):
            raise InputError("--images_dir, --image_set: go with --annotations_dir alone")
        if self.annotations_dir and self.sets:
            raise InputError("--sets: goes with --voc_root; --image_set with --annotations_dir")


@dataclass(frozen=True)
class ConvertCocoConfig(Options):
    """COCO instances JSON -> TFRecords."""

    annotations: str = option("", "COCO instances JSON")
    images_dir: str = option("", "folder that the JSON's file_name are in")
    record_set: RecordSetOptions = RecordSetOptions()
    images: ImageOptions = ImageOptions()
    boxes: BoxOptions = BoxOptions()

    def __post_init__(self):
        super().__post_init__()
        require(self, "annotations", "images_dir")
        require(self.record_set, "output_dir")
