"""What a training step costs: alone, on one synthetic batch, and fed by the real input."""

import time
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from ssd_tfrecord.benchmark import rounds
from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.data.reading import RecordSource
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights import pretrained
from ssd_tfrecord.pixels import color
from ssd_tfrecord.training import learner
from ssd_tfrecord.training.runner import StepRunner

SEED = 0

StepFn = Callable[[Batch], Mapping[str, tf.Tensor]]

# Objects of a synthetic image, and the number of rows that they are padded to.
_NUM_OBJECTS, _NUM_ROWS = 3, 8


def make_step(
    config: BenchmarkConfig, num_classes: int, strategy: tf.distribute.Strategy
) -> StepFn:
    """The step of a run with these options: colour, matching, network, gradients, optimizer.

    Args:
        config: of the benchmark.
        num_classes: number of classes without the background.
        strategy: the variables are made in its scope.

    Raises:
        InputError: the options are ones that training refuses too.
    """
    # As many as model and end_to_end take together: the schedule does not end in between.
    num_steps = 2 * (config.num_rounds + 1) * config.num_steps
    made = learner.build(config, num_classes, strategy, num_steps=num_steps, seed=SEED)
    pretrained.load_backbone(made.model, config.model)
    return made.step_fn


def synthetic_batches(input_size: int, batch_size: int, num_classes: int) -> tf.data.Dataset:
    """One batch like those of ``pipeline.batches``, repeated for ever: noise with three objects.

    Args:
        input_size: side of a sample in pixels.
        batch_size: images per batch.
        num_classes: labels are 1 to this.
    """
    random = np.random.default_rng(SEED)
    # Sides from 0.1 to 0.5, none beyond the image.
    low = random.uniform(0.0, 0.5, [batch_size, _NUM_OBJECTS, 2])
    boxes = np.concatenate([low, low + random.uniform(0.1, 0.5, low.shape)], axis=2)
    labels = random.integers(1, num_classes + 1, [batch_size, _NUM_OBJECTS])
    padding = [[0, 0], [0, _NUM_ROWS - _NUM_OBJECTS]]
    pixels = random.integers(0, 256, [batch_size, input_size, input_size, 3], np.uint8)
    batch = pipeline.Batch(
        images=pixels,
        boxes=np.pad(boxes, [*padding, [0, 0]]).astype(np.float32),
        labels=np.pad(labels, padding).astype(np.int32),
        rectangles=np.tile(np.array([0, 0, input_size, input_size], np.int32), [batch_size, 1]),
        color=np.tile(np.array(color.IDENTITY, np.float32), [batch_size, 1]),
        # Every second one, as half of them are in training.
        mirrored=np.arange(batch_size) % 2 == 0,
        indices=np.arange(batch_size),
        substituted=np.zeros(batch_size, bool),
    )
    return tf.data.Dataset.from_tensors(batch).repeat()


def real_batches(config: BenchmarkConfig, source: RecordSource) -> tf.data.Dataset:
    """The batches that training would read from ``source``, which ``caching.opened`` returned."""
    return pipeline.batches(
        source,
        config.input,
        input_size=config.model.input_size,
        batch_size=config.batch_size,
        seed=SEED,
    )


def measure_steps(
    config: BenchmarkConfig,
    step_fn: StepFn,
    batches: tf.data.Dataset,
    strategy: tf.distribute.Strategy,
) -> dict[str, float]:
    """Runs ``config.num_rounds`` rounds of steps, after one that is not counted.

    Rounds follow each other without a pause, so that the input is as far ahead of the step as in a
    long run.

    Args:
        config: of the benchmark.
        step_fn: of ``make_step``.
        batches: of ``synthetic_batches`` or ``real_batches``.
        strategy: where the replicas are.

    Returns:
        Medians over the rounds: ``images_per_s``, ``cpu_ms_per_image`` of the whole process (input
        included) and ``data_wait``, the share of time that the step waited for data; with
        ``images_per_s_spread`` and ``cpu_ms_spread``, as from ``rounds.rate_figures``.

    Raises:
        InputError: a loss or gradient was not finite, which would end a run.
    """
    runner = StepRunner(step_fn, batches, strategy)
    _run(runner, config)  # traces, compiles and fills buffers
    runs = [_run(runner, config) for _ in range(config.num_rounds)]
    num_images = config.num_steps * config.batch_size
    return {
        **rounds.rate_figures([cost.over(num_images) for cost, _ in runs]),
        # Seconds to milliseconds.
        "data_wait": rounds.median([1000 * waited / cost.wall_ms for cost, waited in runs]),
    }


def _run(runner: StepRunner, config: BenchmarkConfig) -> tuple[rounds.Cost, float]:
    """(``Cost`` of ``config.num_steps`` steps, seconds that they waited for data)."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = runner.run(config.num_steps)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if not result.finite:
        raise InputError(
            f"--learning_rate={config.optimizer.learning_rate:g}: a loss or its gradient is not "
            "finite; use a lower rate or --gradient_clip_norm"
        )
    return rounds.Cost(1000 * cpu, 1000 * wall), result.waited
