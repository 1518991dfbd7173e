"""ResNet-50: sizes against NVIDIA's network, features against Keras's."""

import numpy as np
import pytest

from ssd_tfrecord.backbones import resnet50
from ssd_tfrecord.backbones.backbone import SSD512
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import ssd
from ssd_tfrecord.options import AnchorOptions, ModelOptions


@pytest.fixture(scope="module")
def published():
    """NVIDIA's SSD300 v1.1, for COCO."""
    return ssd.build(ModelOptions(backbone="resnet50"), AnchorOptions(anchor_scales="coco"), 80)


def test_parameters_are_nvidias(published):
    # Counted in NVIDIA's own network, DeepLearningExamples 729963d.
    assert sum(weight.shape.num_elements() for weight in published.trainable_weights) == 22_894_902
    assert published.output_shape["logits"] == (None, 8732, 81)


def test_maps_of_the_published_network(published):
    heads = [published.get_layer(f"head_{index}_logits") for index in range(6)]
    assert [head.input_shape[1:] for head in heads] == [
        *((38, 38, 1024), (19, 19, 512), (10, 10, 512), (5, 5, 256), (3, 3, 256), (1, 1, 256))
    ]
    assert {head.kernel_size for head in heads} == {(3, 3)}


def test_batch_norm_is_nvidias(published):
    norms = [
        layer for layer in published.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    # The first, 13 blocks of three, three projections, five added pairs. PyTorch's momentum of 0.1
    # is 0.9 here.
    assert len(norms) == 1 + 13 * 3 + 3 + 5 * 2
    assert {(layer.momentum, layer.epsilon) for layer in norms} == {(0.9, 1.001e-5)}


@pytest.mark.soak
def test_maps_at_512():
    _, maps = resnet50.build(SSD512, batch_norm="sync", seed=0)
    assert [features.shape[1] for features in maps] == list(SSD512.sides)
    assert [features.shape[-1] for features in maps] == [1024, 512, 512, 256, 256, 256, 256]


@pytest.mark.soak
def test_features_are_those_of_kerass_network_up_to_conv3(published):
    """Whose conv4 has a stride of 2; Keras's weights go through ``adapt``."""
    ours = keras.Model(published.input, published.get_layer("conv3_block4_out").output)
    theirs = keras.applications.ResNet50(weights=None, input_shape=(300, 300, 3), include_top=False)
    random = np.random.default_rng(0)
    arrays = {}
    for layer in theirs.layers:
        norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.set_weights(
            [
                random.uniform(0.2, 1, array.shape) if norm else random.normal(0, 0.05, array.shape)
                for array in layer.get_weights()
            ]
        )
        if layer.weights:
            arrays[layer.name.replace("_bn", "_BN")] = layer.get_weights()
    adapted = resnet50.adapt(arrays)
    for layer in ours.layers:
        if layer.weights:
            layer.set_weights(adapted[layer.name])
    rgb = random.integers(0, 256, (1, 300, 300, 3)).astype(np.float32)
    mean = np.array((123, 117, 104), np.float32)
    expected = keras.Model(theirs.input, theirs.get_layer("conv3_block4_out").output)(
        (rgb - mean)[..., ::-1]
    )
    np.testing.assert_allclose(
        ours(rgb - mean), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
    )


def test_adapt_moves_biases_into_the_moving_means():
    ones = np.ones(2, np.float32)
    arrays = {
        "conv1_conv": [np.arange(3.0).reshape(1, 1, 3, 1), 4 * ones],
        "conv1_BN": [ones, 2 * ones, 3 * ones, 5 * ones],
        "conv2_block1_1_conv": [np.arange(3.0).reshape(1, 1, 3, 1)],
        "conv2_block1_1_BN": [ones, 2 * ones, 3 * ones, 5 * ones],
        "fc": [ones],
    }
    adapted = resnet50.adapt(arrays)
    np.testing.assert_array_equal(adapted["conv1_conv"][0].ravel(), [2, 1, 0])
    assert len(adapted["conv1_conv"]) == 1
    np.testing.assert_array_equal(adapted["conv1_BN"], [ones, 2 * ones, -1 * ones, 5 * ones])
    np.testing.assert_array_equal(adapted["conv2_block1_1_conv"][0].ravel(), [0, 1, 2])
    np.testing.assert_array_equal(adapted["conv2_block1_1_BN"][2], 3 * ones)
    assert arrays["conv1_BN"][2][0] == 3
