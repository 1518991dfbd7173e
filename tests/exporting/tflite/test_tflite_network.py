import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.exporting.tflite import tflite_network
from ssd_tfrecord.keras import keras


def layered(rescaling):
    """A network with a Rescaling layer, or none, before its weights."""
    image = keras.Input([4, 4, 3])
    x = keras.layers.Rescaling(*rescaling)(image) if rescaling else image
    outputs = {name: keras.layers.Conv2D(2, 4, name=name)(x) for name in ("offsets", "logits")}
    return keras.Model(image, outputs)


MEAN = np.array([123.0, 117.0, 104.0])


@pytest.mark.parametrize(
    ("rescaling", "expected"),
    [
        pytest.param((1 / 127.5, list(MEAN / 127.5 - 1)), (1, 0), id="-1 to 1 as it comes"),
        pytest.param(None, (127.5, 127.5 - MEAN), id="levels minus mean"),
        pytest.param((0.5, 3.0), (63.75, (127.5 - MEAN) / 2 + 3), id="another scale"),
    ],
)
def test_rescaling_and_mean_become_one_operation(rescaling, expected):
    model = layered(rescaling)
    network, scale, shift = tflite_network._without_rescaling(model)
    np.testing.assert_allclose(scale, np.broadcast_to(expected[0], 3))
    np.testing.assert_allclose(shift, np.broadcast_to(expected[1], 3), atol=1e-12)
    levels = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype(np.float32)
    sent = (levels - 127.5) / 127.5
    found = network(tf.constant(sent * scale + shift, tf.float32))["logits"]
    np.testing.assert_allclose(found, model(levels - MEAN)["logits"], rtol=1e-4, atol=1e-4)


def test_the_function_takes_what_clients_send(toy):
    model = dataclasses.replace(toy.model)
    function, holder = tflite_network.network_function(model)
    (image,) = function.structured_input_signature[0]
    assert (image.name, image.dtype) == ("images", tf.float32)
    assert image.shape.as_list() == [1, 300, 300, 3]
    assert len(holder.weights) == len(model.model.variables)
