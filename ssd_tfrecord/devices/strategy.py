"""Which devices compute, and how they share the work."""

import os

import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import DeviceOptions, ModelOptions

# TensorFlow reports missing GPU libraries only in its log, which flags.run silences.
WHY_NO_GPU = "TF_CPP_MIN_LOG_LEVEL=0 in the environment shows why"


def create_strategy(options: DeviceOptions) -> tf.distribute.Strategy:
    """The strategy over all GPUs, over virtual CPU devices, or the default one for a single CPU.

    Also sets Keras's precision policy, and lets GPU memory grow with use.

    Raises:
        InputError: there is no GPU although ``require_gpu`` is set, or TensorFlow has already
            started with fewer virtual devices.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if options.require_gpu and not gpus:
        raise InputError(
            f"--require_gpu: TensorFlow finds no GPU ({WHY_NO_GPU}); install ssd_tfrecord[cuda] "
            "and a driver, or omit the flag to compute on the CPU"
        )
    # Before any layer is built: a layer keeps the policy in force when it is made.
    keras.mixed_precision.set_global_policy(options.precision)
    if options.num_virtual_devices:
        names = _virtual_devices(options.num_virtual_devices)
        # What TensorFlow would fall back to on CPUs, with a warning: NCCL is for GPUs only.
        return tf.distribute.MirroredStrategy(
            names, cross_device_ops=tf.distribute.ReductionToOneDevice()
        )
    # By default TensorFlow takes nearly all memory of every GPU at once.
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return tf.distribute.MirroredStrategy() if gpus else tf.distribute.get_strategy()


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


def device_table(strategy: tf.distribute.Strategy, precision: str) -> str:
    """The lines that tell on which devices the run computes, and in which precision."""
    used = _device_names(strategy)
    gpus = [gpu for gpu in tf.config.list_physical_devices("GPU") if _name(gpu) in used]
    # A cluster job or container may be confined to some of the machine's cores.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lines = [f"Devices: {strategy.num_replicas_in_sync} replica(s), {precision}"]
    lines += [f"  {_name(gpu)}  {_model(gpu)}" for gpu in gpus]
    if len(used) > len(gpus):
        lines.append(f"  {len(used)} virtual devices on the CPU, {cores} cores")
    elif not gpus:
        lines.append(f"  no GPU: computing on the CPU, {cores} cores ({WHY_NO_GPU})")
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
    if not isinstance(strategy, tf.distribute.MirroredStrategy):
        return []
    return [name.rpartition("/device:")[2] for name in strategy.extended.worker_devices]


def _name(gpu: tf.config.PhysicalDevice) -> str:
    return gpu.name.removeprefix("/physical_device:")


def _model(gpu: tf.config.PhysicalDevice) -> str:
    return tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
