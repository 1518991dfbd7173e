"""The config of the benchmark."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import check_batch_size, require
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import (
    AnchorOptions,
    DeviceOptions,
    InputOptions,
    LossOptions,
    ModelOptions,
    OptimizerOptions,
    Options,
    option,
)


@dataclass(frozen=True)
class BenchmarkConfig(Options):
    """Measure what conversion and the parts of training cost, separately and together."""

    records: tuple[str, ...] = option(
        (),
        "folders of the record sets to measure on, comma-separated (required, except with "
        "--only=model, scaling, match, evaluation or hlo)",
    )
    only: str = option(
        "all",
        "what to measure. convert: conversion; input: the input pipeline; model: a training step "
        "on synthetic data; end_to_end: training steps fed by the input pipeline; match: matching "
        "anchors to objects; all: each of them. scaling: training steps on the numbers of GPUs in "
        "--replicas, or of virtual devices where there is none, and what keeps them from ideal. "
        "evaluation: metrics of drawn detections, beside pycocotools and, where they are "
        "installed, hotcoco and faster-coco-eval. hlo: measure nothing; write the compiled parts "
        "of training to --output_dir as HLO, for measuring where there is a GPU but no TensorFlow",
        choices=(
            *("all", "convert", "input", "model", "end_to_end", "match"),
            *("scaling", "evaluation", "hlo"),
        ),
    )
    batch_size: int = option(32, "number of images per batch, over all replicas", minimum=1)
    num_rounds: int = option(
        7,
        "number of rounds; figures are medians over them: more rounds give steadier figures",
        minimum=1,
    )
    num_batches: int = option(
        10,
        "number of batches that the input pipeline makes per round; conversion uses as many "
        "images. The JPEGs of all rounds are held in memory",
        minimum=1,
    )
    num_steps: int = option(10, "number of training steps per round", minimum=1)
    replicas: tuple[int, ...] = option(
        (1, 2, 4, 8),
        "numbers of replicas that --only=scaling measures beside 1, comma-separated; those above "
        "the number of GPUs are left out",
        minimum=1,
    )
    replica_batch_size: int = option(
        8,
        "number of images per replica and step in --only=scaling, in place of --batch_size: the "
        "global batch grows with the replicas",
        minimum=2,
    )
    convert_workers: int = option(
        0,
        "also run the converter with 1 worker and with this many, 2 or more, and compare the CPU "
        "time; 0: do not",
        minimum=0,
    )
    convert_images: int = option(
        12_000,
        "number of images that the runs of --convert_workers convert: those of --records, "
        "repeated; the set that they write takes the disk space of as many images in the temporary "
        "folder",
        minimum=1,
    )
    evaluation_images: int = option(
        500,
        "number of images of --only=evaluation, each with 100 detections; pycocotools takes some "
        "20 ms of each in every round. COCO has 5,000",
        minimum=1,
    )
    json: str = option("", "JSON file to save the figures to; empty: only print them", role="place")
    compare: str = option(
        "",
        "file saved by --json earlier: print how much each figure has changed since",
        role="place",
    )
    fail_above: float = option(
        0.0,
        "exit with code 1 if a figure is worse than in --compare by more than this many percent; "
        "0: never",
        minimum=0.0,
        role="place",
    )
    output_dir: str = option(
        "",
        "folder for what --only=hlo writes: a program for each part, batch size and precision "
        "(float32 and mixed_bfloat16), and index.json, which lists them",
        role="place",
    )
    hlo_batch_sizes: tuple[int, ...] = option(
        (32, 64, 128),
        "numbers of images per batch that --only=hlo writes programs for, comma-separated",
        minimum=1,
    )
    peer: str = option(
        "",
        "with --only=model, also measure another detector's step in the same rounds, in a process "
        "of its own. torchvision: its ssd300_vgg16 beside vgg16, its ssdlite320 beside MobileNets",
        choices=("", "torchvision"),
    )
    peer_python: str = option(
        "",
        "the Python that has the packages of --peer (torch and torchvision); empty: this one",
        role="place",
    )
    xla: bool = option(False, "compile loss and gradients with XLA")
    input: InputOptions = InputOptions()
    # Steps are measured on fresh weights: nothing is downloaded or loaded.
    model: ModelOptions = ModelOptions(backbone_weights="none")
    anchors: AnchorOptions = AnchorOptions()
    loss: LossOptions = LossOptions()
    optimizer: OptimizerOptions = OptimizerOptions()
    devices: DeviceOptions = DeviceOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.only not in ("model", "scaling", "match", "evaluation", "hlo"):
            require(self, "records")
        if self.only == "scaling":
            self._check_scaling()
        self._check_export()
        self._check_peer()
        if self.fail_above:
            require(self, "compare")
        if self.convert_workers == 1:
            raise InputError("--convert_workers=1: must be 0, or at least 2")
        if self.convert_workers and self.only not in ("all", "convert"):
            raise InputError(
                f"--convert_workers={self.convert_workers} requires --only=all or convert, not "
                f"--only={self.only}"
            )
        self.anchors.check_maps(self.model.maps)
        # With GPUs the number of replicas is known only to TensorFlow; checked again then.
        check_batch_size(self.batch_size, self.devices.num_virtual_devices or 1, "batch_size")

    def _check_scaling(self) -> None:
        require(self, "replicas")
        parts, size = self.optimizer.accumulate_steps, self.replica_batch_size
        if size % parts or size == parts:
            raise InputError(
                f"--replica_batch_size={size}: must be a multiple of --accumulate_steps={parts}, "
                "at least twice as large"
            )
        if count := self.devices.num_virtual_devices:
            raise InputError(
                f"--num_virtual_devices={count} cannot be combined with --only=scaling: its "
                "numbers are --replicas; to leave GPUs alone, set CUDA_VISIBLE_DEVICES= in the "
                "environment"
            )

    def _check_peer(self) -> None:
        if self.peer and self.only != "model":
            raise InputError(f"--peer={self.peer} requires --only=model, not --only={self.only}")
        if self.peer and self.devices.num_virtual_devices > 1:
            raise InputError(
                f"--num_virtual_devices={self.devices.num_virtual_devices} cannot be combined with "
                "--peer, which is one replica"
            )
        if self.peer_python:
            require(self, "peer")

    def _check_export(self) -> None:
        if self.only != "hlo":
            if self.output_dir:
                raise InputError(
                    f"--output_dir={self.output_dir} requires --only=hlo, not --only={self.only}"
                )
            return
        require(self, "output_dir", "hlo_batch_sizes")
        for name in ("json", "compare"):
            if path := getattr(self, name):
                raise InputError(f"--{name}={path}: --only=hlo measures nothing; omit one of them")
