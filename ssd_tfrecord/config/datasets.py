"""What the drawing of the demo data set is told."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.options import Options, option


@dataclass(frozen=True)
class DemoConfig(Options):
    """Draw the demo data set: a --voc_root with --sets=demo_train and demo_test."""

    output_dir: str = option("", "folder that VOCdemo is made in; must be empty or new")
    num_train: int = option(1000, "images of demo_train", minimum=1)
    num_test: int = option(200, "images of demo_test", minimum=1)
    seed: int = option(0, "seed of the scenes", minimum=0)
    overwrite: bool = option(False, "replace the VOCdemo that is already in --output_dir")

    def __post_init__(self):
        super().__post_init__()
        require(self, "output_dir")
