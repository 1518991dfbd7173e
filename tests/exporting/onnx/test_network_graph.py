import gc

import cv2
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.exporting.onnx import network_graph
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.geometry.coding import decode
from ssd_tfrecord.model import ssd
from ssd_tfrecord.options import DetectionOptions, ModelOptions


def small_exportable(backbone, input_size):
    options = ModelOptions(backbone=backbone, backbone_weights="none", input_size=input_size)
    config = TrainConfig(train_records=("none",), run_dir="none", model=options)
    anchors = anchor_boxes(config.anchors, options.maps)
    model = ssd.build(options, config.anchors, 2)
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


@pytest.mark.soak
@pytest.mark.parametrize("backbone", ["mobilenet_v2", "vgg16"])
def test_real_networks(backbone):
    assert_runtimes_agree(small_exportable(backbone, 300), 1e-5)
