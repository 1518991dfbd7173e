import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.backbones.layers import (
    BatchNorm,
    ChannelL2Norm,
    batch_norm_layer,
    hard_sigmoid,
    xavier,
)
from ssd_tfrecord.keras import keras


def test_keras_is_keras_2():
    assert keras.__name__ in ("tf_keras", "tensorflow.keras", "keras.api._v2.keras")
    assert hasattr(keras.layers, "Layer") and keras.layers.Layer.__module__.startswith(
        "keras.src" if tf.__version__.startswith("2.15") else "tf_keras"
    )


def test_l2_norm_divides_by_the_length_over_channels_and_multiplies_by_20():
    layer = ChannelL2Norm(name="norm")
    inputs = tf.constant([[[[3.0, 4.0], [0.0, 0.0], [-5.0, 12.0]]]])
    np.testing.assert_allclose(
        layer(inputs), [[[[12, 16], [0, 0], [-100 / 13, 240 / 13]]]], rtol=1e-6
    )
    layer.scale.assign([1.0, 10.0])
    np.testing.assert_allclose(layer(inputs)[0, 0, 0], [0.6, 8.0], rtol=1e-6)


def test_l2_norm_is_float32_where_squares_would_overflow_float16():
    outputs = ChannelL2Norm(name="norm")(tf.constant([[[[300.0, 400.0]]]], tf.float16))
    assert outputs.dtype == tf.float32
    np.testing.assert_allclose(outputs[0, 0, 0], [12, 16], rtol=1e-6)


def test_xavier_stays_within_its_bounds_and_depends_on_seed_and_name_alone():
    shape = (3, 3, 4, 1000)
    weights = xavier(0, "a")(shape).numpy()
    bound = np.sqrt(3 / 36)  # fan_in 3 * 3 * 4
    assert 0.99 * bound < np.abs(weights).max() <= bound
    np.testing.assert_allclose(weights.std(), 1 / 6, rtol=0.02)
    np.testing.assert_array_equal(weights, xavier(0, "a")(shape))
    assert np.abs(weights - xavier(0, "b")(shape)).max() > 0.1
    assert np.abs(weights - xavier(1, "a")(shape)).max() > 0.1


def batch():
    return np.random.default_rng(0).normal(2, 3, (4, 2, 3, 5)).astype(np.float32)


def test_batch_norm_uses_and_averages_the_biased_moments():
    layer = batch_norm_layer("bn", "sync")
    x = batch()
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    outputs = layer(x, training=True)
    np.testing.assert_allclose(outputs, (x - mean) / np.sqrt(variance + 1e-3), atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.03 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.97 + 0.03 * variance, rtol=1e-5)
    expected = (x - 0.03 * mean) / np.sqrt(0.97 + 0.03 * variance + 1e-3)
    np.testing.assert_allclose(layer(x, training=False), expected, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "XLA"])
def test_batch_norm_of_one_value_a_channel_stays_finite(jit_compile):
    layer = batch_norm_layer("bn", "sync")
    x = tf.ones((1, 1, 1, 3)) * 7
    layer.build(x.shape)
    outputs = tf.function(lambda x: layer(x, training=True), jit_compile=jit_compile)(x)
    np.testing.assert_allclose(outputs, np.zeros((1, 1, 1, 3)), atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, [0.97] * 3, rtol=1e-6)


def test_frozen_batch_norm_keeps_its_averages_in_training():
    layer = batch_norm_layer("bn", "frozen")
    x = batch()
    outputs = layer(x, training=True)
    np.testing.assert_allclose(outputs, x / np.sqrt(1 + 1e-3), rtol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(5))
    assert layer.trainable_weights == []


def test_batch_norm_equals_keras_where_the_count_does_not_matter():
    x = batch()
    ours, theirs = batch_norm_layer("bn", "sync"), keras.layers.BatchNormalization(epsilon=1e-3)
    np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True), atol=1e-6)


def normalise(layer, strategy, parts):
    """Outputs, gradient of the inputs and moving averages, a row a replica."""
    weight = tf.constant(np.arange(30, dtype=np.float32).reshape(2, 3, 5))

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(weight * y**2)
        return y, tape.gradient(loss, x)

    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group])
    )
    y, gradient = strategy.run(step, (values,))
    local = strategy.experimental_local_results
    return (
        tf.concat(local(y), 0).numpy(),
        tf.concat(local(gradient), 0).numpy(),
        layer.moving_mean.numpy(),
        layer.moving_variance.numpy(),
    )


def test_two_replicas_normalise_as_one_does():
    x = batch()
    results = []
    for parts in ([x], [x[:2], x[2:]]):
        strategy = tf.distribute.MirroredStrategy(
            [f"CPU:{index}" for index in range(len(parts))],
            cross_device_ops=tf.distribute.ReductionToOneDevice(),
        )
        with strategy.scope():
            layer = batch_norm_layer("bn", "sync")
            layer.build((None, 2, 3, 5))
        results.append(normalise(layer, strategy, parts))
    for one, two in zip(*results):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
    assert isinstance(layer, BatchNorm)


@pytest.mark.parametrize("side", [1, 4])
def test_hard_sigmoid_behind_a_bias_is_the_same_in_a_graph(side):
    """TensorFlow exchanges a constant of one element with the bias, and reads beyond it."""
    conv = keras.layers.Conv2D(24, 1, kernel_initializer=xavier(0, "a"))
    images = tf.random.stateless_normal([2, side, side, 8], [0, 1])
    conv(images)
    conv.bias.assign(tf.linspace(-4.0, 4.0, 24))
    wanted = np.clip(conv(images).numpy() + 3, 0, 6) / 6

    @tf.function
    def graph(images):
        return hard_sigmoid(conv(images))

    @tf.function
    def gradient(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(hard_sigmoid(conv(images)))
        return tape.gradient(loss, conv.bias)

    np.testing.assert_allclose(graph(images), wanted, atol=1e-6)
    inside = (wanted > 0) & (wanted < 1)
    np.testing.assert_allclose(gradient(images), inside.sum((0, 1, 2)) / 6, atol=1e-5)
