"""The configs of evaluation and detection."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.options import DetectionOptions, DeviceOptions, Options, option

RUN_TEXT = "run folder of the model, the --run_dir of its training (required)"
CHECKPOINT_TEXT = (
    "which weights to use: best (by --best_metric of the training; the last if there is no best), "
    "last, or the path of a checkpoint, …/checkpoints/ckpt-N"
)


@dataclass(frozen=True)
class EvalConfig(Options):
    """Evaluate a trained model on a record set: VOC and COCO metrics, per class and overall."""

    run_dir: str = option("", RUN_TEXT)
    records: str = option(
        "",
        "folder of the record set to evaluate on, with the classes of training in the same order "
        "(required)",
    )
    checkpoint: str = option("best", CHECKPOINT_TEXT)
    batch_size: int = option(
        32,
        "number of images per batch, over all replicas; changes speed and memory, not the result",
        minimum=1,
    )
    output_dir: str = option(
        "", "folder for metrics.json, pictures and detections; empty: --run_dir"
    )
    save_detections: str = option(
        "",
        "also write all detections. voc: comp4 text file per class; coco: results.json with the "
        "image and category ids of the record set, and ground_truth.json; cartucho: text file per "
        "image; empty: none",
        choices=("", "voc", "coco", "cartucho"),
    )
    num_pictures: int = option(
        16,
        # detection.pictures.MIN_SCORE
        "number of images to draw, detections with a score of at least 0.3 beside ground truth; 0: "
        "none",
        minimum=0,
    )
    num_workers: int = option(
        0, "number of threads in the input pipeline; 0: one per core", minimum=0
    )
    detection: DetectionOptions = DetectionOptions()
    devices: DeviceOptions = DeviceOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "run_dir", "records")


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
