"""Shards written by processes on this machine."""

import functools
from collections.abc import Callable, Generator, Sequence

from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.writing.journal import FinishedShard
from ssd_tfrecord.records.writing.shards import Recipe, ShardPlan


def write_shards(
    plans: Sequence[ShardPlan], recipe: Recipe, num_workers: int, advance: Callable[[int], object]
) -> Generator[FinishedShard, None, None]:
    """Yields the shards of ``plans`` in their order, by ``workers.run``.

    Args:
        plans: the shards to write.
        recipe: what they have in common.
        num_workers: number of processes; 1 works in this one.
        advance: called with the number of images that were converted since the last time.

    Raises:
        InputError: an image was refused, or a worker died.
    """
    write = functools.partial(_write, recipe=recipe)
    return workers.run(write, plans, num_workers, advance, folder=recipe.folder)


def _write(plan: ShardPlan, advance: Callable[[], None], recipe: Recipe) -> FinishedShard:
    # Here, since it imports TensorFlow, which the parent of workers does not need.
    from ssd_tfrecord.records.writing import shard_writer

    return shard_writer.write(plan, recipe, advance)
