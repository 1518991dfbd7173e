"""Shards written by processes of this machine."""

import functools
from collections.abc import Callable, Iterator, Sequence

from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.writing.journal import FinishedShard
from ssd_tfrecord.records.writing.shards import Recipe, ShardPlan


def write_shards(
    plans: Sequence[ShardPlan], recipe: Recipe, num_workers: int, advance: Callable[[int], None]
) -> Iterator[FinishedShard]:
    """Yields the shards of ``plans``, by ``workers.run``.

    Args:
        advance: called with a number of images that have become records.

    Raises:
        InputError for the first refused image, and if a worker dies.
    """
    write = functools.partial(_write, recipe=recipe)
    return workers.run(write, plans, num_workers, advance, folder=recipe.folder)


def _write(plan, advance, recipe):
    # TensorFlow, which this imports, is not needed before and not by a parent of workers.
    from ssd_tfrecord.records.writing import shard_writer

    return shard_writer.write(plan, recipe, advance)
