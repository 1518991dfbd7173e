"""What each program is told: options composed, plus the program's own fields. Stdlib only."""

from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import (
    AnchorOptions,
    BoxOptions,
    CheckpointOptions,
    DetectionOptions,
    DeviceOptions,
    ImageOptions,
    InputOptions,
    LossOptions,
    ModelOptions,
    OptimizerOptions,
    Options,
    RecordSetOptions,
    option,
)

CHECKPOINT_TEXT = "best, last, or the path of a checkpoint (…/checkpoints/ckpt-N)"


def _require(config, *names):
    for name in names:
        if not getattr(config, name):
            raise InputError(f"--{name}: must be given")


def check_batch_size(batch_size: int, num_replicas: int, flag: str = "global_batch_size") -> None:
    """Raises ``InputError`` where the batch of ``--flag`` cannot be shared out evenly."""
    if batch_size % num_replicas:
        raise InputError(
            f"--{flag}={batch_size}: must be a multiple of the {num_replicas} replicas"
        )


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
        _require(self.record_set, "output_dir")
        if bool(self.voc_root) == bool(self.annotations_dir):
            raise InputError(
                "give either --voc_root with --sets, or --annotations_dir with --images_dir"
            )
        _require(self, *(("sets",) if self.voc_root else ("images_dir",)))
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
        _require(self, "annotations", "images_dir")
        _require(self.record_set, "output_dir")


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
        _require(self, "records")
        if not (self.verify or self.stats or self.draw or self.index):
            raise InputError("give --verify, --stats, --draw or --index")
        if self.plots and not self.stats:
            raise InputError("--plots: goes with --stats")
        if self.plots or self.draw:
            _require(self, "output_dir")
        if self.label_map and not self.index:
            raise InputError("--label_map: goes with --index")


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
        _require(self, "output_dir")


@dataclass(frozen=True)
class TrainConfig(Options):
    """Train an SSD; the same command goes on where the run folder stands."""

    train_records: tuple[str, ...] = option((), "record sets to train on, comma-separated")
    eval_records: str = option("", "record set of the periodic evaluation; default: none")
    run_dir: str = option("", "folder of the run")
    restart: bool = option(False, "begin afresh: what --run_dir holds of a run is removed")
    num_steps: int = option(120000, "step at which the run ends", minimum=1)
    global_batch_size: int = option(32, "images a step, over all replicas", minimum=1)
    seed: int = option(0, "seed of weights, order and augmentation", minimum=0, maximum=2**31 - 1)
    steps_per_loop: int = option(
        10, "steps run between two looks of the host; shortened to meet every cadence", minimum=1
    )
    xla: bool = option(False, "compile loss and gradients with XLA")
    init_checkpoint: str = option(
        "",
        "start from another run's weights (a run folder or checkpoint); heads are mapped by "
        "class name",
    )
    model: ModelOptions = ModelOptions()
    anchors: AnchorOptions = AnchorOptions()
    input: InputOptions = InputOptions()
    loss: LossOptions = LossOptions()
    optimizer: OptimizerOptions = OptimizerOptions()
    detection: DetectionOptions = DetectionOptions()
    checkpoints: CheckpointOptions = CheckpointOptions()
    devices: DeviceOptions = DeviceOptions()

    def __post_init__(self):
        super().__post_init__()
        _require(self, "train_records", "run_dir")
        if self.checkpoints.patience and not self.eval_records:
            raise InputError("--patience: needs --eval_records")
        self.anchors.check_maps(self.model.input_size)
        check_batch_size(self.global_batch_size, self.devices.num_virtual_devices or 1)


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
        _require(self, "run_dir", "records")


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
        _require(self, "run_dir", "images", "output_dir")


@dataclass(frozen=True)
class DataServiceConfig(Options):
    """Serve training batches to --data_service of the trainer."""

    role: str = option(
        "dispatcher",
        "dispatcher, one for all; or worker, as many as there are machines to spare",
        choices=("dispatcher", "worker"),
    )
    port: int = option(
        0, "port to listen at; 0, of a worker alone: any free one", minimum=0, maximum=65535
    )
    dispatcher: str = option("", "of a worker: the dispatcher's host:port")
    address: str = option("localhost", "of a worker: the name by which trainers reach it")

    def __post_init__(self):
        super().__post_init__()
        if self.role == "worker":
            _require(self, "dispatcher", "address")
        elif not self.port:
            raise InputError("--port: must be given to a dispatcher")


@dataclass(frozen=True)
class BenchmarkConfig(Options):
    """Measure what conversion and the parts of training cost, each alone and all together."""

    records: tuple[str, ...] = option(
        (), "record sets to measure on, comma-separated; --only=model and match need none"
    )
    only: str = option(
        "all",
        "what is measured: conversion, the input pipeline, a training step on synthetic data, both "
        "together, matching",
        choices=("all", "convert", "input", "model", "end_to_end", "match"),
    )
    batch_size: int = option(32, "images a batch, over all replicas", minimum=1)
    num_rounds: int = option(7, "rounds; figures are medians over them", minimum=1)
    num_batches: int = option(
        10,
        "batches that each chain of the input makes in a round, whose JPEGs of all rounds are held "
        "in memory; as many images are converted in a round",
        minimum=1,
    )
    num_steps: int = option(10, "steps of the model in a round", minimum=1)
    convert_workers: int = option(
        0,
        "also convert with 1 worker and with so many, 2 or more, as whole commands, and compare "
        "their CPU time; 0: not",
        minimum=0,
    )
    convert_images: int = option(
        12_000,
        "images of those commands, --records over and over; they take the room of as many images "
        "in the temporary folder",
        minimum=1,
    )
    json: str = option("", "file to save the figures in")
    compare: str = option("", "file of an earlier --json: print how each figure changed")
    fail_above: float = option(
        0.0,
        "exit with 1 where a cost rose, or a rate fell, by more than this percentage of "
        "--compare; 0: never",
        minimum=0.0,
    )
    xla: bool = option(False, "compile loss and gradients with XLA")
    input: InputOptions = InputOptions()
    model: ModelOptions = ModelOptions(backbone_weights="none")
    anchors: AnchorOptions = AnchorOptions()
    loss: LossOptions = LossOptions()
    optimizer: OptimizerOptions = OptimizerOptions()
    devices: DeviceOptions = DeviceOptions()

    def __post_init__(self):
        super().__post_init__()
        if self.only not in ("model", "match"):
            _require(self, "records")
        if self.fail_above:
            _require(self, "compare")
        if self.convert_workers == 1:
            raise InputError("--convert_workers=1: must be 0, or 2 at least")
        if self.convert_workers and self.only not in ("all", "convert"):
            raise InputError(
                f"--convert_workers={self.convert_workers}: --only={self.only} leaves conversion "
                "out: must be all or convert"
            )
        self.anchors.check_maps(self.model.input_size)
        check_batch_size(self.batch_size, self.devices.num_virtual_devices or 1, "batch_size")
