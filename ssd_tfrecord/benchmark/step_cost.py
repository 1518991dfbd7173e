"""What a training step costs: alone, on one synthetic batch, and fed by the real input."""

import time
from collections.abc import Callable, Mapping

import tensorflow as tf

from ssd_tfrecord.benchmark import rounds
from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.data.reading import RecordSource
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights import pretrained
from ssd_tfrecord.training import learner
from ssd_tfrecord.training.learner import Learner
from ssd_tfrecord.training.memory.synthetic_batch import synthetic_batch
from ssd_tfrecord.training.runner import StepRunner
from ssd_tfrecord.training.stopping import teardown

SEED = 0

StepFn = Callable[[Batch, tf.Tensor], Mapping[str, tf.Tensor]]


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
    return make_learner(config, num_classes, strategy).step_fn


def make_learner(
    config: BenchmarkConfig, num_classes: int, strategy: tf.distribute.Strategy
) -> Learner:
    """As ``make_step``, with the network that the step trains."""
    # As many as a section takes at most (replica_cost): the schedule does not end in between.
    num_steps = 5 * (config.num_rounds + 1) * config.num_steps
    made = learner.build(config, num_classes, strategy, num_steps=num_steps, seed=SEED)
    pretrained.load_backbone(made.model, config.model)
    return made


def synthetic_batches(input_size: int, batch_size: int, num_classes: int) -> tf.data.Dataset:
    """One batch like those of ``pipeline.batches``, repeated for ever: noise with three objects.

    Args:
        input_size: side of a sample in pixels.
        batch_size: images per batch.
        num_classes: labels are 1 to this.
    """
    batch = synthetic_batch(input_size, batch_size, num_classes, seed=SEED)
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
    teardown.spare(runner)
    run_steps(runner, config)  # traces, compiles and fills buffers
    runs = [run_steps(runner, config) for _ in range(config.num_rounds)]
    num_images = config.num_steps * config.batch_size
    return {
        **rounds.rate_figures([cost.over(num_images) for cost, _ in runs]),
        # Seconds to milliseconds.
        "data_wait": rounds.median([1000 * waited / cost.wall_ms for cost, waited in runs]),
    }


def run_steps(
    runner: StepRunner, config: BenchmarkConfig, num_calls: int = 1
) -> tuple[rounds.Cost, float]:
    """Runs ``config.num_steps`` steps.

    Args:
        runner: of the step; traces at its first call.
        config: of the benchmark.
        num_calls: calls of the graph that the steps are spread over; a divisor of their number.

    Returns:
        (``Cost`` of all steps, seconds that they waited for data).

    Raises:
        InputError: a loss or gradient was not finite, which would end a run.
    """
    cpu, wall = time.process_time(), time.perf_counter()
    results = [runner.run(config.num_steps // num_calls) for _ in range(num_calls)]
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if not all(result.finite for result in results):
        raise InputError(
            f"--learning_rate={config.optimizer.learning_rate:g}: a loss or its gradient is not "
            "finite; use a lower rate or --gradient_clip_norm"
        )
    return rounds.Cost(1000 * cpu, 1000 * wall), sum(result.waited for result in results)
