import gc

import cv2
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from ssd_tfrecord.backbones.layers import HardSwish
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.exporting.onnx import network_graph
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.geometry.coding import decode
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import ssd
from ssd_tfrecord.options import DetectionOptions, ModelOptions


def small_exportable(backbone, input_size):
    options = ModelOptions(backbone=backbone, backbone_weights="none", input_size=input_size)
    config = TrainConfig(train_records=("none",), run_dir="none", model=options)
    anchors = anchor_boxes(config.anchors, options.maps)
    model = ssd.build(options, config.anchors, 2)
    for layer in model.layers:
        # Features of random weights are large: offsets that are too would cost digits.
        if layer.name.startswith("head_") and layer.name.endswith(("offsets", "logits")):
            layer.set_weights([weight * 0.01 for weight in layer.get_weights()])
    names, ids = ("cat", "dog"), (1, 2)
    return Exportable("none", 1, config, model, anchors, names, ids, DetectionOptions(), None)


def assert_runtimes_agree(model, atol):
    """onnxruntime on two images, and OpenCV on one, give what TensorFlow gives."""
    size = model.input_size
    random = np.random.default_rng(0)
    levels = random.integers(0, 256, (2, size, size, 3)).astype(np.float32)
    offsets, logits = model.outputs(tf.constant(levels))
    boxes = decode(offsets, tf.constant(model.anchors)).numpy()[..., [1, 0, 3, 2]]
    expected = boxes, tf.nn.softmax(logits).numpy()[..., 1:]
    content = network_graph.convert(model).SerializeToString()
    planes = levels.transpose(0, 3, 1, 2).copy()
    names = ["boxes", "scores"]
    session = onnxruntime.InferenceSession(content)
    for found, wanted in zip(session.run(names, {"images": planes}), expected):
        np.testing.assert_allclose(found, wanted, atol=atol)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
    net.setInput(planes[:1])
    for found, wanted in zip(net.forward(names), expected):
        np.testing.assert_allclose(found, wanted[:1], atol=atol)


def test_another_input_size():
    before = gc.get_threshold()
    assert_runtimes_agree(small_exportable("toy", 64), 1e-6)
    # The collector is as it was.
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_hard_swish_hinders_no_transposition():
    """A scalar in it stops tf2onnx's pass, which then leaves two at every convolution."""
    import tf2onnx

    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(image)
    x = keras.layers.Conv2D(4, 3)(HardSwish(name="swish")(x))
    network = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
    function = tf.function(lambda images: network(images), autograph=False)
    specs = [tf.TensorSpec([None, 8, 8, 3], tf.float32, name="images")]
    proto, _ = tf2onnx.convert.from_function(function, specs, opset=17, inputs_as_nchw=["images"])
    operators = [node.op_type for node in proto.graph.node]
    assert operators.count("Conv") == 2 and "Transpose" not in operators


@pytest.mark.soak
@pytest.mark.parametrize(
    ("backbone", "input_size"),
    [
        *(("mobilenet_v2", 300), ("vgg16", 300), ("resnet50", 300)),
        *(("mobilenet_v3_large", 320), ("mobilenet_v3_large_reduced", 320)),
    ],
)
def test_real_networks(backbone, input_size):
    assert_runtimes_agree(small_exportable(backbone, input_size), 1e-5)
