"""Which devices compute, and how they share the work."""

import os
from collections.abc import Sequence
from unittest import mock

import numpy as np
import tensorflow as tf
from tensorflow.python.distribute.collective_all_reduce_strategy import (
    CollectiveAllReduceExtended,
    coordination_config_pb2,
)
from tensorflow.python.eager import context

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.devices import compiler_line, gpu_threads, onednn
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import DeviceOptions, ModelOptions

# TensorFlow reports missing GPU libraries only in its log, which flags.run silences.
WHY_NO_GPU = "TF_CPP_MIN_LOG_LEVEL=0 in the environment shows why"

# All workers make their strategies at the same time: it takes them a second.
_REGISTER_SECONDS = 60


def create_strategy(
    options: DeviceOptions, group: WorkerGroup | None = None
) -> tf.distribute.Strategy:
    """The strategy over all GPUs, over virtual CPU devices, or the default one for a single CPU.

    Also sets Keras's precision policy, and lets GPU memory grow with use.

    Args:
        options: which devices.
        group: of several workers, which make theirs at the same time: the devices of all.

    Raises:
        InputError: there is no GPU although ``require_gpu`` is set, TensorFlow has already started
            with fewer virtual devices, or these devices cannot add up ``gradient_dtype``.
    """
    strategy = _strategy(options, group)
    compiler_line.swallow()
    if options.gradient_dtype != "float32" and not _adds_up(strategy, options.gradient_dtype):
        raise InputError(
            f"--gradient_dtype={options.gradient_dtype}: on these devices, TensorFlow "
            f"{tf.__version__} adds it up wrongly; use float32"
        )
    return strategy


def _strategy(options: DeviceOptions, group: WorkerGroup | None) -> tf.distribute.Strategy:
    gpus = tf.config.list_physical_devices("GPU")
    if options.require_gpu and not gpus:
        raise InputError(
            f"--require_gpu: TensorFlow finds no GPU ({WHY_NO_GPU}); install ssd_tfrecord[cuda] "
            "and a driver, or omit the flag to compute on the CPU"
        )
    # Before any layer is built: a layer keeps the policy in force when it is made.
    keras.mixed_precision.set_global_policy(options.precision)
    names = _virtual_devices(options.num_virtual_devices) if options.num_virtual_devices else []
    if not names:
        # By default TensorFlow takes nearly all memory of every GPU at once.
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    on_gpus = [_name(gpu) for gpu in gpus]
    if group:
        return _several_workers(group, names or on_gpus or ["CPU:0"])
    if names:
        # What TensorFlow would fall back to on CPUs, with a warning: NCCL is for GPUs only.
        return tf.distribute.MirroredStrategy(
            names, cross_device_ops=tf.distribute.ReductionToOneDevice()
        )
    # By name: otherwise it looks for other workers in TF_CONFIG.
    return tf.distribute.MirroredStrategy(on_gpus) if gpus else tf.distribute.get_strategy()


def _adds_up(strategy: tf.distribute.Strategy, dtype: str) -> bool:
    """Whether a sum over all replicas is right in ``dtype``; to be called by all workers.

    TensorFlow's interface to NCCL takes types that it does not know for float32, and says nothing.
    """
    # Exact in bfloat16, too, as is their sum over 256 replicas; beyond, gradients would not add up.
    values = np.tile([1.0, -2.0, 0.0, 0.5], 16)

    def total() -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(values, dtype))

    sums = tf.function(lambda: strategy.run(total), autograph=False)()
    found = [tf.cast(part, tf.float32) for part in strategy.experimental_local_results(sums)]
    return all(np.array_equal(part, strategy.num_replicas_in_sync * values) for part in found)


def num_local_replicas(options: DeviceOptions) -> int:
    """How many replicas this machine has in a strategy of ``create_strategy``."""
    gpus = tf.config.list_physical_devices("GPU")
    return options.num_virtual_devices or len(gpus) or 1


