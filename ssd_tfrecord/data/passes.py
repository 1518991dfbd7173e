"""A dataset that is gone through once in each evaluation, and made and traced only once."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import tensorflow as tf

_Item = TypeVar("_Item")


def shared_out(batches: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Any:
    """The batches of this host, each divided evenly among the replicas that it has.

    Args:
        batches: without end, of one size; this host's share of each global batch.
        strategy: whose replicas share a batch.

    Returns:
        A distributed dataset; iterating over it never waits for another host.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return strategy.experimental_distribute_dataset(batches)
    # Not by TensorFlow: it would divide the records once more, by file, and ask all hosts before
    # each batch whether anyone has one left.
    num_local = len(strategy.extended.worker_devices)

    def part(values: tf.Tensor) -> tf.Tensor:
        # The number of objects alone is not known here.
        batch_size, *others = (-1 if side is None else side for side in values.shape)
        return tf.reshape(values, [num_local, batch_size // num_local, *others])

    def parts(_: tf.distribute.InputContext) -> tf.data.Dataset:
        dataset = batches
        if num_local > 1:
            dataset = dataset.map(lambda *batch: tf.nest.map_structure(part, _whole(batch)))
            dataset = dataset.unbatch()
        endless = tf.data.experimental.assert_cardinality(tf.data.experimental.INFINITE_CARDINALITY)
        return dataset.apply(endless).prefetch(2 * num_local)

    return strategy.distribute_datasets_from_function(parts)


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """``dataset``, whose iterators end at once; for those that are left before the process ends.

    Destroying an iterator, TensorFlow waits for the thread that tunes its pipeline, and does not
    always wake it: it may sleep for as long as the iterator has been there, up to 60 s (1 of
    5 iterators, 20 s old, took 20 s, on both stacks; without that thread, 0.001 s). What is to be
    tuned has as many threads as there are, up to 16. Several replicas have iterators of their own,
    which nothing reaches.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _whole(batch: tuple[Any, ...]) -> Any:
    # A dataset of single tensors is mapped with one argument.
    return batch[0] if len(batch) == 1 else batch


class Wait:
    """For how long a thread has waited for a batch; for any thread to ask."""

    def __init__(self) -> None:
        self._since: float | None = None

    def next(self, iterator: Iterator[Any]) -> Any:
        """The next item of ``iterator``."""
        self._since = time.monotonic()
        try:
            return next(iterator)
        finally:
            self._since = None

    def items(self, iterable: Iterable[_Item]) -> Iterator[_Item]:
        """The items of ``iterable``, each by ``next``."""
        iterator = iter(iterable)
        # Not a for loop: StopIteration would be an error of this generator.
        with contextlib.suppress(StopIteration):
            while True:
                item = self.next(iterator)
                yield item

    def seconds(self) -> float:
        """How long ``next`` has waited by now; 0 if it does not."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since


class Passes:
    """The batches of a dataset, from the first to the last, as often as it is iterated over.

    A dataset that is made anew each time is traced anew, which takes a second of CPU time and
    leaves a megabyte behind; an iterator made anew does so if there are several replicas. Here one
    iterator goes on from the end of a pass to the beginning of the next, of which it keeps some
    batches ready. A pass that is given up, by an error or a signal, is not continued: the next one
    begins at the first batch. ``wait`` tells how long a batch has been waited for.

    Args:
        dataset_fn: makes the dataset of ``num_batches`` batches, when it is first iterated over.
        num_batches: in a pass.
        strategy: whose replicas share a batch.
    """

    def __init__(
        self,
        dataset_fn: Callable[[], tf.data.Dataset],
        num_batches: int,
        strategy: tf.distribute.Strategy,
    ) -> None:
        self.wait = Wait()
        self._num_batches = num_batches
        self._dataset_fn = dataset_fn
        self._strategy = strategy
        self._dataset: Any = None
        self._iterator: Iterator[Any] | None = None

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[Any]:
        """The batches of a pass; of several replicas, each is a ``DistributedValues``."""
        if self._dataset is None:
            self._dataset = shared_out(untuned(self._dataset_fn().repeat()), self._strategy)
        iterator = self._iterator or iter(self._dataset)
        # Kept only from the end of a pass to the beginning of the next.
        self._iterator = None
        for _ in range(self._num_batches):
            yield self.wait.next(iterator)
        self._iterator = iterator
