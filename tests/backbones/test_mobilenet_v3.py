"""MobileNetV3-Large: sizes against torchvision's, features against Keras's network."""

import dataclasses

import numpy as np
import pytest

from ssd_tfrecord.backbones import mobilenet_v3
from ssd_tfrecord.backbones.backbone import SSDLITE320, SSDLITE512
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import ssd, summary
from ssd_tfrecord.model.weights.keras_files import named_as
from ssd_tfrecord.options import AnchorOptions, ModelOptions


@pytest.fixture(scope="module")
def published():
    """torchvision's ssdlite320_mobilenet_v3_large, for COCO's 91 labels."""
    options = ModelOptions(backbone="mobilenet_v3_large_reduced", input_size=320)
    return ssd.build(options, AnchorOptions(anchor_scales="ssdlite"), 90)


def trained(model):
    return sum(weight.shape.num_elements() for weight in model.trainable_weights)


def test_parameters_and_multiply_adds_are_torchvisions(published):
    # num_params and _ops of SSDLite320_MobileNet_V3_Large_Weights.COCO_V1, in thousand millions.
    assert trained(published) == 3_440_060
    products = sum(map(summary.multiply_adds, published.layers))
    assert products / 1e9 == pytest.approx(0.583, abs=5e-4)
    assert published.output_shape["logits"] == (None, 3234, 91)


def test_maps_of_the_published_network(published):
    heads = [published.get_layer(f"head_{index}_logits_depthwise") for index in range(6)]
    assert [head.input_shape[1:] for head in heads] == [
        *((20, 20, 672), (10, 10, 480), (5, 5, 512), (3, 3, 256), (2, 2, 256), (1, 1, 128))
    ]
    # The first is the expansion, before the depthwise convolution halves it.
    assert heads[0].input.name == published.get_layer("expanded_conv_12_depthwise_pad").input.name


def test_batch_norm_is_torchvisions(published):
    norms = [
        layer for layer in published.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    # Of the body, four added blocks and twelve heads. PyTorch's momentum of 0.03 is 0.97 here.
    assert len(norms) == 46 + 4 * 3 + 12
    assert {(layer.momentum, layer.epsilon) for layer in norms} == {(0.97, 1e-3)}


@pytest.mark.soak
def test_the_full_tail_has_the_parameters_of_the_classifiers_features():
    image, maps = mobilenet_v3.build(SSDLITE512, width=1.0, batch_norm="sync", seed=0)
    # torchvision's mobilenet_v3_large has 5,483,032, its classifier 2,511,080 of them.
    assert trained(keras.Model(image, maps[1])) == 5_483_032 - 2_511_080
    assert [features.shape[1:] for features in maps] == [
        *((32, 32, 672), (16, 16, 960), (8, 8, 512), (4, 4, 256), (2, 2, 256), (1, 1, 128))
    ]


def test_features_are_those_of_kerass_network():
    """Of 97 pixels, whose maps are odd: Keras pads those alike on all sides, too."""
    maps = dataclasses.replace(SSDLITE320, input_size=97)
    image, features = mobilenet_v3.build(maps, width=0.35, batch_norm="frozen", seed=0)
    assert [each.shape[-1] for each in features] == [240, 336, 176, 96, 96, 48]
    ours = keras.Model(image, features[:2])
    theirs = keras.applications.MobileNetV3Large(
        weights=None, input_shape=(97, 97, 3), alpha=0.35, include_top=False
    )
    random = np.random.default_rng(0)
    names = [layer.name for layer in ours.layers if layer.weights]
    for layer in theirs.layers:
        # Means and the like near 0, variances and the like near 1.
        layer.set_weights(
            [
                (
                    random.uniform(0.5, 1.5, array.shape)
                    if array.ndim == 1 and index in (0, 3)
                    else random.normal(0, 0.3, array.shape)
                )
                for index, array in enumerate(layer.get_weights())
            ]
        )
        if layer.weights:
            ours.get_layer(named_as(names, layer.name)).set_weights(layer.get_weights())
    rgb = random.integers(0, 256, (1, 97, 97, 3)).astype(np.float32)
    c4, c5 = ours(rgb - np.array((123, 117, 104), np.float32))
    # Keras has no name for its hard swish: what the depthwise convolution reads, before padding.
    pad = theirs.get_layer("expanded_conv_12/depthwise/pad")
    expected_c4, expected_c5 = keras.Model(theirs.input, [pad.input, theirs.output])(rgb)
    for got, expected in ((c4, expected_c4), (c5, expected_c5)):
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
