"""The config of the converter that recognises the layout."""

from dataclasses import dataclass
from typing import ClassVar

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.options import (
    BoxOptions,
    ImageOptions,
    Options,
    RecordSetOptions,
    SourceOptions,
    option,
)


@dataclass(frozen=True)
class ConvertConfig(Options):
    """Convert a folder of any usual layout to TFRecords; each split becomes a record set."""

    bare_word: ClassVar[str] = "input"

    input: str = option(
        "",
        "folder with images and annotations, as unpacked from an archive or exported by an "
        "annotation tool (required). Several splits become sub-folders of --output_dir; a folder "
        "without splits becomes one record set. --classes=default stands for the layout's own "
        "list, or else for every name found in any split",
    )
    source: SourceOptions = SourceOptions()
    record_set: RecordSetOptions = RecordSetOptions()
    images: ImageOptions = ImageOptions()
    boxes: BoxOptions = BoxOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "input")
        require(self.record_set, "output_dir")
