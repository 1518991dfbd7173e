"""A few training steps before the training: whether it learns, what a step takes, and a batch."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import caching, pipeline
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training import learner
from ssd_tfrecord.training.memory.trial_steps import Trials
from ssd_tfrecord.training.runner import StepRunner

# Images that are to be learnt by heart.
NUM_IMAGES = 8
# A loss that has fallen to this share of what it was shows that images, boxes, anchors and weights
# belong together; labels that are shuffled do not get there in as many steps.
LEARNT = 0.5
MAX_STEPS, MAX_SECONDS = 40, 40.0
_MIN_STEPS = 5
# For how long batches are made, at least two of them, to know how fast they come.
_INPUT_SECONDS = 2.0
# A batch that does not fit is halved.
_MAX_HALVINGS = 5


@dataclass(frozen=True)
class Outcome:
    """What was seen.

    ``losses``: of the first and of the last of ``num_steps`` steps on the same images, over
    ``seconds`` in all; ``image_seconds``: of a step, for each image, once it runs;
    ``images_per_s``: what the input pipeline makes alone.
    """

    losses: tuple[float, float]
    num_steps: int
    seconds: float
    image_seconds: float
    images_per_s: float

    @property
    def learns(self) -> bool:
        """Whether the images were learnt."""
        return self.losses[1] <= LEARNT * self.losses[0]

    def lines(self, batch_size: int, on_gpu: bool) -> list[str]:
        """For the user.

        Args:
            batch_size: images per step of the training.
            on_gpu: whether the step computes where the input pipeline does not.
        """
        first, last = self.losses
        verdict = "learnt, as it has halved"
        if not self.learns:
            verdict = (
                "it falls; time was up before it had halved"
                if self.num_steps < MAX_STEPS and last < first
                else "NOT learnt: look at boxes and names with `ssd-tfrecord inspect --draw`"
            )
        step = self.image_seconds * batch_size
        made = batch_size / self.images_per_s
        # On a CPU both share the cores, so the step takes longer instead of waiting.
        wait = max(0.0, 1 - step / made) if on_gpu else 0.0
        share = f"; the step will wait for them {wait:.0%} of the time" if on_gpu else ""
        return [
            f"{NUM_IMAGES} images by heart: loss {first:.1f} -> {last:.1f} in {self.num_steps} "
            f"steps, {self.seconds:.0f} s: {verdict}",
            f"a step of {batch_size} takes about {step:.2f} s; its batch is made in {made:.2f} s"
            f"{share}",
        ]


def rehearse(
    config: TrainConfig, train: Sequence[Manifest], strategy: tf.distribute.Strategy
) -> Outcome:
    """Trains a throwaway network on a few images, always the same.

    Args:
        config: of the training.
        train: its sets.
        strategy: of the devices.

    Raises:
        InputError: the weights cannot be read, or a record is damaged.
    """
    rate = _input_rate(config, train)
    replicas = strategy.num_replicas_in_sync
    count = -(-NUM_IMAGES // replicas) * replicas
    # As they are, at the rate that the training comes to after its warm-up.
    plain = replace(
        config,
        input=replace(config.input, framing=replace(config.input.framing, augmentation="none")),
        optimizer=replace(config.optimizer, warmup_steps=3, lr_schedule="steps", ema_decay=0.0),
    )
    source = caching.opened(train, replace(plain.input.reading, cache="none", shuffle_buffer_mb=0))
    batch = next(
        iter(
            pipeline.batches(
                source,
                plain.input,
                input_size=plain.model.input_size,
                batch_size=count,
                seed=plain.seed,
            )
        )
    )
    made = learner.build(
        plain, len(train[0].classes), strategy, num_steps=MAX_STEPS, seed=plain.seed
    )
    with strategy.scope():
        learner.first_weights(made.model, train[0].classes, plain)
    runner = StepRunner(made.step_fn, tf.data.Dataset.from_tensors(batch).repeat(), strategy)
    began = time.monotonic()
    first = runner.run(1).sums["loss"]
    # The first step traces and compiles.
    timed, steps, last = time.monotonic(), 1, first
    while steps < MAX_STEPS:
        last = runner.run(1).sums["loss"]
        steps += 1
        late = time.monotonic() - began > MAX_SECONDS
        if steps > _MIN_STEPS and (last <= LEARNT * first or late):
            break
    ended = time.monotonic()
    return Outcome(
        (first, last), steps, ended - began, (ended - timed) / ((steps - 1) * count), rate
    )


def _input_rate(config: TrainConfig, train: Sequence[Manifest]) -> float:
    """Images per second that the input pipeline makes by itself."""
    source = caching.opened(train, replace(config.input.reading, cache="none"))
    batches = iter(
        pipeline.batches(
            source,
            config.input,
            input_size=config.model.input_size,
            batch_size=config.global_batch_size,
            seed=config.seed,
        )
    )
    # Some are made ahead.
    for _ in range(pipeline.PREFETCHED + 1):
        next(batches)
    began, count = time.monotonic(), 0
    while count < 2 or time.monotonic() - began < _INPUT_SECONDS:
        next(batches)
        count += 1
    return count * config.global_batch_size / (time.monotonic() - began)


def fitting_batch(
    config: TrainConfig,
    train: Sequence[Manifest],
    strategy: tf.distribute.Strategy,
    say: Callable[[str], None],
) -> int:
    """The batch of ``config``, or the half, quarter … of it that fits into memory.

    Raises:
        InputError: none does.
    """
    trials = Trials(config, train, strategy, say)
    part = config.global_batch_size // trials.unit
    try:
        for power in range(_MAX_HALVINGS):
            if part >> power and trials.fits(part >> power):
                return (part >> power) * trials.unit
    finally:
        trials.end()
    raise InputError(f"no batch fits into memory: {trials.why}; use a smaller --backbone")
