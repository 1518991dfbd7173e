"""The compiled parts of training as HLO, for measuring on a GPU that has no TensorFlow.

HLO is what XLA compiles. It is exported as TensorFlow emits it, before the passes of any device;
jaxlib runs it. Nothing is computed here, so batches of any size fit. Weights are arguments of a
program rather than part of it; anchors are constants.
"""

import json
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2

from ssd_tfrecord.benchmark.step_cost import synthetic_batches
from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.geometry import suppression
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.geometry.coding import decode
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import losses
from ssd_tfrecord.model.targets import assign_targets
from ssd_tfrecord.options import ColorOptions, DetectionOptions
from ssd_tfrecord.pixels import color
from ssd_tfrecord.training import learner
from ssd_tfrecord.training.step import StepOptions, TrainStep
from ssd_tfrecord.training.update import optimizers

SEED = 0
INDEX = "index.json"
PRECISIONS = ("float32", "mixed_bfloat16")

# Padded objects per image of the programs that match: the largest number in VOC and one of COCO's.
OBJECTS = (56, 128)

COLORS = ("original", "fast")

# A step computes the gradients of inputs and of filters, each as much work as the forward pass.
_STEP_FORWARDS = 3


@dataclass(frozen=True)
class Program:
    """A function to be compiled, with the shapes and types that it is compiled for.

    ``images`` is 0 where there is no batch, ``precision`` empty where the network has no part.
    ``gflop`` is that of the convolutions, for one image.
    """

    part: str
    function: Callable[..., Any]
    arguments: Mapping[str, tf.TensorSpec]
    images: int = 0
    precision: str = ""
    gflop: float = 0.0

    @property
    def file(self) -> str:
        """Name of the file that ``export`` writes."""
        words = (self.part, f"{self.images or ''}", self.precision)
        return "-".join(word for word in words if word) + ".hlo"


def export(config: BenchmarkConfig, num_classes: int) -> list[dict[str, Any]]:
    """Writes every program of ``programs`` to ``config.output_dir``, and ``index.json`` at the end.

    Args:
        config: of the benchmark.
        num_classes: number of classes without the background.

    Returns:
        The rows of the index: ``file``, ``part``, ``images``, ``precision``, ``gflop_per_image``
        and ``arguments``, {name, shape, dtype} of the program's first; its variables follow.

    Raises:
        InputError: the folder or a file cannot be written.
    """
    folder = pathlib.Path(config.output_dir)
    rows: list[dict[str, Any]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A folder without an index is incomplete.
        (folder / INDEX).unlink(missing_ok=True)
        for program in programs(config, num_classes):
            (folder / program.file).write_bytes(_portable(hlo(program)))
            rows.append(_row(program))
            print(f"{len(rows):4}  {program.file}", flush=True)
        (folder / INDEX).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"--output_dir={folder}: {error.strerror}; must be a folder that can be written"
        ) from None
    return rows


def programs(config: BenchmarkConfig, num_classes: int) -> Iterator[Program]:
    """The programs for each of ``config.hlo_batch_sizes``, made as they are asked for.

    ``step``: a whole step, that is colour, matching, gradients and update. Of its parts,
    ``gradients`` is forward, loss and gradients; ``matching_56`` and ``matching_128`` have as many
    objects per image; ``color_original``, ``color_fast``; ``update``: of the weights, by the
    optimizer. Of inference: ``forward``; ``decode``: forward, and boxes from the offsets;
    ``suppression``: from the network's outputs to detections.

    Args:
        config: of the benchmark; instead of its precision, each of ``PRECISIONS`` is used.
        num_classes: number of classes without the background.
    """
    policy = keras.mixed_precision.global_policy()
    try:
        for precision in PRECISIONS:
            # Layers keep the policy in force when they are made.
            keras.mixed_precision.set_global_policy(precision)
            made = learner.build(
                config, num_classes, tf.distribute.get_strategy(), num_steps=1, seed=SEED
            )
            for images in config.hlo_batch_sizes:
                yield from _network_programs(config, num_classes, made, images, precision)
    finally:
        keras.mixed_precision.set_global_policy(policy)
    # Weights and gradients are float32 in every precision.
    yield _update(config, made)
    for images in config.hlo_batch_sizes:
        yield from _other_programs(config, num_classes, images)


def hlo(program: Program, stage: str = "hlo_serialized") -> Any:
    """The program as XLA takes it: bytes, or text with ``stage="hlo"``."""
    # Of the CPU's kernels: those of a GPU may call libraries that only TensorFlow has.
    with tf.device("CPU:0"):
        function = _compiled(program)
        return function.experimental_get_compiler_ir(*program.arguments.values())(stage=stage)


