"""Conv3x3 beside Keras's Conv2D: outputs, gradients, names, and where it is Conv2D itself."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.backbones import cpu_convolution
from ssd_tfrecord.backbones.cpu_convolution import Conv3x3
from ssd_tfrecord.keras import keras


def twins(dilation, channels, side=7, *, filters=5):
    """(Conv3x3, Conv2D of the same weights, inputs [2, side, side + 2, channels])."""
    made = []
    for kind in (Conv3x3, keras.layers.Conv2D):
        options = {"padding": "same", "activation": "relu", "dilation_rate": dilation}
        layer = kind(filters, 3, name="fc6", **options)
        layer.build((None, side, side + 2, channels))
        made.append(layer)
    ours, plain = made
    random = np.random.default_rng(0)
    plain.set_weights([random.normal(size=weight.shape) for weight in plain.get_weights()])
    ours.set_weights(plain.get_weights())
    inputs = random.normal(size=(2, side, side + 2, channels)).astype(np.float32)
    return ours, plain, tf.constant(inputs)


def outputs_and_gradients(layer, inputs):
    @tf.function(autograph=False)
    def compute(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            # Weights of their own, so that no pixel can stand for another.
            weights = tf.reshape(tf.range(tf.size(outputs), delta=1.0), tf.shape(outputs))
            loss = tf.reduce_sum(outputs * tf.math.sin(tf.cast(weights, tf.float32)))
        return [outputs, *tape.gradient(loss, [inputs, *layer.trainable_weights])]

    return compute(inputs)


def operations(layer, inputs, *, training):
    graph = tf.function(lambda x: layer(x, training=training), autograph=False)
    return {node.op for node in graph.get_concrete_function(inputs).graph.as_graph_def().node}


@pytest.mark.parametrize(
    ("dilation", "channels", "side"),
    [(6, 3, 7), (6, 4, 19), (2, 3, 1), (1, 64, 7), (1, 64, 1), (1, 3, 7)],
    ids=[
        "dilated beyond the map",
        "as fc6",
        "dilated, of one row",
        "filters' gradient as products",
        "a map of one row",
        "of an RGB image",
    ],
)
def test_outputs_and_gradients_are_those_of_keras(dilation, channels, side):
    ours, plain, inputs = twins(dilation, channels, side)
    found = outputs_and_gradients(ours, inputs)
    expected = outputs_and_gradients(plain, inputs)
    assert len(found) == 4
    for one, other in zip(found, expected):
        assert np.abs(other).max() > 0.1
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 * np.abs(other).max())


def test_weights_have_the_names_of_keras():
    ours, plain, _ = twins(6, 3)
    assert [weight.name for weight in ours.weights] == [weight.name for weight in plain.weights]


def test_training_on_a_cpu_is_written_as_products():
    dilated, plain, inputs = twins(6, 3)
    assert "ConcatV2" in operations(dilated, inputs, training=True)
    assert "ConcatV2" not in operations(plain, inputs, training=True)
    ours, _, inputs = twins(1, 64)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(ours(inputs, training=True))
    seen = []
    products = cpu_convolution.tf.matmul
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            cpu_convolution.tf, "matmul", lambda *a, **k: seen.append(products(*a, **k)) or seen[-1]
        )
        tape.gradient(loss, ours.kernel)
    assert len(seen) == 3


def test_inference_is_the_plain_dilated_convolution_as_exports_need_it():
    ours, plain, inputs = twins(6, 3)
    expected = operations(plain, inputs, training=False)
    assert operations(ours, inputs, training=False) == expected
    np.testing.assert_array_equal(ours(inputs, training=False), plain(inputs))


def test_where_there_is_a_gpu_it_is_the_library_that_convolves(monkeypatch):
    ours, plain, inputs = twins(6, 3)
    monkeypatch.setattr(cpu_convolution.tf.config, "list_logical_devices", lambda kind: [kind])
    expected = operations(plain, inputs, training=True)
    assert operations(ours, inputs, training=True) == expected


def test_half_precision_stays_half():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        ours, plain, inputs = twins(6, 3)
        outputs = ours(inputs, training=True)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert outputs.dtype == tf.bfloat16
    error = tf.cast(outputs, tf.float32) - tf.cast(plain(inputs), tf.float32)
    assert np.abs(error).max() < 0.2


@pytest.mark.parametrize(("dilation", "channels"), [(6, 3), (1, 64), (1, 3)])
def test_the_gradient_of_a_bias_is_a_sum_in_float32(dilation, channels):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        ours, plain, inputs = twins(dilation, channels, 200)
    finally:
        keras.mixed_precision.set_global_policy("float32")

    def of_ones(layer):
        """The gradient of the sum of all outputs before the activation, 80,800 pixels."""
        layer.activation = keras.activations.linear
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(layer(inputs, training=True), tf.float32))
        return tape.gradient(loss, layer.bias).numpy()

    np.testing.assert_allclose(of_ones(ours), 80_800, rtol=0.004)
    # What TensorFlow's is: 256 and one more is 256 in bfloat16.
    assert of_ones(plain).max() < 80_800 / 2
