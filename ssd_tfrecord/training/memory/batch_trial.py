"""The batch that fits into memory: for ``--global_batch_size=auto``, and after one did not fit."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import OutOfMemoryError
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.memory.trial_steps import Trials

# More images a step than any recipe has: --learning_rate would not bear it.
MOST = 1024

# Halvings of a batch that was too large.
_MAX_HALVINGS = 4


def largest(
    config: TrainConfig,
    train: Sequence[Manifest],
    strategy: tf.distribute.Strategy,
    say: Callable[[str], None],
) -> int:
    """The largest global batch that fits, for ``--global_batch_size=auto``.

    Args:
        config: of the run; its batch size is not used.
        train: the training sets, not opened yet: room for their cache is kept.
        strategy: of the run. Nothing is exchanged between its hosts; of several GPUs one is tried.
        say: is told of each trial and of the outcome.

    Returns:
        Images per step, over all replicas: for each part that a replica computes at once
        (``--accumulate_steps``) a multiple of 8, or fewer; at most ``MOST`` and the images there
        are, if that is enough for one a part.

    Raises:
        OutOfMemoryError: one image a part does not fit.
    """
    trials = Trials(config, train, strategy, say)
    num_images = sum(manifest.num_records for manifest in train)
    most = max(1, min(MOST, num_images) // trials.unit)
    part = largest_fitting(trials.fits, trials.first, most)
    why = trials.why
    if not part:
        raise OutOfMemoryError(
            f"--global_batch_size=auto: {why}; use a smaller --input_size or a smaller network"
        )
    trials.end()
    size = part * trials.unit
    if not why:
        why = f"{MOST:,} are the most that are tried"
        if num_images < MOST:
            why = f"the training sets have {num_images:,} images"
    say(
        f"Batch: {size:,} images per step (--global_batch_size=auto): {why}. The run keeps it when "
        f"it resumes; --learning_rate={config.optimizer.learning_rate:g} is used as given"
    )
    return size


def would_fit(
    config: TrainConfig,
    train: Sequence[Manifest],
    strategy: tf.distribute.Strategy,
    say: Callable[[str], None],
) -> str:
    """Which smaller batch would have fitted, in words, after the run's was too large.

    It is halved, a few times at most, until a step passes. What the run holds stays in memory.

    Args:
        config: of the run that is out of memory.
        train: its training sets.
        strategy: of the run.
        say: is told of each trial.
    """
    trials = Trials(config, train, strategy, say)
    tried = config.global_batch_size // trials.unit
    halves = [tried >> power for power in range(1, _MAX_HALVINGS + 1) if tried >> power]
    if not halves:
        return "no batch is smaller than one image for each replica"
    try:
        part = _halved(trials, halves, tried)
    except tf.errors.OpError as error:
        # Nothing may take the place of the error that this is about.
        return f"which batch would fit was not found ({str(error).splitlines()[0][:200]})"
    if not part:
        sizes = ", ".join(str(half * trials.unit) for half in halves)
        return f"no smaller batch fits either (tried: {sizes})"
    return (
        f"--global_batch_size={part * trials.unit} fits (tried). A run keeps its batch size: start "
        "another with that, or resume this one on more or larger devices"
    )


def _halved(trials: Trials, halves: Sequence[int], tried: int) -> int:
    """The first of ``halves`` that fits, or a smaller size that was tried on the way; 0: none."""
    # On a host a size is tried only if smaller ones leave room for it.
    small = [part for part in (1, 2, 8) if part < tried and trials.first == 1]
    known = [part for part in small if trials.fits(part)]
    halved = (part for part in halves if part in known or trials.fits(part))
    return next(halved, max(known, default=0))


def largest_fitting(fits: Callable[[int], bool], first: int, most: int) -> int:
    """The largest of 1 to 7, 8, 16, 24, … that ``fits``, to an eighth of it; 0 if none does.

    Args:
        fits: called with a size at most once; of two sizes the larger one never fits alone.
        first: size to begin with.
        most: the largest that is of interest.
    """
    good, bad = 0, 0
    size = _rounded(min(first, most))
    while size:
        if fits(size):
            good = size
        else:
            bad = size
        size = _next(good, bad, most)
    return good


def _rounded(size: int) -> int:
    return size if size < 8 else size // 8 * 8


def _next(good: int, bad: int, most: int) -> int:
    """The size to try after ``good`` fitted and ``bad`` did not (0: none so far); 0: no more."""
    if not bad:
        grown = 8 if 1 < good < 8 else 2 * good
        size = _rounded(min(grown, most))
        return size if size > good else 0
    if bad - good <= max(1 if bad <= 8 else 8, good // 8):
        return 0
    return _rounded((good + bad) // 2)
