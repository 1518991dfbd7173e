import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.backbones import mobilenet_v2, vgg16
from ssd_tfrecord.backbones.backbone import SSD300, SSD320, SSD512
from ssd_tfrecord.keras import keras


@pytest.fixture(scope="module")
def vgg300():
    return keras.Model(*vgg16.build(SSD300, seed=0))


@pytest.fixture(scope="module")
def mobilenet():
    return keras.Model(*mobilenet_v2.build(SSD300, width=0.35, batch_norm="sync", seed=0))


def between(model, first, last):
    """The part of ``model`` from the output of ``first`` to the output of ``last``."""
    x = inputs = keras.Input(model.get_layer(first).output.shape[1:])
    names = [layer.name for layer in model.layers]
    chosen = names[names.index(first) + 1 : names.index(last) + 1]
    for name in chosen:
        x = model.get_layer(name)(x)
    return keras.Model(inputs, x)


def coordinates(side, channels):
    """A map whose first channel holds 100 * y + x; the others are 0."""
    features = np.zeros((1, side, side, channels), np.float32)
    features[0, :, :, 0] = 100 * np.arange(side)[:, None] + np.arange(side)
    return features


def set_tap(layer, y, x):
    """Makes ``layer`` copy channel 0, as the tap (y, x) of its window sees it, to channel 0."""
    kernel = np.zeros(layer.kernel.shape, np.float32)
    kernel[y, x, 0, 0] = 1
    layer.set_weights([kernel, np.zeros(layer.bias.shape, np.float32)])


def test_sides_and_channels_of_the_maps(vgg300, mobilenet):
    def channels(model):
        return [output.shape[-1] for output in model.outputs]

    def sides(model):
        return tuple(output.shape[1] for output in model.outputs)

    assert channels(vgg300) == [512, 1024, 512, 256, 256, 256]
    vgg512 = keras.Model(*vgg16.build(SSD512, seed=0))
    assert channels(vgg512) == [512, 1024, 512, 256, 256, 256, 256]
    # At 0.35 blocks 5 and 12 give 16 and 32 channels, expanded 6 times; 512 and 256 are 11 and 6
    # times 16; Keras lets the last 1280 be.
    assert channels(mobilenet) == [96, 192, 1280, 176, 96, 96]
    assert sides(vgg300) == sides(mobilenet) == SSD300.sides
    assert sides(vgg512) == SSD512.sides


@pytest.mark.soak
@pytest.mark.parametrize(
    ("maps", "channels"),
    [
        (SSD320, [96, 192, 1280, 176, 96, 96]),
        # 128 is 3 times 16; the fourth added map is half of the third.
        (SSD512, [96, 192, 1280, 176, 96, 96, 48]),
    ],
    ids=["320", "512"],
)
def test_mobilenet_v2_at_other_inputs(maps, channels):
    _, features = mobilenet_v2.build(maps, width=0.35, batch_norm="sync", seed=0)
    assert [each.shape[-1] for each in features] == channels
    assert tuple(each.shape[1] for each in features) == maps.sides


def test_pool3_rounds_up_and_its_last_window_holds_what_is_left(vgg300):
    pooled = between(vgg300, "block3_conv3", "block3_pool")(coordinates(75, 256))
    assert pooled.shape[1:3] == (38, 38)
    assert pooled[0, 0, 0, 0] == 101  # rows 0 and 1, columns 0 and 1
    assert pooled[0, 37, 36, 0] == 7473  # row 74 alone, columns 72 and 73
    assert pooled[0, 37, 37, 0] == 7474


def test_pool5_keeps_the_side(vgg300):
    pooled = between(vgg300, "block5_conv3", "block5_pool")(coordinates(19, 512))
    assert pooled[0, 0, 0, 0] == 101 and pooled[0, 9, 4, 0] == 1005


def test_stride_2_pads_both_sides(vgg300):
    set_tap(vgg300.get_layer("conv7_2"), 1, 1)
    part = between(vgg300, "conv7_1", "conv7_2")
    shrunk = part(coordinates(10, 128))
    # The window's middle lies on 2i; "same", which pads 10 only at the end, would give 2i + 1.
    expected = [[200 * y + 2 * x for x in range(5)] for y in range(5)]
    np.testing.assert_array_equal(shrunk[0, :, :, 0], expected)


