"""Checks that need no TensorFlow, so that most errors come at once."""

import dataclasses
import importlib.util
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data.footprint import check_cache
from ssd_tfrecord.devices import onednn
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import CAFFE
from ssd_tfrecord.records.manifest import Manifest, load_manifests
from ssd_tfrecord.runs import published_start, run_folder, start_weights
from ssd_tfrecord.runs.course import reference_curve

if TYPE_CHECKING:
    from ssd_tfrecord.model.weights.published.published_model import PublishedModel


def resolved(config: TrainConfig) -> TrainConfig:
    """``config`` with what is decided by the weights that it starts from, or by its earlier start.

    ``--anchor_variant``, if empty, is that of ``--init_checkpoint``, or caffe. A run that resumes
    keeps its own, whatever has become of the file that it began with; likewise the size of its
    batches with ``--global_batch_size=auto``, which stays open for a run that is new. Whether
    TensorFlow uses oneDNN is decided too, before it is imported.

    Args:
        config: of the run, as given.

    Raises:
        InputError: ``--init_checkpoint`` is needed and cannot be read, or the run folder cannot.
    """
    if config.replay:
        return config
    if not config.anchors.anchor_variant:
        anchors = dataclasses.replace(config.anchors, anchor_variant=_anchor_variant(config))
        config = dataclasses.replace(config, anchors=anchors)
    if not config.global_batch_size and _has_begun(config):
        config = dataclasses.replace(config, global_batch_size=_kept_batch_size(config.run_dir))
    kept = run_folder.onednn(config.run_dir) if _has_begun(config) else "auto"
    chosen = onednn.set_up(config.devices.onednn, kept)
    devices = dataclasses.replace(config.devices, onednn=chosen)
    return dataclasses.replace(config, devices=devices)


def _anchor_variant(config: TrainConfig) -> str:
    if run_folder.resumes(config):
        return run_folder.anchor_variant(config.run_dir)
    if config.init_checkpoint:
        return published_start.anchor_variant(config.init_checkpoint)
    return CAFFE


def _has_begun(config: TrainConfig) -> bool:
    """Whether the folder holds a run that goes on, be it from step 0: its flags are compared."""
    interrupted = pathlib.Path(config.run_dir) / run_folder.RESTARTING_FILE
    begun = run_folder.is_run(config.run_dir) and not interrupted.exists()
    return begun and not run_folder.restarts(config)


def _kept_batch_size(run_dir: str) -> int:
    try:
        kept = run_folder.read_identity(run_dir)
    except ValueError:  # damaged, or of a newer version
        kept = None
    text = kept.flags.get("global_batch_size", "") if kept else ""
    # An earlier version has kept no identity.
    return int(text) if text.isdecimal() else run_folder.read_config(run_dir).global_batch_size


def check(config: TrainConfig) -> tuple[tuple[Manifest, ...], Manifest | None]:
    """Checks the files that ``config`` refers to.

    Args:
        config: of the run.

    Returns:
        The manifests of the training sets, and that of the evaluation set or None.

    Raises:
        InputError: a record set is missing, class lists differ, there is no object to learn,
            weights that a new run begins with do not exist, a cache would exceed its limit, this
            stack does not have the optimizer, or there is no such curve.
    """
    reference_curve.watched(config)
    # A run that resumes has its own.
    if not run_folder.resumes(config):
        _check_start_weights(config)
    return record_sets(config)


def check_for_several(config: TrainConfig) -> None:
    """Checks what only one worker alone can do.

    Args:
        config: of a run of several workers.

    Raises:
        InputError: the batch size is still to be found.
    """
    if not config.global_batch_size:
        raise InputError(
            "--global_batch_size=auto: one machine alone can try batches; train there for a step, "
            "and give all workers the size that it says, times their number"
        )


def record_sets(config: TrainConfig) -> tuple[tuple[Manifest, ...], Manifest | None]:
    """Checks what a worker needs that has no run folder; returns what ``check`` does.

    Args:
        config: of the run.

    Raises:
        InputError: as ``check``, but for the weights.
    """
    require_addons(config.optimizer.optimizer)
    evaluation = (config.eval_records,) if config.eval_records else ()
    # All at once: their class lists are compared.
    manifests = load_manifests((*config.train_records, *evaluation))
    train = manifests[: len(config.train_records)]
    _refuse_without_objects(train)
    check_cache(train, config.input.reading)
    return train, manifests[-1] if evaluation else None


def _check_start_weights(config: TrainConfig) -> None:
    # The weights of another run replace the backbone's, which then need not exist.
    if published_start.is_published(config.init_checkpoint):
        _check_backbone(published_start.read(config.init_checkpoint), config)
    elif config.init_checkpoint:
        run_folder.run_of_checkpoint(config.init_checkpoint)
    elif config.model.backbone_weights not in start_weights.NAMED:
        _require_file("backbone_weights", config.model.backbone_weights, "imagenet, none or a file")


def _check_backbone(published: "PublishedModel", config: TrainConfig) -> None:
    if (published.backbone, 1.0) != (config.model.backbone, config.model.width):
        raise InputError(
            f"--init_checkpoint={published.path}: {published.layout} has --backbone="
            f"{published.backbone} and --width=1; the run must have the same"
        )


def _refuse_without_objects(manifests: Sequence[Manifest]) -> None:
    # One of several sets may hold backgrounds only. Without any object the loss is 0 at once, and
    # the model learns to find nothing.
    if not any(manifest.num_objects for manifest in manifests):
        names = ", ".join(manifest.directory for manifest in manifests)
        raise InputError(f"--train_records={names}: no image has an object; nothing can be learnt")


def require_addons(optimizer: str) -> None:
    """Checks that TensorFlow Addons is installed if ``optimizer`` comes from it.

    Raises:
        InputError: it is not.
    """
    # find_spec does not import Addons, which would import TensorFlow.
    if optimizer != "sgd" and importlib.util.find_spec("tensorflow_addons") is None:
        raise InputError(
            f"--optimizer={optimizer}: needs TensorFlow Addons, which exists up to Python 3.11 and "
            f"TensorFlow 2.15 (this is Python {sys.version_info[0]}.{sys.version_info[1]}); use "
            "those, or --optimizer=sgd"
        )


def _require_file(name: str, path: str, what: str) -> None:
    if not pathlib.Path(path).is_file():
        raise InputError(f"--{name}={path}: no such file; must be {what}")
