"""A batch whose loss or gradient was not finite runs through the network of its run once more."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.devices.strategy import create_strategy
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.geometry import coding, matching
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import losses, ssd
from ssd_tfrecord.model.targets import assign_targets
from ssd_tfrecord.options import LossOptions
from ssd_tfrecord.runs import checkpoint_files, checkpoint_names, run_folder
from ssd_tfrecord.runs.checkpoint_names import CHECKPOINTS
from ssd_tfrecord.runs.loaded_run import LoadedRun, load_run
from ssd_tfrecord.tracing import not_converted
from ssd_tfrecord.training import learner
from ssd_tfrecord.training.nonfinite import bad_batch, findings
from ssd_tfrecord.training.nonfinite.bad_batch import SavedBatch
from ssd_tfrecord.training.nonfinite.findings import Box, Findings, Layer, Replay
from ssd_tfrecord.training.step import loss_and_gradients
from ssd_tfrecord.training.update import freezing


def run(path: str | os.PathLike[str], say_fn: Callable[[str], object] = print) -> None:
    """Runs the batch of a file through the network of its run, and says what is not finite.

    On one device, in the run's precision, with the newest checkpoint from before the step, or the
    weights that the run began with.

    Args:
        path: ``nonfinite-N.npz`` in its run folder.
        say_fn: called with the report.

    Raises:
        InputError: the file is damaged or does not lie in its run's folder, or weights from before
            the step cannot be read.
    """
    saved = bad_batch.load(path)
    folder = pathlib.Path(path).absolute().parent
    try:
        config = run_folder.read_config(folder)
    except InputError as error:
        raise InputError(f"--replay={path}: must lie in the folder of its run ({error})") from None
    # For the precision, and so that a GPU's memory is taken as needed.
    create_strategy(dataclasses.replace(config.devices, num_virtual_devices=0, require_gpu=False))
    loaded = _load(folder, config, saved.step)
    freezing.freeze(loaded.model, config.optimizer.freeze, BACKBONES[config.model.backbone])
    size, num_classes = config.model.input_size, len(loaded.class_names)
    known = np.isin(saved.batch.labels, range(num_classes + 1)).all()
    if saved.batch.images.shape[1] != size or not known:
        raise InputError(
            f"--replay={path}: its images have {saved.batch.images.shape[1]} pixels or other "
            f"classes than the run in {folder} ({size} pixels, {num_classes} classes)"
        )
    say_fn(tell(saved, loaded))


def tell(saved: SavedBatch, loaded: LoadedRun) -> str:
    """Runs a saved batch through a network; returns the report.

    Args:
        saved: the batch.
        loaded: the run's network, config and classes.
    """
    precision = loaded.config.devices.precision
    about = Replay(saved.step, saved.names, loaded.step, loaded.class_names, precision)
    return findings.to_text(about, examine(loaded, saved.batch))


def examine(loaded: LoadedRun, batch: Batch) -> Findings:
    """Runs ``batch`` forward and back.

    Args:
        loaded: the run's network, config and classes.
        batch: arrays.
    """
    config, model = loaded.config, loaded.model
    anchors = tf.constant(anchor_boxes(config.anchors, config.model.maps))
    tensors = Batch(*(tf.constant(value) for value in batch))
    images = pipeline.network_images(tensors, config.input.color)
    # Before the forward pass in training mode, which changes the moving averages.
    bad_weights = [weight.name for weight in model.weights if not _finite(weight.numpy())]
    layers, outputs = _forward(model, images)
    targets, counts = assign_targets(tensors.boxes, tensors.labels, anchors)
    num_positives = counts[1]
    parts = [
        loss / max(1.0, float(num_positives))
        for loss in _losses(outputs, targets, anchors, config.loss)
    ]

    @tf.function(autograph=False)
    def gradients() -> list[tf.Tensor]:
        found = loss_and_gradients(
            model,
            images,
            targets,
            num_positives,
            anchors_A4=anchors,
            options=config.loss,
            scale_fn=lambda loss: loss,
        )[2]
        return [tf.norm(tf.cast(gradient, tf.float32)) for gradient in found]

    names = [variable.name for variable in model.trainable_variables]
    norms = [float(norm) for norm in gradients()]
    return Findings(
        layers=layers,
        boxes=tuple(_boxes(tensors, targets, outputs, anchors, config.loss)),
        class_losses=parts[0],
        box_losses=parts[1],
        gradients=tuple(zip(names, norms)),
        bad_weights=tuple(bad_weights),
    )


def _load(folder: pathlib.Path, config: TrainConfig, step: int) -> LoadedRun:
    """The newest weights from before ``step``: a checkpoint's, or those that the run began with."""
    place = folder / CHECKPOINTS
    numbers = [number for number in checkpoint_names.steps(place) if number < step]
    if not numbers:
        return _first(place, config)
    reasons = []
    for number in reversed(numbers):
        try:
            return load_run(folder, str(place / f"ckpt-{number}"), weights="raw")
        except (InputError, tf.errors.OpError, ValueError, AssertionError) as error:
            reasons.append(" ".join(str(error).splitlines()))
    raise InputError(
        f"--replay: no checkpoint in {place} from before step {step} can be read ({reasons[0]}), "
        "so the weights that met the batch are not known"
    )


