"""Averages follow the weights as a NumPy twin does, on any number of replicas, and come back."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.backbones.layers import batch_norm_layer
from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import OptimizerOptions
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.training.stopping.signals import Stopped
from ssd_tfrecord.training.update import optimizers
from ssd_tfrecord.training.update.averages import Averages

SGD = OptimizerOptions(learning_rate=0.1)
# Reached at step 13: before, the decay is (1 + t) / (10 + t).
DECAY = 0.6


def network(seed):
    """Of a convolution and batch normalisation, as SSD has."""
    image = keras.Input([4, 4, 3])
    initial = keras.initializers.RandomNormal(seed=seed)
    x = keras.layers.Conv2D(5, 3, kernel_initializer=initial, name="conv")(image)
    return keras.Model(image, batch_norm_layer("conv_bn", "sync")(x))


class Trainer:
    """A small network whose steps have random gradients, and move its moving averages by chance."""

    def __init__(self, replicas=1, seed=1):
        self.strategy = tf.distribute.get_strategy()
        if replicas > 1:
            self.strategy = tf.distribute.MirroredStrategy(
                [f"CPU:{index}" for index in range(replicas)],
                cross_device_ops=tf.distribute.ReductionToOneDevice(),
            )
        with self.strategy.scope():
            self.model = network(seed)
            self.optimizer = optimizers.create(SGD, 100, "float32")
            optimizers.build(self.optimizer, self.model.trainable_variables)
        self.averages = Averages(self.model, DECAY)
        variables, moving = self.model.trainable_variables, self.model.non_trainable_variables
        assert moving

        def apply(gradients):
            optimizers.apply_gradients(self.optimizer, gradients, variables, SGD)
            self.averages.update(self.optimizer.iterations)

        def step(applied, seed):
            def noise(variable, number):
                return tf.random.stateless_normal(variable.shape, [seed, number], 0.0, 0.1)

            for number, variable in enumerate(moving):
                variable.assign_add(noise(variable, 1000 + number))
            gradients = [noise(*reversed(item)) for item in enumerate(variables)]
            optimizers.apply_or_undo(applied, apply, gradients, lambda _: None, [])

        self._run = tf.function(
            lambda applied, seed: self.strategy.run(step, (applied, seed)), autograph=False
        )

    def steps(self, first, last, applied=True):
        """The weights, each a list of all, after each of the steps."""
        after = []
        for number in range(first, last + 1):
            self._run(tf.constant(applied), tf.constant(number))
            after.append(self.weights())
        return after

    def weights(self):
        return [weight.numpy() for weight in self.model.weights]

    def means(self):
        return [average.numpy() for average in self.averages.state.values()]

    def copies(self):
        """All means on each replica."""
        local = self.strategy.experimental_local_results
        rows = [local(average) for average in self.averages.state.values()]
        return [[copy.numpy() for copy in column] for column in zip(*rows)]


def assert_same(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


def test_twenty_steps_are_those_of_a_numpy_twin():
    trainer = Trainer()
    trainer.steps(1, 3)
    trainer.averages.reset()
    assert_same(trainer.means(), trainer.weights())
    twin = [weight.astype(np.float64) for weight in trainer.weights()]
    for number, weights in enumerate(trainer.steps(4, 23), 4):
        decay = min(DECAY, (1 + number) / (10 + number))
        twin = [decay * a + (1 - decay) * w for a, w in zip(twin, weights)]
    moved = 0.0
    for mean, expected, weight in zip(trainer.means(), twin, trainer.weights(), strict=True):
        assert mean.dtype == np.float32
        np.testing.assert_allclose(mean, expected, rtol=1e-6, atol=1e-6)
        moved = max(moved, np.abs(mean - weight).max())
    assert moved > 0.1


def test_two_replicas_equal_one_and_each_other():
    one, two = Trainer(), Trainer(replicas=2)
    one.steps(1, 5)
    two.steps(1, 5)
    copies = two.copies()
    assert len(copies) == 2
    for means in copies:
        assert_same(means, one.means())


def test_a_step_that_is_not_applied_moves_no_average():
    trainer = Trainer()
    trainer.steps(1, 1)
    before = trainer.means()
    trainer.steps(2, 2, applied=False)
    assert_same(trainer.means(), before)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_resumed_run_goes_on_exactly(tmp_path, replicas):
    def kept(trainer):
        return Checkpoints(
            tmp_path,
            model=trainer.model,
            optimizer=trainer.optimizer,
            averages=trainer.averages,
            keep=1,
        )

    whole = Trainer(replicas)
    whole.steps(1, 3)
    # As inside of an evaluation: what is saved is not what is evaluated.
    with whole.averages.swapped():
        kept(whole).save(3)
    after = whole.steps(4, 6)[-1]
    # The number of replicas may change, too.
    resumed = Trainer(3 - replicas, seed=2)
    assert kept(resumed).restore() == 3
    assert_same(resumed.steps(4, 6)[-1], after)
    for means in resumed.copies():
        assert_same(means, whole.means())


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_model_has_the_averages_within_and_its_own_weights_again(replicas):
    trainer = Trainer(replicas)
    trainer.steps(1, 2)
    own, means = trainer.weights(), trainer.means()
    assert any((a != b).any() for a, b in zip(own, means))
    for error in (None, ValueError, Stopped):
        try:
            with trainer.averages.swapped():
                assert_same(trainer.weights(), means)
                if error:
                    raise error
        except (ValueError, Stopped) as caught:
            assert type(caught) is error
        assert_same(trainer.weights(), own)
        assert_same(trainer.means(), means)


def test_a_signal_while_weights_change_places_does_no_harm(monkeypatch):
    trainer = Trainer()
    trainer.steps(1, 2)
    own, means = trainer.weights(), trainer.means()
    exchange = trainer.averages._exchange

    def interrupted(number, behind):
        """Raises in its ``number``th call, before it exchanges or behind that."""
        calls = itertools.count(1)

        def call():
            is_wanted = next(calls) == number
            if is_wanted and not behind:
                raise Stopped
            exchange()
            if is_wanted:
                raise Stopped

        return call

    for number, behind in itertools.product((1, 2), (False, True)):
        monkeypatch.setattr(trainer.averages, "_exchange", interrupted(number, behind))
        with pytest.raises(Stopped), trainer.averages.swapped():
            pass
        assert_same(trainer.weights(), own)
        assert_same(trainer.means(), means)


def test_weights_of_one_name_are_refused():
    twice = [keras.layers.Dense(1, name="same") for _ in range(2)]
    image = keras.Input([1])
    model = keras.Model(image, twice[0](image))
    model.second = twice[1]
    model.second(image)
    with pytest.raises(ValueError, match="two weights have the same name"):
        Averages(model, DECAY)
