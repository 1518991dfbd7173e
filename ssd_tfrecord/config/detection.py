"""The config of detection in image files."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.config.trained import CHECKPOINT_TEXT, RUN_TEXT
from ssd_tfrecord.options import DetectionOptions, DeviceOptions, Options, option


@dataclass(frozen=True)
class DetectConfig(Options):
    """Detect objects in image files; write pictures with boxes, and detections.json."""

    run_dir: str = option("", RUN_TEXT)
    images: tuple[str, ...] = option(
        (),
        "image files, folders (not their sub-folders; 'photos/**/*.jpg' searches them) or patterns "
        "such as 'photos/*.jpg', comma-separated (required)",
    )
    output_dir: str = option("", "folder for the pictures and detections.json (required)")
    checkpoint: str = option("best", CHECKPOINT_TEXT)
    batch_size: int = option(
        8,
        "number of images per batch; changes speed and memory, not the result",
        minimum=1,
    )
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
    # Pictures are for people: fewer and surer boxes than the metrics need.
    detection: DetectionOptions = DetectionOptions(score_threshold=0.4, max_detections=10)
    devices: DeviceOptions = DeviceOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "run_dir", "images", "output_dir")