def _first(place: pathlib.Path, config: TrainConfig) -> LoadedRun:
    """The network with the weights of step 0."""
    classes = checkpoint_files.read_classes(place)
    prior = losses.object_prior(config.loss)
    model = ssd.build(config.model, config.anchors, len(classes), config.seed, prior=prior)
    learner.first_weights(model, classes, config)
    names = tuple(label.name for label in classes)
    ids = tuple(label.original_id for label in classes)
    return LoadedRun(model, config, names, ids, 0)


@not_converted
def _forward(
    model: keras.Model, images: tf.Tensor
) -> tuple[tuple[Layer, ...], dict[str, tf.Tensor]]:
    """What each layer returns in training mode, in the order of the network; and the outputs."""
    inner = model.layers
    probe = keras.Model(model.input, [[layer.output for layer in inner], model.output])

    # In a graph, so that no more outputs are in memory than a layer needs.
    @tf.function(autograph=False)
    def run() -> tuple[list[tuple[tf.Tensor, tf.Tensor]], dict[str, tf.Tensor]]:
        values, outputs = probe(images, training=True)
        return [_extent(value) for value in values], outputs

    extents, outputs = run()
    # The first is the input.
    names = [f"{inner[0].name} (the network's input)", *(layer.name for layer in inner[1:])]
    layers = tuple(
        Layer(name, float(largest), bad.numpy()) for name, (largest, bad) in zip(names, extents)
    )
    return layers, outputs


def _extent(value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Largest finite magnitude, and whether each image has a number that is not: bool [B]."""
    flat = tf.reshape(tf.cast(value, tf.float32), [tf.shape(value)[0], -1])
    finite = tf.math.is_finite(flat)
    largest = tf.reduce_max(tf.where(finite, tf.abs(flat), 0.0))
    return largest, tf.reduce_any(~finite, axis=1)


def _losses(
    outputs: dict[str, tf.Tensor],
    targets: dict[str, tf.Tensor],
    anchors: tf.Tensor,
    options: LossOptions,
) -> tuple[np.ndarray, np.ndarray]:
    """Class loss and weighted box loss of each image, summed over its anchors: float32 [B] each."""
    # Image by image: hard negatives are mined within an image, so the sums are those of the step.
    rows = []
    for image in range(len(targets["labels"])):
        one = slice(image, image + 1)
        sums = losses.multibox_sums(
            {name: value[one] for name, value in outputs.items()},
            {name: value[one] for name, value in targets.items()},
            anchors,
            options,
        )
        rows.append((float(sums[0]), options.box_loss_weight * float(sums[1])))
    class_loss, box_loss = np.array(rows, np.float32).T
    return class_loss, box_loss


def _boxes(
    batch: Batch,
    targets: dict[str, tf.Tensor],
    outputs: dict[str, tf.Tensor],
    anchors: tf.Tensor,
    options: LossOptions,
) -> Iterable[Box]:
    """Every object, learnt by an anchor or not."""
    loss_BA = losses.BOX_LOSSES[options.box_loss](outputs["offsets"], targets["boxes"], anchors)
    target_BA = tf.reduce_max(tf.abs(coding.encode(targets["boxes"], anchors)), axis=-1)
    match_BA = matching.match(batch.boxes, batch.labels, anchors).numpy()
    loss_BA, target_BA = loss_BA.numpy(), target_BA.numpy()
    labels_BM, boxes_BM4 = batch.labels.numpy(), batch.boxes.numpy()
    for image, matches in enumerate(match_BA):
        for place in labels_BM[image].nonzero()[0]:
            mine = matches == place
            yield Box(
                image=image,
                label=int(labels_BM[image, place]),
                corners=boxes_BM4[image, place],
                num_anchors=int(mine.sum()),
                largest_target=float(target_BA[image, mine].max(initial=0.0)),
                loss=float(loss_BA[image, mine].sum()),
            )


def _finite(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all())
