"""The two files, read as clients read them: by onnxruntime, and raw by OpenCV."""

import collections

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

from ssd_tfrecord.exporting.onnx import onnx_model
from ssd_tfrecord.geometry.coding import decode

# All in onnx-tensorrt's list of supported operators (docs/operators.md).
RAW_OPERATORS = {
    *("Add", "Clip", "Concat", "Conv", "Exp", "Gather", "MaxPool", "Min", "Mul", "Pad", "Reshape"),
    *("Slice", "Softmax", "Sub", "Transpose"),
}


@pytest.fixture(scope="module")
def wanted(exportable, check_images):
    """Boxes [xmin, ymin, xmax, ymax] and scores of the check images, by TensorFlow."""
    levels = np.stack([image.prepared.pixels for image in check_images]).astype(np.float32)
    offsets, logits = exportable.outputs(tf.constant(levels))
    boxes = decode(offsets, tf.constant(exportable.anchors)).numpy()
    return boxes[..., [1, 0, 3, 2]], tf.nn.softmax(logits).numpy()[..., 1:]


def test_onnxruntime_gives_the_detectors_detections_for_a_batch(exportable, exported, check_images):
    session = onnxruntime.InferenceSession(exported["model.onnx"].path)
    batch = np.stack([image.prepared.pixels for image in check_images])
    names = ["detection_boxes", "detection_scores", "detection_classes", "num_detections"]
    boxes, scores, classes, counts = session.run(names, {"input_tensor": batch})
    assert [array.dtype for array in (boxes, scores, classes, counts)] == [np.float32] * 4
    assert boxes.shape == (4, 50, 4) and counts.shape == (4,)
    prepared = [image.prepared for image in check_images]
    for row, found in enumerate(exportable.detector.detect_prepared(prepared)):
        count = int(counts[row])
        assert count == len(found.labels) > 0
        np.testing.assert_array_equal(classes[row, :count], found.labels)
        np.testing.assert_allclose(boxes[row, :count], found.boxes, atol=1e-6)
        np.testing.assert_allclose(scores[row, :count], found.scores, atol=1e-6)
        assert not boxes[row, count:].any() and not classes[row, count:].any()


def test_opencv_runs_the_raw_file_on_its_own_blob(exported, check_images, wanted):
    net = cv2.dnn.readNetFromONNX(str(exported["model_raw.onnx"].path))
    for row, image in enumerate(check_images):
        bgr = image.prepared.pixels[..., ::-1].copy()
        net.setInput(cv2.dnn.blobFromImage(bgr, 1.0, (300, 300), swapRB=True))
        boxes, scores = net.forward(["boxes", "scores"])
        np.testing.assert_allclose(boxes[0], wanted[0][row], atol=1e-5)
        np.testing.assert_allclose(scores[0], wanted[1][row], atol=1e-5)


def test_onnxruntime_gives_raw_boxes_and_scores_for_a_batch(exported, check_images, wanted):
    session = onnxruntime.InferenceSession(exported["model_raw.onnx"].path)
    batch = np.stack([image.prepared.pixels for image in check_images])
    planes = batch.transpose(0, 3, 1, 2).astype(np.float32)
    for found, expected in zip(session.run(["boxes", "scores"], {"images": planes}), wanted):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_files_are_plain_onnx_of_opset_17(exported):
    for file in exported.values():
        proto = onnx.load(file.path)
        assert [(item.domain, item.version) for item in proto.opset_import] == [("", 17)]
        assert proto.ir_version == 8
        # What is left from tf2onnx may name no other domain, and no input beside the image.
        assert {node.domain for node in proto.graph.node} == {""}
        assert len(proto.graph.input) == 1
        onnx.checker.check_model(proto, full_check=True)


def test_raw_file_is_convolutions_and_little_else(exported):
    graph = onnx.load(exported["model_raw.onnx"].path).graph
    counts = collections.Counter(node.op_type for node in graph.node)
    assert set(counts) <= RAW_OPERATORS
    # One per layer and head, all normalisations folded in; only heads are transposed, and those of
    # one pixel need not be.
    assert counts["Conv"] == 6 + 6 * 2 * 2
    assert counts["Transpose"] == 5 * 2


def test_files_describe_themselves(exported):
    facts = exported["model.onnx"].facts
    assert facts["input_tensor"] == "uint8 [batch, 300, 300, 3]: RGB"
    assert facts["detection_scores"] == "float32 [batch, 50]: descending; 0 is padding"
    raw = exported["model_raw.onnx"].facts
    assert raw["images"] == "float32 [batch, 3, 300, 300]: RGB levels, 0 to 255"
    assert raw["scores"].startswith("float32 [batch, 8732, 3]: ")
    meta = onnxruntime.InferenceSession(exported["model_raw.onnx"].path).get_modelmeta()
    assert (meta.producer_name, meta.version) == ("ssd_tfrecord", 7)
    assert meta.custom_metadata_map["class_names"] == '["cat", "Hündin", "person"]'
    assert meta.custom_metadata_map["box_order"] == '["xmin", "ymin", "xmax", "ymax"]'


def test_compiled_function_in_the_network_is_an_error_and_no_file(exportable, tmp_path):
    @tf.function(jit_compile=True)
    def mean(levels):
        return tf.reduce_mean(levels, axis=[1, 2, 3])[:, tf.newaxis, tf.newaxis]

    class Compiled(type(exportable)):
        def outputs(self, levels):
            zeros = tf.zeros([1, len(self.anchors), 4])
            return zeros + mean(levels), zeros - mean(levels)

    model = Compiled(**vars(exportable))
    with pytest.raises(onnx.checker.ValidationError, match="PartitionedCall"):
        onnx_model.export(model, tmp_path, None)
    assert not list(tmp_path.iterdir())
