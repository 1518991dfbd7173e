"""What a training step costs: alone, on one synthetic batch, and fed by the real input."""

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ssd_tfrecord.benchmark import rounds
from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights import pretrained
from ssd_tfrecord.pixels import color
from ssd_tfrecord.training import learner
from ssd_tfrecord.training.runner import StepRunner

SEED = 0

# Objects of a synthetic image, and the rows that they are padded to.
_NUM_OBJECTS, _NUM_ROWS = 3, 8


def make_step(
    config: BenchmarkConfig, num_classes: int, strategy: tf.distribute.Strategy
) -> Callable:
    """The step of a run with these options: colour, matching, network, gradients, optimizer.

    Raises ``InputError`` where training would refuse the options too.
    """
    num_steps = 2 * (config.num_rounds + 1) * config.num_steps
    made = learner.build(config, num_classes, strategy, num_steps=num_steps, seed=SEED)
    pretrained.load_backbone(made.model, config.model)
    return made.step_fn


def synthetic_batches(input_size: int, batch_size: int, num_classes: int) -> tf.data.Dataset:
    """One batch as of ``data.pipeline.batches``, again and again: noise, three objects."""
    random = np.random.default_rng(SEED)
    low = random.uniform(0.0, 0.5, [batch_size, _NUM_OBJECTS, 2])
    boxes = np.concatenate([low, low + random.uniform(0.1, 0.5, low.shape)], axis=2)
    labels = random.integers(1, num_classes + 1, [batch_size, _NUM_OBJECTS])
    padding = [[0, 0], [0, _NUM_ROWS - _NUM_OBJECTS]]
    pixels = random.integers(0, 256, [batch_size, input_size, input_size, 3], np.uint8)
    batch = pipeline.Batch(
        images=pixels,
        boxes=np.pad(boxes, [*padding, [0, 0]]).astype(np.float32),
        labels=np.pad(labels, padding).astype(np.int32),
        rectangles=np.tile(np.int32([0, 0, input_size, input_size]), [batch_size, 1]),
        color=np.tile(np.float32(color.IDENTITY), [batch_size, 1]),
        mirrored=np.arange(batch_size) % 2 == 0,
        indices=np.arange(batch_size),
        substituted=np.zeros(batch_size, bool),
    )
    return tf.data.Dataset.from_tensors(batch).repeat()


def real_batches(config: BenchmarkConfig, source) -> tf.data.Dataset:
    """The batches that training would take from ``source``, that of ``caching.opened``."""
    return pipeline.batches(
        source,
        config.input,
        input_size=config.model.input_size,
        batch_size=config.batch_size,
        seed=SEED,
    )


def measure_steps(config: BenchmarkConfig, step_fn, batches, strategy) -> dict[str, float]:
    """Runs the step on ``batches``, ``config.num_rounds`` rounds after one that is not counted.

    Rounds follow on each other, so that input and step stand to each other as in a long run.

    Returns:
        Medians over the rounds: ``images_per_s``, ``cpu_ms_per_image`` of the whole process (input
        included) and ``data_wait``, the share of time that the step waited for data; with
        ``images_per_s_spread`` and ``cpu_ms_spread`` as of ``data.cost.measure_input``.

    Raises:
        InputError: a loss or gradient was not finite, as it ends a run.
    """
    runner = StepRunner(step_fn, batches, strategy)
    _run(runner, config)  # traces and compiles
    runs = [_run(runner, config) for _ in range(config.num_rounds)]
    num_images = config.num_steps * config.batch_size
    return {
        **rounds.rate_figures([cost.over(num_images) for cost, _ in runs]),
        "data_wait": rounds.median([1000 * waited / cost.wall_ms for cost, waited in runs]),
    }


def _run(runner, config):
    """(``Cost`` of ``config.num_steps`` steps, seconds of them that they waited for data)."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = runner.run(config.num_steps)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if not result.finite:
        raise InputError(
            f"--learning_rate={config.optimizer.learning_rate:g}: a loss or its gradient is not "
            "finite; must be lower, or have --gradient_clip_norm"
        )
    return rounds.Cost(1000 * cpu, 1000 * wall), result.waited
