"""What the benchmark is told."""

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
    json: str = option("", "file to save the figures in", role="place")
    compare: str = option(
        "", "file of an earlier --json: print how each figure changed", role="place"
    )
    fail_above: float = option(
        0.0,
        "exit with 1 where a cost rose, or a rate fell, by more than this percentage of "
        "--compare; 0: never",
        minimum=0.0,
        role="place",
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
            require(self, "records")
        if self.fail_above:
            require(self, "compare")
        if self.convert_workers == 1:
            raise InputError("--convert_workers=1: must be 0, or 2 at least")
        if self.convert_workers and self.only not in ("all", "convert"):
            raise InputError(
                f"--convert_workers={self.convert_workers}: --only={self.only} leaves conversion "
                "out: must be all or convert"
            )
        self.anchors.check_maps(self.model.maps)
        check_batch_size(self.batch_size, self.devices.num_virtual_devices or 1, "batch_size")
