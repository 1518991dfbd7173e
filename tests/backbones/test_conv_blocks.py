"""Blocks: what their layers are called, how they pad, and their activations."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.backbones.conv_blocks import ConvBlocks, activate, added_layers, rescaled_image
from ssd_tfrecord.backbones.layers import ExcitedChannels, HardSwish, hard_sigmoid
from ssd_tfrecord.keras import keras


@pytest.fixture
def blocks():
    return ConvBlocks(batch_norm="sync", seed=0)


def coordinates(side):
    """A map of one channel that holds 100 * y + x."""
    return (100.0 * np.arange(side)[:, None] + np.arange(side)).astype(np.float32)[None, ..., None]


def middles(side, kernel, padding, blocks):
    """What the middle of each window of stride 2 sees in ``coordinates(side)``."""
    image = keras.Input((side, side, 1))
    model = keras.Model(
        image,
        blocks.conv(image, "x_conv", 1, kernel, strides=2, padding=padding, activation="none"),
    )
    kernel_array = np.zeros((kernel, kernel, 1, 1), np.float32)
    kernel_array[kernel // 2, kernel // 2] = 1
    model.get_layer("x_conv").set_weights([kernel_array])
    # Fresh batch normalisation divides by sqrt(1 + epsilon).
    return model(coordinates(side)).numpy()[0, :, :, 0] * np.sqrt(1 + 1e-3)


@pytest.mark.parametrize("kernel", [3, 5])
def test_symmetric_padding_looks_at_every_second_pixel_from_the_first(kernel, blocks):
    for side, count in ((10, 5), (5, 3), (3, 2), (2, 1)):
        expected = [[200 * y + 2 * x for x in range(count)] for y in range(count)]
        np.testing.assert_allclose(middles(side, kernel, "symmetric", blocks), expected, rtol=1e-5)


def test_keras_pads_even_maps_below_and_right_only(blocks):
    expected = [[200 * y + 101 + 2 * x for x in range(5)] for y in range(5)]
    np.testing.assert_allclose(middles(10, 3, "same", blocks), expected, rtol=1e-5)


def test_layers_are_named_after_their_block(blocks):
    image = keras.Input((8, 8, 3))
    x = blocks.conv(image, "conv1_conv", 4, 3, strides=2, padding="symmetric", activation="relu")
    x = blocks.pointwise(x, "block_1_expand", 8, activation="hard_swish")
    x = blocks.depthwise(x, "block_1_depthwise")
    names = [layer.name for layer in keras.Model(image, x).layers[1:]]
    assert names == [
        *("conv1_conv_pad", "conv1_conv", "conv1_BN", "conv1_relu"),
        *("block_1_expand", "block_1_expand_BN", "block_1_expand_hard_swish"),
        *("block_1_depthwise", "block_1_depthwise_BN", "block_1_depthwise_relu"),
    ]


def test_activations():
    x = tf.constant([-4.0, -3.0, -1.5, 0.0, 1.0, 3.0, 7.0])
    expected = {
        "none": [-4, -3, -1.5, 0, 1, 3, 7],
        "relu": [0, 0, 0, 0, 1, 3, 7],
        "relu6": [0, 0, 0, 0, 1, 3, 6],
        # x * (x + 3) / 6 between -3 and 3: -1.5 * 1.5 / 6 and 4 / 6.
        "hard_swish": [0, 0, -0.375, 0, 2 / 3, 3, 7],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(activate(x, "x", name), values, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(hard_sigmoid(x), [0, 0, 0.25, 0.5, 2 / 3, 1, 1], rtol=1e-6)


def test_excited_channels_are_weighed_by_their_gates():
    features = tf.reshape(tf.range(8.0), (1, 2, 2, 2))
    gates = tf.constant([[[[-1.5, 9.0]]]])  # hard sigmoids 0.25 and 1
    expected = features * [0.25, 1.0]
    np.testing.assert_allclose(ExcitedChannels()([features, gates]), expected, rtol=1e-6)


def test_xla_computes_the_same():
    features = tf.random.stateless_normal((2, 4, 4, 8), [1, 2]) * 4
    gates = tf.random.stateless_normal((2, 1, 1, 8), [3, 4]) * 4
    swish, excited = HardSwish(), ExcitedChannels()

    def gradient(features, gates):
        with tf.GradientTape() as tape:
            tape.watch([features, gates])
            loss = tf.reduce_sum(excited([swish(features), gates]) ** 2)
        return tape.gradient(loss, [features, gates])

    compiled = tf.function(gradient, jit_compile=True)(features, gates)
    for ours, expected in zip(compiled, gradient(features, gates)):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def test_an_added_block_is_of_whole_sixteens(blocks):
    image = keras.Input((5, 5, 24))
    features = added_layers(blocks, image, 2, 0.35 * 512, strides=2, padding="symmetric")
    model = keras.Model(image, features)
    assert features.shape == (None, 3, 3, 176)
    assert model.get_layer("extra_2_squeeze").filters == 88
    narrow = added_layers(blocks, image, 3, 12.8, strides=1, padding="valid")
    assert narrow.shape == (None, 3, 3, 32)


def test_rescaling_turns_rgb_minus_mean_into_minus_1_to_1():
    image, x = rescaled_image(1)
    rgb = np.array([[0, 0, 0], [255, 255, 255], [123, 117, 104]], np.float32)
    scaled = keras.Model(image, x)((rgb - (123, 117, 104)).reshape(3, 1, 1, 3))
    expected = [[-1, -1, -1], [1, 1, 1], [123 / 127.5 - 1, 117 / 127.5 - 1, 104 / 127.5 - 1]]
    np.testing.assert_allclose(scaled[:, 0, 0], expected, atol=1e-6)
