"""Updates worked by hand, on one replica and on two."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import OptimizerOptions
from ssd_tfrecord.training.update import optimizers

ADDONS = pytest.mark.skipif(sys.version_info >= (3, 12), reason="Addons ended with Python 3.11")
NAMES = ("conv/kernel", "conv/bias", "bn/gamma", "bn/beta", "norm/scale", "dw/depthwise_kernel")


@pytest.fixture(params=["one replica", "two replicas"])
def strategy(request):
    if request.param == "one replica":
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


def run_steps(strategy, options, gradients, *, start=2.0, precision="float32"):
    """Values of one-element variables, called NAMES, after a step for each gradient."""
    with strategy.scope():
        variables = [tf.Variable([start], name=name) for name in NAMES]
        optimizer = optimizers.create(options, 100, precision)
        optimizers.build(optimizer, variables)

    @tf.function
    def step(gradient):
        def replica(gradient):
            loss_gradients = [optimizers.scale_loss(optimizer, gradient)] * len(variables)
            unscaled = optimizers.unscale(optimizer, loss_gradients)
            optimizers.apply_gradients(optimizer, unscaled, variables, options)

        strategy.run(replica, args=(gradient,))

    for gradient in gradients:
        step(tf.constant([gradient]))
    copies = [strategy.experimental_local_results(variable) for variable in variables]
    for copy in copies:
        assert all(part.numpy() == copy[0].numpy() for part in copy)
    return dict(zip(NAMES, (float(copy[0].numpy()[0]) for copy in copies))), optimizer


def test_sgd_decays_kernels_and_the_norm_scale_and_doubles_the_rate_of_biases(strategy):
    options = OptimizerOptions(learning_rate=0.1, momentum=0.5, weight_decay=0.25)
    values, _ = run_steps(strategy, options, [1.0])
    # Kernel: 2 - 0.1 * (1 + 0.25 * 2) = 1.85; bias: 2 - 0.1 * 2; gamma, beta: 2 - 0.1.
    expected = [1.85, 1.8, 1.9, 1.9, 1.85, 1.85]
    np.testing.assert_allclose(list(values.values()), expected, rtol=1e-6)
    values, _ = run_steps(strategy, options, [1.0, 0.0])
    # Kernel: velocity -0.15, then 0.5 * -0.15 - 0.1 * 0.25 * 1.85 = -0.12125.
    np.testing.assert_allclose(values["conv/kernel"], 1.85 - 0.12125, rtol=1e-6)
    np.testing.assert_allclose(values["conv/bias"], 1.8 - 0.1, rtol=1e-6)


def test_gradients_are_clipped_as_a_whole_before_decay(strategy):
    # Six gradients of 2: norm sqrt(24); clipped to sqrt(6) each becomes 1.
    options = OptimizerOptions(
        learning_rate=0.1, momentum=0.0, weight_decay=0.25, gradient_clip_norm=6**0.5
    )
    values, _ = run_steps(strategy, options, [2.0])
    np.testing.assert_allclose(values["conv/kernel"], 1.85, rtol=1e-6)
    np.testing.assert_allclose(values["conv/bias"], 1.8, rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_sgd_is_kerass_to_the_bit(momentum):
    start = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    ours, theirs = tf.Variable(start), tf.Variable(start)
    sgd = optimizers.create(OptimizerOptions(learning_rate=0.03, momentum=momentum), 100, "float32")
    keras_sgd = keras.optimizers.SGD(0.03, momentum=momentum, jit_compile=False)
    for seed in range(1, 6):
        gradient = tf.constant(np.random.default_rng(seed).normal(size=(5, 7)), tf.float32)
        sgd.apply_gradients([(gradient, ours)])
        keras_sgd.apply_gradients([(gradient, theirs)])
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert np.abs(ours.numpy() - start).max() > 0.05


def test_rate_follows_the_schedule(strategy):
    options = OptimizerOptions(
        learning_rate=1.0, momentum=0.0, weight_decay=0.0, lr_boundaries=(1,)
    )
    values, optimizer = run_steps(strategy, options, [0.5, 0.5])
    np.testing.assert_allclose(values["bn/beta"], 2.0 - 0.5 - 0.05, rtol=1e-6)
    assert int(optimizer.iterations.numpy()) == 2


def test_loss_scaling_leaves_the_update_and_skips_a_gradient_that_overflows(strategy):
    options = OptimizerOptions(learning_rate=0.1, momentum=0.0, weight_decay=0.25)
    values, optimizer = run_steps(strategy, options, [1.0], precision="mixed_float16")
    np.testing.assert_allclose(values["conv/kernel"], 1.85, rtol=1e-6)
    assert isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
    before = float(optimizer.loss_scale)
    values, optimizer = run_steps(strategy, options, [np.inf], precision="mixed_float16")
    assert set(values.values()) == {2.0}
    assert float(optimizer.loss_scale) == before / 2


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize("name", ["sgd", pytest.param("lamb", marks=ADDONS)])
def test_a_step_left_out_is_counted_on_every_replica(strategy, name, precision):
    options = OptimizerOptions(optimizer=name, learning_rate=1.0, momentum=0.0, weight_decay=0.0)
    _, optimizer = run_steps(strategy, options, [0.5], precision=precision)
    optimizers.count_step(optimizer)
    copies = strategy.experimental_local_results(optimizer.iterations)
    assert [int(copy.numpy()) for copy in copies] == [2] * len(copies)


@ADDONS
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Kernel: 2 - 0.1 * 0.25 * 2 - 0.1 = 1.85; bias at twice the rate.
        pytest.param("sgdw", [1.85, 1.8, 1.9, 1.9, 1.85, 1.85], id="sgdw"),
        # The gradient over its own norm is 1 in the first step.
        pytest.param("novograd", [1.85, 1.9, 1.9, 1.9, 1.85, 1.85], id="novograd"),
        # Kernel: update 1 + 0.25 * 2 = 1.5, times |w| / |update| = 2: 2 - 0.1 * 2; others plain.
        pytest.param("lamb", [1.8, 1.9, 1.9, 1.9, 1.8, 1.8], id="lamb"),
    ],
)
def test_addons_decay_decoupled_and_leave_biases_and_batch_norm(
    strategy, name, expected, precision
):
    options = OptimizerOptions(optimizer=name, learning_rate=0.1, weight_decay=0.25)
    values, _ = run_steps(strategy, options, [1.0], precision=precision)
    np.testing.assert_allclose(list(values.values()), expected, rtol=1e-5)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="this stack has Addons")
@pytest.mark.parametrize("name", ["sgdw", "lamb", "novograd"])
def test_stack_without_addons_says_which_has_it(name):
    with pytest.raises(InputError, match=f"--optimizer={name}: needs TensorFlow Addons"):
        optimizers.create(OptimizerOptions(optimizer=name), 100, "float32")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv4_3/kernel:0", True),
        ("block_1/depthwise_kernel:0", True),
        ("norm/scale:0", True),
        ("conv/kernel/replica_1:0", True),
        ("head/bias:0", False),
        ("bn/gamma/replica_1:0", False),
        ("bn/beta:0", False),
        ("bias_free/kernel:0", True),
    ],
)
def test_what_decays(name, expected):
    assert optimizers.decays(name) is expected
