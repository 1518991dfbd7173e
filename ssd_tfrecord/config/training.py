"""What a training run, and the data service that feeds it, are told."""

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
    """Train an SSD; the same command goes on where the run folder stands."""

    train_records: tuple[str, ...] = option((), "record sets to train on, comma-separated")
    eval_records: str = option("", "record set of the periodic evaluation; default: none")
    run_dir: str = option("", "folder of the run")
    restart: bool = option(
        False, "begin afresh: what --run_dir holds of a run is removed", role="place"
    )
    num_steps: int = option(120000, "step at which the run ends", minimum=1, role="cadence")
    global_batch_size: int = option(32, "images a step, over all replicas", minimum=1)
    seed: int = option(0, "seed of weights, order and augmentation", minimum=0, maximum=2**31 - 1)
    steps_per_loop: int = option(
        10,
        "steps run between two looks of the host; shortened to meet every cadence",
        minimum=1,
        role="cadence",
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
        require(self, "train_records", "run_dir")
        if self.checkpoints.patience and not self.eval_records:
            raise InputError("--patience: needs --eval_records")
        self.anchors.check_maps(self.model.maps)
        check_batch_size(self.global_batch_size, self.devices.num_virtual_devices or 1)


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
            require(self, "dispatcher", "address")
        elif not self.port:
            raise InputError("--port: must be given to a dispatcher")