def forward_gflop(model: keras.Model) -> float:
    """Operations of the convolutions for one image, in 10^9; a product and its sum count as two."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            kernel = layer.weights[0].shape.num_elements()
            total += 2 * kernel * math.prod(layer.output_shape[1:3])
    return total / 1e9


def _compiled(program: Program) -> Any:
    return tf.function(program.function, jit_compile=True, autograph=False)


def _portable(serialized: bytes) -> bytes:
    """The same program without instructions that StableHLO lacks, which jaxlib turns HLO into.

    TensorFlow copies each variable that a program returns; a reshape to the same shape is equal.
    """
    module = hlo_pb2.HloModuleProto.FromString(serialized)
    for computation in module.computations:
        for instruction in computation.instructions:
            if instruction.opcode == "copy":
                instruction.opcode = "reshape"
    return module.SerializeToString()


def _row(program: Program) -> dict[str, Any]:
    arguments = [
        {"name": name, "shape": spec.shape.as_list(), "dtype": spec.dtype.name}
        for name, spec in program.arguments.items()
    ]
    return {
        "file": program.file,
        "part": program.part,
        "images": program.images,
        "precision": program.precision,
        "gflop_per_image": program.gflop,
        "arguments": arguments,
    }


def _network_programs(
    config: BenchmarkConfig,
    num_classes: int,
    made: learner.Learner,
    images: int,
    precision: str,
) -> Iterator[Program]:
    """Those that depend on the precision."""
    model, gflop = made.model, forward_gflop(made.model)

    def forward(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = model(pixels, training=False)
        return outputs

    def decoded(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        outputs = forward(pixels)
        return decode(outputs["offsets"], tf.constant(made.anchors)), outputs["logits"]

    def gradients(
        pixels: tf.Tensor, boxes: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        targets = {"boxes": boxes, "labels": labels}
        with tf.GradientTape() as tape:
            outputs = model(pixels, training=True)
            class_sum, box_sum, positives = losses.multibox_sums(
                outputs, targets, tf.constant(made.anchors), config.loss
            )
            total = class_sum + config.loss.box_loss_weight * box_sum
            loss = tf.math.divide_no_nan(total, positives)
        return loss, tape.gradient(loss, model.trainable_variables)

    def step(*arrays: tf.Tensor) -> dict[str, tf.Tensor]:
        # Made in here, so that its anchors are a constant of the program.
        options = StepOptions(config.loss, config.optimizer, config.input.color)
        return TrainStep(model, made.optimizer, made.anchors, options).step(Batch(*arrays))

    pixels, targets = _pixels(config, images), _targets(len(made.anchors), images)
    batch = _batch(config, num_classes, images, OBJECTS[0])
    for part, function, arguments, forwards in (
        ("step", step, batch, _STEP_FORWARDS),
        ("gradients", gradients, pixels | targets, _STEP_FORWARDS),
        ("forward", forward, pixels, 1),
        ("decode", decoded, pixels, 1),
    ):
        yield Program(part, function, arguments, images, precision, forwards * gflop)


def _update(config: BenchmarkConfig, made: learner.Learner) -> Program:
    variables = made.model.trainable_variables

    def update(*gradients: tf.Tensor) -> None:
        optimizers.apply_gradients(made.optimizer, gradients, variables, config.optimizer)

    arguments = {f"gradient_{i}": tf.TensorSpec(v.shape) for i, v in enumerate(variables)}
    return Program("update", update, arguments)


def _other_programs(config: BenchmarkConfig, num_classes: int, images: int) -> Iterator[Program]:
    """Those that are the same in every precision."""
    anchors_A4 = anchor_boxes(config.anchors, config.model.maps)

    def matching(boxes: tf.Tensor, labels: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        return assign_targets(boxes, labels, tf.constant(anchors_A4))

    for num_objects in OBJECTS:
        batch = _batch(config, num_classes, images, num_objects)
        objects = {name: batch[name] for name in ("boxes", "labels")}
        yield Program(f"matching_{num_objects}", matching, objects, images)

    painted = {name: batch[name] for name in ("images", "rectangles", "color", "mirrored")}
    for kind in COLORS:
        yield Program(f"color_{kind}", _prepare_fn(kind), painted, images)

    def suppressed(offsets: tf.Tensor, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        return suppression.detect(offsets, logits, tf.constant(anchors_A4), DetectionOptions())

    count = len(anchors_A4)
    outputs = {
        "offsets": tf.TensorSpec([images, count, 4]),
        "logits": tf.TensorSpec([images, count, num_classes + 1]),
    }
    yield Program("suppression", suppressed, outputs, images)


def _prepare_fn(kind: str) -> Callable[..., tf.Tensor]:
    def prepare(
        images: tf.Tensor, rectangles: tf.Tensor, parameters: tf.Tensor, mirrored: tf.Tensor
    ) -> tf.Tensor:
        options = ColorOptions(color=kind)
        return color.prepare(images, rectangles, parameters, mirrored, options)

    return prepare


def _pixels(config: BenchmarkConfig, images: int) -> dict[str, tf.TensorSpec]:
    size = config.model.input_size
    return {"pixels": tf.TensorSpec([images, size, size, 3])}


def _targets(num_anchors: int, images: int) -> dict[str, tf.TensorSpec]:
    return {
        "boxes": tf.TensorSpec([images, num_anchors, 4]),
        "labels": tf.TensorSpec([images, num_anchors], tf.int64),
    }


def _batch(
    config: BenchmarkConfig, num_classes: int, images: int, num_objects: int
) -> dict[str, tf.TensorSpec]:
    """The fields of ``pipeline.Batch``."""
    specs = synthetic_batches(config.model.input_size, 1, num_classes).element_spec._asdict()
    specs |= {
        "boxes": tf.TensorSpec([1, num_objects, 4]),
        "labels": tf.TensorSpec([1, num_objects], tf.int32),
    }
    return {
        name: tf.TensorSpec([images, *spec.shape[1:]], spec.dtype) for name, spec in specs.items()
    }
