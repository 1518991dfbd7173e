"""The config of the demo data set."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.options import Options, option


@dataclass(frozen=True)
class DemoConfig(Options):
    """Draw a demo data set, to be converted with --sets=demo_train and --sets=demo_test."""

    output_dir: str = option(
        "",
        "folder to create VOCdemo in, new or empty; it is the --voc_root of the conversion "
        "(required)",
    )
    num_train: int = option(1000, "number of images in demo_train", minimum=1)
    num_test: int = option(200, "number of images in demo_test", minimum=1)
    seed: int = option(0, "random seed of the images; equal seeds draw equal images", minimum=0)
    overwrite: bool = option(False, "replace the VOCdemo in --output_dir, and nothing else there")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "output_dir")
