"""The configs of a training run and of the data service that feeds it."""

import re
from dataclasses import dataclass

from ssd_tfrecord.config.checks import check_batch_size, require
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import (
    AnchorOptions,
    CheckpointOptions,
    ClusterOptions,
    DetectionOptions,
    DeviceOptions,
    InputOptions,
    LossOptions,
    ModelOptions,
    OptimizerOptions,
    Options,
    option,
)


@dataclass(frozen=True)
class TrainConfig(Options):
    """Train an SSD. To resume a stopped run, run the same command again."""

    train_records: tuple[str, ...] = option(
        (), "folders of the record sets to train on, comma-separated (required)"
    )
    eval_records: str = option(
        "",
        "folder of the record set to evaluate on during training; empty: no evaluation",
        role="view",
    )
    run_dir: str = option(
        "",
        "folder for everything that the run writes: new, empty, or that of the run to resume "
        "(required)",
        role="place",
    )
    restart: bool = option(
        False,
        "delete the run in --run_dir and start from scratch, instead of resuming it",
        role="place",
    )
    restart_id: str = option(
        "",
        "for a job script that is run again after each stop: start from scratch as with --restart, "
        "unless the run in --run_dir was begun with this id (such as $SLURM_JOB_ID), which is then "
        "resumed",
        role="place",
    )
    num_steps: int = option(
        120000, "number of training steps (batches) in total", minimum=1, role="cadence"
    )
    max_hours: float = option(
        0.0,
        "end the run in time, so that its last checkpoint and evaluation are done within this many "
        "hours of the start of the process; 0: no limit",
        minimum=0.0,
        role="cadence",
    )
    global_batch_size: int = option(
        32,
        "number of images per step, over all replicas; must be a multiple of their number. auto: "
        "the most that fit, found by trial steps before the run begins",
        minimum=1,
        words={"auto": 0},
    )
    # data/pipeline.py packs seed and epoch into one int64.
    seed: int = option(
        0,
        "random seed of initial weights, order of the images and augmentation",
        minimum=0,
        maximum=2**31 - 1,
    )
    steps_per_loop: int = option(
        10,
        "number of steps that run on the device in one call; larger values reduce overhead, but "
        "the progress line waits for the end of a call. Calls are shortened to meet "
        "--checkpoint_every and the like",
        minimum=1,
        role="cadence",
    )
    input_timeout: int = option(
        120,
        "end the run, with a checkpoint, if no batch has come for this many seconds; 0: wait for "
        "ever. A wait is reported after 20 seconds",
        minimum=0,
        role="means",
    )
    skip_nonfinite: int = option(
        0,
        "number of batches whose loss or gradient is not finite to leave out, each reported, "
        "before the next one ends the run",
        minimum=0,
    )
    replay: str = option(
        "",
        "instead of training: run the batch of such a file (…/nonfinite-N.npz) through the run's "
        "network, and print which image, box, part of the loss and layer is not finite first",
        role="place",
    )
    verify_curve: str = option(
        "",
        "say at the evaluations whether the run is on a known curve: recipe, that of the recipe "
        "whose flags these are; the name of another recipe; or a file like configs/*.curve.csv. "
        "Afterwards, compare-curve does so",
        role="view",
    )
    xla: bool = option(
        False, "compile loss and gradients with XLA: a slow start, then often faster steps"
    )
    init_checkpoint: str = option(
        "",
        "start from other weights, instead of --backbone_weights: a run folder (its best "
        "checkpoint), a checkpoint in it, or the file of a published SSD (torchvision's, "
        "amdegroot's, lufficc's, the authors' Caffe model, ssd_keras's: .pth, .safetensors, "
        ".caffemodel, .h5); class outputs are matched by class name",
    )
    model: ModelOptions = ModelOptions()
    anchors: AnchorOptions = AnchorOptions()
    input: InputOptions = InputOptions()
    loss: LossOptions = LossOptions()
    optimizer: OptimizerOptions = OptimizerOptions()
    detection: DetectionOptions = DetectionOptions()
    checkpoints: CheckpointOptions = CheckpointOptions()
    devices: DeviceOptions = DeviceOptions()
    cluster: ClusterOptions = ClusterOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        # A replay finds them beside its file.
        if not self.replay:
            require(self, "train_records", "run_dir")
        if self.checkpoints.patience and not self.eval_records:
            raise InputError("--patience requires --eval_records")
        if self.verify_curve and not self.eval_records:
            raise InputError("--verify_curve requires --eval_records")
        self.anchors.check_maps(self.model.maps)
        # With GPUs the number of replicas is known only to TensorFlow; the session checks again.
        check_batch_size(
            self.global_batch_size,
            self.devices.num_virtual_devices or 1,
            accumulate_steps=self.optimizer.accumulate_steps,
        )


@dataclass(frozen=True)
class DataServiceConfig(Options):
    """Make training batches on other machines, for --data_service of the trainer."""

    role: str = option(
        "dispatcher",
        "what this process does. dispatcher: hand out work; there is one per run. worker: make "
        "batches; start one on each machine that can be spared, and give it --dispatcher",
        choices=("dispatcher", "worker"),
    )
    port: int = option(
        0,
        "port to listen on; required for the dispatcher. 0, for workers: any free port",
        minimum=0,
        maximum=65535,
    )
    dispatcher: str = option("", "host:port of the dispatcher; required for workers")
    work_dir: str = option(
        "",
        "folder for the dispatcher's journal, one for each run, from which a dispatcher that is "
        "started again at the same --port goes on; empty: such a restart ends the run",
    )
    address: str = option(
        "localhost", "name or address at which the trainer reaches this machine; for workers"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.role == "worker":
            require(self, "dispatcher", "address")
            if not re.fullmatch(r"[^/\s]+:\d+", self.dispatcher):
                raise InputError(f"--dispatcher={self.dispatcher}: must be host:port")
        elif not self.port:
            raise InputError("--port is required for a dispatcher")