def _several_workers(group: WorkerGroup, devices: Sequence[str]) -> tf.distribute.Strategy:
    """The strategy over ``devices`` of this worker and as many of each other."""
    on_gpus = devices[0].startswith("GPU")
    cluster = tf.train.ClusterSpec(group.tf_config()["cluster"])
    # As TensorFlow does it, but it would wait for an hour for a worker that does not come, and
    # Python stands still meanwhile.
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        cluster_register_timeout_in_ms=1000 * _REGISTER_SECONDS,
        coordinated_jobs=[
            coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=group.count)
        ],
    )
    communication = tf.distribute.experimental.CommunicationImplementation
    with mock.patch.object(
        CollectiveAllReduceExtended,
        "_initialize_local_devices",
        # TensorFlow's own takes one CPU device, and counts GPUs that are not to be used.
        lambda self, resolver, worker: (
            tuple(f"{worker}/device:{name}" for name in devices),
            "GPU" if on_gpus else "CPU",
        ),
    ):
        try:
            return tf.distribute.MultiWorkerMirroredStrategy(
                tf.distribute.cluster_resolver.SimpleClusterResolver(
                    cluster,
                    task_type="worker",
                    task_id=group.index,
                    rpc_layer="grpc",
                ),
                tf.distribute.experimental.CommunicationOptions(
                    implementation=communication.NCCL if on_gpus else communication.RING
                ),
            )
        except tf.errors.UnknownError as error:
            if "gRPC server" not in str(error):
                raise
            raise InputError(
                f"{group.addresses[group.index]}: the port cannot be listened at (another process "
                "may do so); choose another --cluster_port, or other ports in TF_CONFIG"
            ) from None


def check_xla(xla: bool, model: ModelOptions, num_replicas: int) -> None:
    """Checks that no replica compiled by XLA would have to wait for the others.

    Args:
        xla: ``--xla``.
        model: backbone and ``--batch_norm``.
        num_replicas: of the strategy.

    Raises:
        InputError: batch normalisation would exchange statistics between compiled replicas.
    """
    exchanges = model.batch_norm == "sync" and BACKBONES[model.backbone].has_batch_norm
    if xla and num_replicas > 1 and exchanges:
        raise InputError(
            f"--xla cannot be combined with --batch_norm=sync on {num_replicas} replicas: a "
            "compiled replica cannot exchange statistics with the others; use --batch_norm=frozen "
            "or omit --xla"
        )


def device_table(
    strategy: tf.distribute.Strategy, options: DeviceOptions, group: WorkerGroup | None = None
) -> str:
    """The lines that tell on which devices the run computes, and how gradients travel.

    Args:
        strategy: of ``create_strategy``.
        options: those that it was made with.
        group: likewise.
    """
    used = _device_names(strategy)
    gpus = [gpu for gpu in tf.config.list_physical_devices("GPU") if _name(gpu) in used]
    # A cluster job or container may be confined to some of the machine's cores.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    replicas = strategy.num_replicas_in_sync
    workers = f" on {group.count} workers ({group.source})" if group else ""
    lines = [f"Devices: {replicas} replica(s){workers}, {options.precision}"]
    if group:
        lines.append(f"  workers: {', '.join(group.names)}; those of {group.name}:")
    lines += [f"  {_name(gpu)}  {_model(gpu)}" for gpu in gpus]
    lines += [f"  {gpu_threads.describe()}"] if gpus else []
    if len(used) > max(len(gpus), 1):
        lines.append(f"  {len(used)} virtual devices on the CPU, {cores} cores")
    elif not gpus:
        lines.append(f"  no GPU: computing on the CPU, {cores} cores ({WHY_NO_GPU})")
    lines += [] if gpus else [f"  {onednn.describe()}"]
    if replicas > 1 and (gpus or options.gradient_dtype != "float32"):
        packs = f"packs of {options.allreduce_mb} MB" if options.allreduce_mb else "one by one"
        lines.append(f"  gradients travel as {options.gradient_dtype}, {packs}")
    return "\n".join(lines)


def _virtual_devices(count: int) -> list[str]:
    """Splits the CPU into at least ``count`` devices; returns the names of the first ``count``."""
    names = [f"CPU:{index}" for index in range(count)]
    cpu = tf.config.list_physical_devices("CPU")[0]
    declared = tf.config.get_logical_device_configuration(cpu)
    # Devices cannot change once TensorFlow has started: a second run in a process uses the same
    # ones.
    if len(declared or ()) >= count:
        return names
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError:
        raise InputError(
            f"--num_virtual_devices={count}: TensorFlow has already started with "
            f"{len(declared or (1,))} device(s) in this process; start a new process"
        ) from None
    return names


def _device_names(strategy: tf.distribute.Strategy) -> list[str]:
    """Names like GPU:0 of the devices of a mirrored strategy; none for the default strategy."""
    kinds = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
    if not isinstance(strategy, kinds):
        return []
    return [name.rpartition("/device:")[2] for name in strategy.extended.worker_devices]


def _name(gpu: tf.config.PhysicalDevice) -> str:
    return gpu.name.removeprefix("/physical_device:")


def _model(gpu: tf.config.PhysicalDevice) -> str:
    return tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
