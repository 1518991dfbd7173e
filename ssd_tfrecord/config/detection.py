"""What evaluation and detection are told."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.options import DetectionOptions, DeviceOptions, Options, option

CHECKPOINT_TEXT = "best, last, or the path of a checkpoint (…/checkpoints/ckpt-N)"


@dataclass(frozen=True)
class EvalConfig(Options):
    """Evaluate a run on a record set: VOC's and COCO's metrics, per class."""

    run_dir: str = option("", "folder of the run")
    records: str = option("", "record set to evaluate on")
    checkpoint: str = option("best", CHECKPOINT_TEXT)
    batch_size: int = option(32, "images a step, over all replicas", minimum=1)
    output_dir: str = option("", "folder of what is written; default: --run_dir")
    save_detections: str = option(
        "",
        "also write detections: voc (comp4 files), coco (results JSON), cartucho (text files)",
        choices=("", "voc", "coco", "cartucho"),
    )
    num_pictures: int = option(16, "pictures of detections beside ground truth", minimum=0)
    num_workers: int = option(0, "threads of the input pipeline; 0: one a core", minimum=0)
    detection: DetectionOptions = DetectionOptions()
    devices: DeviceOptions = DeviceOptions()

    def __post_init__(self):
        super().__post_init__()
        require(self, "run_dir", "records")


@dataclass(frozen=True)
class DetectConfig(Options):
    """Detect objects in pictures: files, folders or globs -> pictures and JSON."""

    run_dir: str = option("", "folder of the run")
    images: tuple[str, ...] = option((), "files, folders or globs, comma-separated")
    output_dir: str = option("", "folder of the pictures and of detections.json")
    checkpoint: str = option("best", CHECKPOINT_TEXT)
    batch_size: int = option(8, "images a step", minimum=1)
    annotations_dir: str = option(
        "", "folder of VOC XML, found by the image's stem: drawn beside the detections"
    )
    detection: DetectionOptions = DetectionOptions(score_threshold=0.4, max_detections=10)
    devices: DeviceOptions = DeviceOptions()

    def __post_init__(self):
        super().__post_init__()
        require(self, "run_dir", "images", "output_dir")
