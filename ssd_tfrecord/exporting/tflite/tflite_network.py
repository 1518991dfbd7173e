"""The graph that is converted: an image as clients send it to detections."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ssd_tfrecord.backbones import MEAN_RGB
from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.exporting.tflite import detection_op
from ssd_tfrecord.keras import keras
from ssd_tfrecord.tracing import not_converted

# What float clients send: (x - 127.5) / 127.5 of levels x.
INPUT_MEAN = INPUT_STD = 127.5
# Input of the signature; TensorFlow's own example for TensorFlow 2 calls it so.
INPUT_NAME = "images"


def network_function(model: Exportable) -> tuple[tf.types.experimental.ConcreteFunction, tf.Module]:
    """The function to convert, and what keeps its variables alive.

    The function takes float32 [1, S, S, 3] in [-1, 1] and returns ``detection_op.detections``.
    """
    network, scale, shift = _without_rescaling(model.model)
    size = model.input_size

    # Without its own operations where they change nothing: in int8 each would cost precision.
    @not_converted
    def function(images: tf.Tensor) -> dict[str, tf.Tensor]:
        if not np.allclose(scale, 1.0, rtol=0, atol=1e-6):
            images = images * tf.constant(scale, tf.float32)
        if not np.allclose(shift, 0.0, rtol=0, atol=1e-6):
            images = images + tf.constant(shift, tf.float32)
        found = network(images, training=False)
        return detection_op.detections(
            found["offsets"], found["logits"], model.anchors, model.options
        )

    images = tf.TensorSpec([1, size, size, 3], tf.float32, name=INPUT_NAME)
    # The variables alone: with a Keras model the converter would trace every layer once more,
    # a minute for MobileNetV2.
    holder = tf.Module()
    holder.weights = list(network.variables)
    traced = tf.function(function, input_signature=[images], autograph=False)
    return traced.get_concrete_function(), holder


def _without_rescaling(
    model: keras.Model,
) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """The network behind its Rescaling layer, if it begins with one.

    Returns:
        (network, scale, shift): the network takes x * scale + shift of the clients' x, by channel.
        For MobileNetV2, which was trained on [-1, 1], they are 1 and 0.
    """
    # Levels minus mean, of the clients' x.
    scale = np.full(3, INPUT_STD)
    shift = INPUT_MEAN - np.array(MEAN_RGB)
    image = model.inputs[0]
    for layer in model.layers:
        if isinstance(layer, keras.layers.Rescaling) and layer.input is image:
            network = keras.Model(layer.output, model.output, name=model.name)
            return (
                network,
                scale * _by_channel(layer.scale),
                (shift * _by_channel(layer.scale) + _by_channel(layer.offset)),
            )
    return model, scale, shift


def _by_channel(value: float | Sequence[float]) -> np.ndarray:
    return np.broadcast_to(np.asarray(value, np.float64), 3)
