"""What a step costs on several replicas: whole, and without what may keep it from ideal."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from ssd_tfrecord.benchmark import rounds, step_cost
from ssd_tfrecord.benchmark.step_cost import StepFn
from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.data.reading import RecordSource
from ssd_tfrecord.training.runner import StepRunner
from ssd_tfrecord.training.stopping import teardown


@dataclasses.dataclass(frozen=True)
class ReplicaCost:
    """What a step costs on some replicas; times are medians over the rounds, in milliseconds.

    ``whole`` is the step on synthetic data, many steps a call; ``single`` one step a call;
    ``apart`` without any sum over the replicas; ``small`` likewise, of as few images as can be: one
    for each of ``--accumulate_steps`` on each replica; ``fed`` as ``whole``, on the real input, or
    equal to it if there is none. ``rates`` are the figures of ``rounds.rate_figures``, of ``fed``.
    """

    whole: float
    single: float
    apart: float
    small: float
    fed: float
    rates: dict[str, float]


def measure_replicas(
    config: BenchmarkConfig,
    num_classes: int,
    strategy: tf.distribute.Strategy,
    source: RecordSource | None = None,
) -> ReplicaCost:
    """Measures the steps of ``ReplicaCost``, all with the same weights.

    Those on synthetic data take turns, so that noise that lasts for seconds affects all of them.

    Args:
        config: of the benchmark; ``batch_size`` is the global one.
        num_classes: number of classes without the background.
        strategy: where the replicas are.
        source: of the real input, which ``caching.opened`` returned; None: there is none.

    Raises:
        InputError: the options are ones that training refuses too, or a loss is not finite.
    """
    step = step_cost.make_step(config, num_classes, strategy)
    works = _works(config, num_classes, step, strategy)
    costs: dict[str, list[rounds.Cost]] = {name: [] for name in works}
    for number in range(config.num_rounds + 1):
        for name, (runner, num_calls) in works.items():
            cost, _ = step_cost.run_steps(runner, config, num_calls)
            if number:  # the first compiles, and fills buffers
                costs[name].append(cost.over(config.num_steps))
    times = {name: rounds.median([cost.wall_ms for cost in row]) for name, row in costs.items()}
    rates = rounds.rate_figures([cost.over(config.batch_size) for cost in costs["whole"]])
    fed = times["whole"]
    if source is not None:
        batches = step_cost.real_batches(config, source)
        rates = step_cost.measure_steps(config, step, batches, strategy)
        fed = 1000 * config.batch_size / rates["images_per_s"]
    return ReplicaCost(**times, fed=fed, rates=rates)


def _works(
    config: BenchmarkConfig, num_classes: int, step: StepFn, strategy: tf.distribute.Strategy
) -> dict[str, tuple[StepRunner, int]]:
    """{field of ReplicaCost: (runner, number of calls)}, traced."""

    def runner(batch_size: int) -> StepRunner:
        size = config.model.input_size
        batches = step_cost.synthetic_batches(size, batch_size, num_classes)
        made = StepRunner(step, batches, strategy)
        teardown.spare(made)
        made.trace()
        return made

    whole = runner(config.batch_size)
    with _no_sums():
        least = config.optimizer.accumulate_steps * strategy.num_replicas_in_sync
        apart, small = runner(config.batch_size), runner(least)
    return {
        "whole": (whole, 1),
        "single": (whole, config.num_steps),
        "apart": (apart, 1),
        "small": (small, 1),
    }


@contextlib.contextmanager
def _no_sums() -> Iterator[None]:
    """Inside, what is traced sums nothing over the replicas: each keeps its own value.

    Here rather than in the step, as batch normalisation sums too.
    """
    context = tf.distribute.ReplicaContext
    saved = context.all_reduce

    def own(_: Any, reduce_op: Any, value: Any, options: Any = None) -> Any:
        return value

    context.all_reduce = own
    try:
        yield
    finally:
        context.all_reduce = saved
