"""The configs of a training run and of the data service that feeds it."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import check_batch_size, require
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import (
    AnchorOptions,
    CheckpointOptions,
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
    )
    run_dir: str = option(
        "",
        "folder for everything that the run writes: new, empty, or that of the run to resume "
        "(required)",
    )
    restart: bool = option(
        False,
        "delete the run in --run_dir and start from scratch, instead of resuming it",
        role="place",
    )
    num_steps: int = option(
        120000, "number of training steps (batches) in total", minimum=1, role="cadence"
    )
    global_batch_size: int = option(
        32,
        "number of images per step, over all replicas; must be a multiple of their number",
        minimum=1,
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
        "the progress line and Ctrl-C wait for the end of a call. Calls are shortened to meet "
        "--checkpoint_every and the like",
        minimum=1,
        role="cadence",
    )
    xla: bool = option(
        False, "compile loss and gradients with XLA: a slow start, then often faster steps"
    )
    init_checkpoint: str = option(
        "",
        "start from the weights of another run, instead of --backbone_weights: its run folder "
        "(best checkpoint) or a checkpoint in it; class outputs are matched by class name",
    )
    model: ModelOptions = ModelOptions()
    anchors: AnchorOptions = AnchorOptions()
    input: InputOptions = InputOptions()
    loss: LossOptions = LossOptions()
    optimizer: OptimizerOptions = OptimizerOptions()
    detection: DetectionOptions = DetectionOptions()
    checkpoints: CheckpointOptions = CheckpointOptions()
    devices: DeviceOptions = DeviceOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "train_records", "run_dir")
        if self.checkpoints.patience and not self.eval_records:
            raise InputError("--patience requires --eval_records")
        self.anchors.check_maps(self.model.maps)
        # With GPUs the number of replicas is known only to TensorFlow; the session checks again.
        check_batch_size(self.global_batch_size, self.devices.num_virtual_devices or 1)


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
    address: str = option(
        "localhost", "name or address at which the trainer reaches this machine; for workers"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.role == "worker":
            require(self, "dispatcher", "address")
        elif not self.port:
            raise InputError("--port is required for a dispatcher")
