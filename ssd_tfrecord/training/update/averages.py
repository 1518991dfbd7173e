"""Averaged weights: exponential moving averages of all weights, beside those that are trained."""

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf

from ssd_tfrecord.keras import keras
from ssd_tfrecord.runs.checkpoint_state import named_weights


class Averages:
    """A moving average of each weight of a model, trained or moving average of a normalisation.

    Each replica keeps averages of its own copies of the weights. The copies are equal, so nothing
    is exchanged between replicas, and a checkpoint holds those of the first. ``state`` is what it
    saves and restores: the averages, float32, by the names of the weights.

    Args:
        model: its weights are averaged; the averages begin as they are now.
        decay: of the average, in [0, 1); less in the first steps, see ``update``.
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        self._decay = decay
        self._lock = threading.RLock()
        self._weights = named_weights(model)
        self._strategy = model.distribute_strategy
        with self._strategy.scope():
            self.state = {
                name: _replica_variable(weight, name) for name, weight in self._weights.items()
            }
            # Changed by the graph that exchanges: it says what is where although an exception,
            # which a signal may raise between any two lines of Python, came just behind that graph.
            self._exchanged = _replica_variable(tf.constant(False), "averages_in_model")
        # Traced once, and without a result outside of the graph, of which TensorFlow 2.15 on
        # Python 3.11 leaves 48 bytes behind each.
        self._exchange = tf.function(self._exchange_copies, autograph=False)

    def reset(self) -> None:
        """Begins again with the weights as they are now; to be called after they were loaded."""
        for average, weight in self._pairs():
            average.assign(weight.read_value())

    def update(self, step: tf.Tensor) -> None:
        """Moves the averages; to be called in replica context, in the graph, after a step.

        average <- d average + (1 - d) weight, where d is the decay, but in step t at most
        (1 + t) / (10 + t), so that the first weights, which are random, are soon forgotten. As in
        TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.

        Args:
            step: number t of finished steps, this one included: an integer scalar.
        """
        # 1 - (1 + t) / (10 + t), and likewise below: a difference from 1 would lose digits.
        early = 9.0 / (10.0 + tf.cast(step, tf.float32))
        share = tf.maximum(tf.constant(1.0 - self._decay), early)
        for name, average in self.state.items():
            # As a difference: an average that its weight equals stays that.
            change = share * (average - tf.convert_to_tensor(self._weights[name]))
            average.assign_sub(change, read_value=False)

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """A block in which the model holds the averages; behind it, its own weights again.

        No step may be run in it. Buffers change hands, no value is copied.
        """
        try:
            with self._lock:
                if not self._are_in_model():
                    self._exchange()
            yield
        finally:
            try:
                self.put_back()
            except BaseException:
                # A signal raises where it likes, but once.
                self.put_back()
                raise

    def put_back(self) -> None:
        """Sees to it that the model holds its own weights, for any thread.

        To be called before a checkpoint is written: a signal may have left ``swapped`` before that
        could do so.
        """
        with self._lock:
            if self._are_in_model():
                self._exchange()

    def _are_in_model(self) -> bool:
        return bool(self._copies(self._exchanged)[0].numpy())

    def _copies(self, variable: tf.Variable) -> tuple[tf.Variable, ...]:
        """The copy of each replica of this host."""
        copies: tuple[tf.Variable, ...] = self._strategy.experimental_local_results(variable)
        return copies

    def _pairs(self) -> list[tuple[tf.Variable, tf.Variable]]:
        """(average, weight) of each weight and each replica of this host."""
        return [
            pair
            for name, average in self.state.items()
            for pair in zip(self._copies(average), self._copies(self._weights[name]))
        ]

    def _exchange_copies(self) -> None:
        # A tf.function keeps to the order in which a variable is read and written.
        for average, weight in self._pairs():
            mean, own = average.read_value(), weight.read_value()
            average.assign(own, read_value=False)
            weight.assign(mean, read_value=False)
        for flag in self._copies(self._exchanged):
            flag.assign(tf.logical_not(flag.read_value()), read_value=False)


def _replica_variable(value: tf.Tensor, name: str) -> tf.Variable:
    """A variable of which each replica has a copy for itself; a checkpoint has the first."""
    return tf.Variable(
        tf.convert_to_tensor(value),
        trainable=False,
        name=name,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
