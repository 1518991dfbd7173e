"""The config of evaluation."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.config.trained import CHECKPOINT_TEXT, RUN_TEXT
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import DetectionOptions, DeviceOptions, Options, option


@dataclass(frozen=True)
class EvalConfig(Options):
    """Evaluate a model, or detections of any tool: metrics, curves, errors and a report to read."""

    run_dir: str = option("", RUN_TEXT.replace(" (required)", "; or give --detections"))
    records: tuple[str, ...] = option(
        (),
        "folders of the record sets to evaluate on, comma-separated (or give --annotations or "
        "--annotations_dir)",
    )
    checkpoint: str = option("best", CHECKPOINT_TEXT)
    detections: str = option(
        "",
        "evaluate these detections instead of a model: a COCO results.json, or a folder of VOC's "
        "comp4 files, of Cartucho/mAP's text files (or its detection-results), or of YOLO's "
        "(class x y width height confidence, as fractions)",
    )
    detections_format: str = option(
        "auto",
        "what --detections is; auto: what it looks like",
        choices=("auto", "coco", "voc", "cartucho", "yolo"),
    )
    detections_classes: str = option(
        "",
        "class names of the detections, one per line, or a classes.json or manifest.json, where "
        "they have numbers alone (YOLO) or COCO ids of their own; empty: the set's",
    )
    annotations: str = option("", "COCO instances JSON with the ground truth, instead of --records")
    annotations_dir: str = option(
        "", "folder of VOC XML files with the ground truth, instead of --records"
    )
    images_dir: str = option(
        "",
        "folder of the images of --annotations or --annotations_dir, for pictures; empty: none are "
        "drawn",
    )
    classes: str = option(
        "same",
        "same: the model or the detections must have the classes of the set, in whatever order; "
        "common: score only the classes that both have",
        choices=("same", "common"),
    )
    compare: str = option(
        "",
        "another run folder, or other detections of a kind that --detections takes: one more page, "
        "of both, with the differences and their intervals",
    )
    batch_size: int = option(
        32,
        "number of images per batch, over all replicas; changes speed and memory, not the result",
        minimum=1,
    )
    output_dir: str = option(
        "",
        "folder to write to, in a subfolder per set if there are several; empty: "
        "<run_dir>/evaluations/<set>",
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
        "number of images to draw, detections with a score of at least 0.3 beside ground truth, "
        "and number of worst images to draw; 0: none",
        minimum=0,
    )
    report: bool = option(
        True, "write report.html, charts, curves and what the errors are, not only the metrics"
    )
    loss: bool = option(
        True,
        "also measure the training loss on the sets, which takes another pass over the images",
    )
    bootstrap: int = option(
        1000,
        "number of random samples of the images for the 95 % intervals; 0: no intervals",
        minimum=0,
    )
    verbose: bool = option(False, "also print COCO's twelve numbers in the words of pycocotools")
    num_workers: int = option(
        0, "number of threads in the input pipeline; 0: one per core", minimum=0
    )
    detection: DetectionOptions = DetectionOptions()
    devices: DeviceOptions = DeviceOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.run_dir) == bool(self.detections):
            raise InputError("give either --run_dir or --detections")
        sources = [bool(self.records), bool(self.annotations), bool(self.annotations_dir)]
        if sources.count(True) != 1:
            raise InputError("give one of --records, --annotations and --annotations_dir")
        if self.run_dir and not self.records:
            require(self, "records")
        if self.detections:
            require(self, "output_dir")
            if len(self.records) > 1:
                raise InputError("--detections: must be evaluated on one of --records at a time")
