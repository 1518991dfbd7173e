import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import summary
from ssd_tfrecord.model.ssd import build
from ssd_tfrecord.options import AnchorOptions, ModelOptions

SMALL = ModelOptions(backbone="mobilenet_v2", width=0.35)


@pytest.fixture(scope="module")
def small():
    return build(SMALL, AnchorOptions(), 2)


@pytest.mark.parametrize(
    ("options", "num_classes", "num_anchors", "num_parameters"),
    [
        # The original's SSD300 for VOC; ssd.pytorch and ssd_keras count the same.
        (ModelOptions(), 20, 8732, 26_285_486),
        (ModelOptions(input_size=512), 20, 24564, 27_188_676),
    ],
    ids=["SSD300 VOC", "SSD512 VOC"],
)
def test_size_of_the_published_networks(options, num_classes, num_anchors, num_parameters):
    model = build(options, AnchorOptions(), num_classes)
    assert model.output_shape == {
        "offsets": (None, num_anchors, 4),
        "logits": (None, num_anchors, num_classes + 1),
    }
    assert model.count_params() == num_parameters


def test_parameters_and_multiply_adds_of_torchvisions_ssd300():
    # num_params and _ops of SSD300_VGG16_Weights.COCO_V1, the latter in thousand millions.
    model = build(ModelOptions(), AnchorOptions(), 90)
    assert model.count_params() == 35_641_826
    products = sum(map(summary.multiply_adds, model.layers))
    assert products / 1e9 == pytest.approx(34.858, abs=5e-4)


def test_heads_hold_anchors_then_classes_of_a_cell(small):
    """The logits' row of a map's cell and anchor, traced from the heads' convolutions."""
    heads = [small.get_layer(f"head_{index}_logits").output for index in range(6)]
    inputs = [keras.Input(head.shape[1:]) for head in heads]
    rows = [small.get_layer(f"head_{i}_logits_rows")(x) for i, x in enumerate(inputs)]
    joined = keras.Model(inputs, small.get_layer("logits")(rows))
    maps = [
        np.random.default_rng(index).normal(size=(1, *head.shape[1:])).astype(np.float32)
        for index, head in enumerate(heads)
    ]
    logits = joined(maps).numpy()
    # Map 1 begins at 38 * 38 * 4 = 5776, has 19 cells a row, 6 anchors a cell, 3 logits each.
    assert logits[0, 5776 + (4 * 19 + 7) * 6 + 5, 2] == maps[1][0, 4, 7, 5 * 3 + 2]
    assert logits[0, (37 * 38 + 1) * 4 + 3, 1] == maps[0][0, 37, 1, 3 * 3 + 1]
    assert logits[0, 8731, 0] == maps[5][0, 0, 0, 3 * 3]


def test_a_bias_shows_at_its_anchor_of_every_cell():
    model = build(SMALL, AnchorOptions(), 2)
    for layer in model.layers:
        if layer.name in [f"head_{i}_{kind}" for i in range(6) for kind in ("logits", "offsets")]:
            layer.set_weights([np.zeros(weight.shape) for weight in layer.weights])
    bias = np.zeros(6 * 3)
    bias[4 * 3 + 2] = 7
    model.get_layer("head_2_logits").bias.assign(bias)
    logits = model(np.zeros((1, 300, 300, 3), np.float32))["logits"].numpy()
    # Map 2 begins at 5776 + 19 * 19 * 6 = 7942 and has 100 cells of 6 anchors.
    expected = np.zeros((8732, 3))
    expected[7942 + 4 : 8542 : 6, 2] = 7
    np.testing.assert_array_equal(logits[0], expected)


def test_a_prior_is_the_probability_of_objects_where_the_features_are_zero():
    options = ModelOptions(backbone="toy", input_size=64)
    plain = build(options, AnchorOptions(), 2)
    model = build(options, AnchorOptions(), 2, prior=0.01)
    biases = {f"head_{i}_logits/bias:0" for i in range(2)}
    for one, two in zip(model.weights, plain.weights):
        assert one.name not in biases or not np.any(two)
        assert np.array_equal(one, two) == (one.name not in biases), one.name
    for index in range(2):
        kernel = model.get_layer(f"head_{index}_logits").kernel
        kernel.assign(tf.zeros_like(kernel))
    logits = model(np.ones((1, 64, 64, 3), np.float32))["logits"]
    # 8 * 8 cells of 4 anchors, 4 * 4 cells of 6.
    np.testing.assert_allclose(tf.nn.softmax(logits)[0], [[0.99, 0.005, 0.005]] * 352, rtol=1e-6)


def test_initial_weights_depend_on_the_seed_alone(small):
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        again = build(SMALL, AnchorOptions(), 2)
    for one, two in zip(small.weights, again.weights):
        np.testing.assert_array_equal(one, two.numpy(), err_msg=one.name)
    other = build(SMALL, AnchorOptions(), 2, seed=1)
    for one, two in zip(small.weights, other.weights):
        if "kernel" in one.name:
            assert not np.array_equal(one, two), one.name


@pytest.fixture
def bfloat16():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy("float32")


def test_outputs_are_float32_and_near_under_mixed_precision(small, bfloat16):
    mixed = build(SMALL, AnchorOptions(), 2)
    assert mixed.get_layer("block_3_expand").compute_dtype == "bfloat16"
    assert {weight.dtype for weight in mixed.weights} == {tf.float32}
    image = tf.random.stateless_normal((1, 300, 300, 3), [3, 4], stddev=60.0)
    for training in (False, True):
        outputs = mixed(image, training=training)
        assert {output.dtype for output in outputs.values()} == {tf.float32}
    np.testing.assert_allclose(mixed(image)["logits"], small(image)["logits"], atol=0.2)


def test_vgg_outputs_are_float32_under_mixed_precision(bfloat16):
    model = build(ModelOptions(), AnchorOptions(), 2)
    assert {output.dtype for output in model.output.values()} == {tf.float32}
    assert model.get_layer("conv4_3_norm").compute_dtype == "float32"
    assert model.get_layer("fc6").compute_dtype == "bfloat16"


def test_anchors_that_do_not_fit_are_an_error():
    with pytest.raises(InputError, match="--aspect_ratios=2:2: has ratios for 2 feature maps"):
        build(SMALL, AnchorOptions(aspect_ratios="2:2"), 2)
