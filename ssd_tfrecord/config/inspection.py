"""The config of the inspection of record sets."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import Options, option


@dataclass(frozen=True)
class InspectConfig(Options):
    """Verify, count, draw or search record sets; write manifests for those of other tools."""

    records: tuple[str, ...] = option((), "folders of the record sets, comma-separated (required)")
    verify: bool = option(
        False,
        "check every shard and record: checksums, counts, and whether it can be parsed and "
        "decoded; report all damage",
    )
    stats: bool = option(False, "print totals, counts per class and histograms")
    plots: bool = option(
        False, "also draw the statistics as PNG files; requires --stats and --output_dir"
    )
    draw: int = option(
        0,
        "number of records to draw with boxes and class names, on PNG sheets; requires "
        "--output_dir; 0: none",
        minimum=0,
    )
    suspects: bool = option(
        False,
        "search for what people should look at: images that are there twice, also in two of the "
        "sets (a test set with images of the training set is measured too high), boxes with two "
        "classes, doubled, tiny and huge boxes, odd aspects, rare classes; writes suspects.csv and "
        "PNG sheets; requires --output_dir",
    )
    detections: str = option(
        "",
        "suspects.csv of an evaluation of these sets (evaluate writes it): with --suspects, list "
        "and draw what it holds too: sure detections without an object, objects that nothing "
        "finds, confused classes",
    )
    output_dir: str = option(
        "",
        "folder for the PNG files of --plots and --draw, in a subfolder per record set, and for "
        "those of --suspects",
    )
    index: bool = option(
        False,
        "write a manifest.json for TFRecords made by another tool (TF Object Detection API, Model "
        "Garden, automl), so that they can be trained on; boxes that reach up to 10 % beyond the "
        "image are clipped when read",
    )
    pattern: str = option(
        "*record*", "file name pattern of the TFRecords in the folder, for --index"
    )
    label_map: str = option(
        "",
        "label map (.pbtxt) with the class names, for --index; empty: the names stored in the "
        "records",
    )
    workers: int = option(
        0,
        "number of processes for --verify, --index and --suspects; 0: one per core, fewer for few "
        "records",
        minimum=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "records")
        if not (self.verify or self.stats or self.draw or self.suspects or self.index):
            raise InputError(
                "give at least one of --verify, --stats, --draw, --suspects and --index"
            )
        if self.plots and not self.stats:
            raise InputError("--plots requires --stats")
        if self.plots or self.draw or self.suspects:
            require(self, "output_dir")
        if self.detections and not self.suspects:
            raise InputError("--detections requires --suspects")
        if self.label_map and not self.index:
            raise InputError("--label_map requires --index")
