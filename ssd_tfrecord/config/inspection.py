"""What the inspection of record sets is told."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import Options, option


@dataclass(frozen=True)
class InspectConfig(Options):
    """Look at record sets: are they whole, what is in them; make manifests for those of others."""

    records: tuple[str, ...] = option((), "folders of record sets, comma-separated")
    verify: bool = option(
        False, "checksums, counts, every record parsed and decoded; damages are named"
    )
    stats: bool = option(False, "print totals, classes and histograms")
    plots: bool = option(False, "write them as PNG; goes with --stats and --output_dir")
    draw: int = option(
        0,
        "records drawn with their boxes and names on PNG sheets; goes with --output_dir",
        minimum=0,
    )
    output_dir: str = option("", "folder of the PNGs; a folder in it for each set")
    index: bool = option(
        False,
        "write a manifest for records that another tool made (TF Object Detection API, Model "
        "Garden, automl)",
    )
    pattern: str = option("*record*", "the files of --index, in the folder")
    label_map: str = option(
        "", ".pbtxt with the class names of --index; default: those in the records"
    )
    workers: int = option(
        0,
        "processes of --verify and --index; 0: one a core, fewer for few records",
        minimum=0,
    )

    def __post_init__(self):
        super().__post_init__()
        require(self, "records")
        if not (self.verify or self.stats or self.draw or self.index):
            raise InputError("give --verify, --stats, --draw or --index")
        if self.plots and not self.stats:
            raise InputError("--plots: goes with --stats")
        if self.plots or self.draw:
            require(self, "output_dir")
        if self.label_map and not self.index:
            raise InputError("--label_map: goes with --index")