def test_fc6_looks_6_cells_away(vgg300):
    set_tap(vgg300.get_layer("fc6"), 0, 2)
    seen = between(vgg300, "block5_pool", "fc6")(coordinates(19, 512))
    assert seen[0, 6, 3, 0] == 9 and seen[0, 18, 12, 0] == 1218
    assert seen[0, 5, 3, 0] == 0 and seen[0, 6, 13, 0] == 0  # outside


def test_conv4_3_reaches_the_rest_of_the_network_without_its_normalisation(vgg300):
    assert (
        vgg300.get_layer("block4_pool").input.name == vgg300.get_layer("block4_conv3").output.name
    )


@pytest.mark.parametrize("width", [0.1, 0.35, 1.4], ids=lambda width: f"width {width}")
def test_mobilenet_v2_is_kerass_network(width):
    """Layer by layer, by name; its maps are what Keras's give with the same weights."""
    maps = dataclasses.replace(SSD320, input_size=96)
    image, features = mobilenet_v2.build(maps, width=width, batch_norm="frozen", seed=0)
    ours = keras.Model(image, features[:3])
    theirs = keras.applications.MobileNetV2(
        weights=None, input_shape=(96, 96, 3), alpha=width, include_top=False
    )
    # Ours rescales the image first.
    assert [layer.name for layer in ours.layers[2:]] == [layer.name for layer in theirs.layers[1:]]
    random = np.random.default_rng(0)
    for layer in theirs.layers[1:]:
        ranges = (0.5, 1.5), (-0.3, 0.3), (-0.3, 0.3), (0.5, 1.5)
        if isinstance(layer, keras.layers.BatchNormalization):
            arrays = [random.uniform(*each, layer.gamma.shape) for each in ranges]
        else:
            # As large as what comes in, so that nothing vanishes over the 52 layers.
            arrays = [
                random.normal(0, 1 / np.sqrt(array[..., 0].size), array.shape)
                for array in layer.get_weights()
            ]
        layer.set_weights(arrays)
        ours.get_layer(layer.name).set_weights(arrays)
    rgb = random.integers(0, 256, (2, 96, 96, 3)).astype(np.float32)
    names = ("block_6_expand_relu", "block_13_expand_relu", "out_relu")
    outputs = [theirs.get_layer(name).output for name in names]
    expected = keras.Model(theirs.input, outputs)(rgb / 127.5 - 1)
    for got, wanted in zip(ours(rgb - np.array((123, 117, 104), np.float32)), expected):
        assert np.abs(wanted).max() > 0.1
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-3)


def test_mobilenet_turns_rgb_minus_mean_into_minus_1_to_1(mobilenet):
    rgb = np.array([[0, 0, 0], [255, 255, 255], [123, 117, 104]], np.float32)
    inputs = (rgb - (123, 117, 104)).reshape(1, 1, 3, 3)
    scaled = mobilenet.get_layer("rescaling")(inputs)
    expected = [[-1, -1, -1], [1, 1, 1], [123 / 127.5 - 1, 117 / 127.5 - 1, 104 / 127.5 - 1]]
    np.testing.assert_allclose(scaled[0, 0], expected, atol=1e-6)


def test_frozen_batch_norm_leaves_only_convolutions_to_train():
    model = keras.Model(*mobilenet_v2.build(SSD300, width=0.35, batch_norm="frozen", seed=0))
    assert all("kernel" in weight.name for weight in model.trainable_weights)
    before = [weight.numpy() for weight in model.non_trainable_weights]
    model(tf.random.stateless_normal((2, 300, 300, 3), [1, 2]), training=True)
    for old, weight in zip(before, model.non_trainable_weights):
        np.testing.assert_array_equal(old, weight)


def test_batch_norm_forgets_at_0_97(mobilenet):
    norms = [
        layer for layer in mobilenet.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(norms) == 52 + 9
    assert {(layer.momentum, layer.epsilon) for layer in norms} == {(0.97, 1e-3)}
