"""A published model as a run folder, for all that takes one."""

import dataclasses
import os

import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.config.weights_import import ImportConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published import published_model
from ssd_tfrecord.model.weights.published.published_model import PublishedModel
from ssd_tfrecord.model.weights.published.published_network import network_of
from ssd_tfrecord.options import DetectionOptions
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.runs import identity, run_folder, run_lock, start_weights
from ssd_tfrecord.runs.checkpoints import Checkpoints


def write(config: ImportConfig) -> DetectionOptions:
    """Makes ``config.output`` a run folder with the weights of ``config.input`` at step 0.

    Args:
        config: of the import.

    Returns:
        The thresholds with which the authors of the model evaluated it.

    Raises:
        InputError: the file cannot be read or is of no known layout, or the folder is not empty.
        DiskError: the folder cannot be written.
    """
    if not run_folder.is_untouched(config.output):
        raise InputError(f"--output={config.output}: exists; must be a new or empty folder")
    try:
        published = published_model.read_published(config.input, config.classes)
    except InputError as error:
        # The message begins with the path.
        raise InputError(f"--input={error}") from None
    if config.anchor_scales:
        published = dataclasses.replace(published, anchor_scales=config.anchor_scales)
    run = _config(config, published)
    print(*published.lines, sep="\n")
    # Before the folder is made: the last thing that may fail is the network.
    model = network_of(published)
    with run_lock.held(config.output) as lines:
        print(*lines, sep="\n", end="\n" if lines else "")
        began = dataclasses.replace(
            identity.of_flags(run), train=(), weights=start_weights.named_by(run)
        )
        run_folder.begin(run, began)
        kept = Checkpoints(config.output, model=model, optimizer=tf.train.Checkpoint(), keep=1)
        kept.write_classes(_classes(published))
        path = kept.save(0)
    print(f"{path}: {len(published.arrays)} layers")
    return published.detection_options


def _config(config: ImportConfig, published: PublishedModel) -> TrainConfig:
    """The flags of a training that ends with these weights after 0 steps."""
    path = os.path.abspath(config.input)
    return TrainConfig(
        # There are no records: this says where the weights come from.
        train_records=(path,),
        run_dir=config.output,
        init_checkpoint=path,
        model=published.model_options,
        anchors=published.anchor_options,
        detection=published.detection_options,
    )


def _classes(published: PublishedModel) -> tuple[ClassLabel, ...]:
    pairs = zip(published.class_names, published.original_ids)
    return tuple(ClassLabel(label, name, there) for label, (name, there) in enumerate(pairs, 1))
