"""The files through code that reads them as known clients do."""

import numpy as np
import pytest
import tensorflow as tf
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.tflite import flat_layout
from ssd_tfrecord.exporting.tflite.flat_model import FlatModel
from ssd_tfrecord.exporting.tflite.silence import silenced

PRECISIONS = ["float32", "float16", "int8"]


def interpreter_of(toy, precision):
    with silenced():
        # Frigate's number of threads.
        interpreter = tf.lite.Interpreter(str(toy.path(precision)), num_threads=3)
        interpreter.allocate_tensors()
    return interpreter


def input_of(toy, precision):
    pixels = toy.images[0].prepared.pixels[np.newaxis]
    if precision == "int8":
        return pixels
    # As scripts for TensorFlow 1 normalise.
    return (np.float32(pixels) - 127.5) / 127.5


def expected(toy, precision):
    return toy.files[precision].open_fn(toy.path(precision)).detect(toy.images[0])


def frigate(interpreter, image):
    """frigate/detectors/plugins/cpu_tfl.py: rows of (class, score, box)."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    details = interpreter.get_output_details()
    boxes = interpreter.tensor(details[0]["index"])()[0]
    class_ids = interpreter.tensor(details[1]["index"])()[0]
    scores = interpreter.tensor(details[2]["index"])()[0]
    count = int(interpreter.tensor(details[3]["index"])()[0])
    found = np.zeros((20, 6), np.float32)
    for i in range(count):
        if scores[i] < 0.1 or i == 20:
            break
        found[i] = [class_ids[i], float(scores[i]), *boxes[i]]
    return found


def pycoral(interpreter, image):
    """pycoral/adapters/detect.py: rows of (class, score, box)."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()

    def output_tensor(i):
        return interpreter.tensor(interpreter.get_output_details()[i]["index"])()

    signatures = interpreter.get_signature_list()
    # Where there is a signature, by its names; before that, by positions.
    if signatures:
        assert len(signatures) == 1
        runner = interpreter.get_signature_runner()
        names = sorted(runner.get_output_details())
        assert names == ["output_0", "output_1", "output_2", "output_3"]
        details = runner.get_output_details()
        count, scores, classes, boxes = (
            interpreter.get_tensor(details[name]["index"]) for name in names
        )
    elif output_tensor(3).size == 1:
        boxes, classes, scores, count = (output_tensor(i) for i in range(4))
    return [
        (int(classes[0][i]), float(scores[0][i]), *boxes[0][i])
        for i in range(int(count[0]))
        if scores[0][i] >= 0.1
    ]


def task_script(interpreter, image):
    """TensorFlow's example for Model Maker's detectors, which names the signature's tensors."""
    output = interpreter.get_signature_runner()(images=image)
    count = int(np.squeeze(output["output_0"]))
    scores = np.squeeze(output["output_1"])
    classes = np.squeeze(output["output_2"])
    boxes = np.squeeze(output["output_3"])
    return [
        (int(classes[i]), float(scores[i]), *boxes[i]) for i in range(count) if scores[i] >= 0.1
    ]


def named_script(interpreter, image):
    """Scripts that look for TensorFlow 1's names, and count nothing."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    details = interpreter.get_output_details()
    # Elsewhere the order would be that of TensorFlow 2: 1, 3, 0.
    assert "StatefulPartitionedCall" not in details[0]["name"]
    boxes, classes, scores = (interpreter.get_tensor(details[i]["index"])[0] for i in range(3))
    return [
        (int(classes[i]), float(scores[i]), *boxes[i])
        for i in range(len(scores))
        if scores[i] > 0.1
    ]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("client", [frigate, pycoral, task_script, named_script])
def test_clients_read_the_detections(toy, precision, client):
    known = expected(toy, precision)
    rows = np.array(client(interpreter_of(toy, precision), input_of(toy, precision)))
    assert len(rows) == len(known.labels) == 20
    np.testing.assert_array_equal(rows[:, 0], known.labels - 1)
    np.testing.assert_allclose(rows[:, 1], known.scores, atol=1e-6)
    np.testing.assert_allclose(rows[:, 2:], known.boxes, atol=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_names_and_shapes(toy, precision):
    interpreter = interpreter_of(toy, precision)
    (image,) = interpreter.get_input_details()
    assert image["name"] == "normalized_input_image_tensor"
    assert list(image["shape"]) == [1, 300, 300, 3]
    assert image["dtype"] == (np.uint8 if precision == "int8" else np.float32)
    outputs = interpreter.get_output_details()
    assert [(item["name"], list(item["shape"]), item["dtype"]) for item in outputs] == [
        ("TFLite_Detection_PostProcess", [1, 20, 4], np.float32),
        ("TFLite_Detection_PostProcess:1", [1, 20], np.float32),
        ("TFLite_Detection_PostProcess:2", [1, 20], np.float32),
        ("TFLite_Detection_PostProcess:3", [1], np.float32),
    ]


def test_the_operation_has_all_attributes(toy):
    model = FlatModel(toy.path().read_bytes())
    (operator,) = model.operators("TFLite_Detection_PostProcess")
    options = flexbuffers.Loads(bytes(operator.customOptions))
    # The converter drops detections_per_class; the runtime's default is 100.
    assert options["detections_per_class"] == options["max_detections"] == 20
    assert options["use_regular_nms"] is False
    assert (options["y_scale"], options["h_scale"], options["num_classes"]) == (10.0, 5.0, 3)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_lie_on_16_bytes(toy, precision):
    content = np.frombuffer(toy.path(precision).read_bytes(), np.uint8)
    root = schema.Model.GetRootAs(content, 0)
    vectors = [root.Buffers(i).DataAsNumpy() for i in range(root.BuffersLength())]
    found = [vector for vector in vectors if not isinstance(vector, int)]
    assert len(found) > 20
    assert {(vector.ctypes.data - content.ctypes.data) % 16 for vector in found} == {0}


def test_another_model_is_refused(toy):
    model = FlatModel(toy.path().read_bytes())
    operators = model.operators("TFLite_Detection_PostProcess")
    model.graph.operators.remove(operators[0])
    with pytest.raises(InputError, match="has 0 operations TFLite_Detection_PostProcess, not one"):
        flat_layout.for_clients(model.to_bytes(), attributes={}, metadata=b"")
