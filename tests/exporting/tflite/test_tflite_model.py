import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema

from ssd_tfrecord.exporting import parity
from ssd_tfrecord.exporting.tflite import tflite_model
from ssd_tfrecord.exporting.tflite.flat_model import FlatModel


def test_float32_gives_the_detections_of_the_detector(toy):
    runtime = toy.files["float32"].open_fn(toy.path())
    for image in toy.images:
        (expected,) = toy.model.detector.detect_prepared([image.prepared])
        found = runtime.detect(image)
        assert found.source_id == expected.source_id
        assert (found.height, found.width) == (expected.height, expected.width)
        assert len(found.labels) == 20
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-6)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_others_give_nearly_the_same_scores(toy, precision):
    runtime = toy.files[precision].open_fn(toy.path(precision))
    for image in toy.images:
        (expected,) = toy.model.detector.detect_prepared([image.prepared])
        np.testing.assert_allclose(runtime.detect(image).scores, expected.scores, atol=0.02)


def test_names_and_tolerances(toy):
    assert [file.name for file in toy.files.values()] == [
        "model.tflite",
        "model_float16.tflite",
        "model_int8.tflite",
    ]
    assert toy.files["float32"].tolerance == parity.Tolerance(1e-4, 1e-4, 0.001, 0.0)
    assert toy.files["int8"].tolerance.ap == 0.01
    assert toy.files["float32"].notes == ()


def test_int8_says_what_it_was_calibrated_on_and_what_stays_in_float(toy):
    calibrated, kept = toy.files["int8"].notes
    assert calibrated.startswith("calibrated on 6 images of ")
    assert calibrated.endswith(", which are all; at least 100 would give better ranges")
    assert kept == "left in float: what follows the heads (softmax, decoding, suppression)"


def test_int8_computes_convolutions_in_int8_and_scores_in_float(toy):
    model = FlatModel(toy.path("int8").read_bytes())

    def types(name):
        operators = model.operators(name)
        assert operators, name
        return {model.graph.tensors[operator.inputs[0]].type for operator in operators}

    assert types("CONV_2D") == types("DEPTHWISE_CONV_2D") == {schema.TensorType.INT8}
    assert types("SOFTMAX") == types("CONCATENATION") == {schema.TensorType.FLOAT32}
    (image,) = model.graph.inputs
    assert model.graph.tensors[image].type == schema.TensorType.UINT8


def test_int8_input_is_the_level_itself(toy):
    model = FlatModel(toy.path("int8").read_bytes())
    quantization = model.graph.tensors[model.graph.inputs[0]].quantization
    assert quantization.scale == pytest.approx([2 / 255])
    assert list(quantization.zeroPoint) in ([127], [128])


def test_batch_normalisation_is_part_of_the_convolutions(toy):
    model = FlatModel(toy.path().read_bytes())
    # Of the network; the detections have operations of their own.
    own = {
        model.operation(operator)
        for operator in model.graph.operators
        if model.name(operator.outputs[0]).startswith(toy.model.model.name)
    }
    assert own <= {"CONV_2D", "DEPTHWISE_CONV_2D", "RESHAPE", "CONCATENATION", "MAX_POOL_2D"} | {
        "PAD", "MUL", "ADD", "STRIDED_SLICE"
    }  # fmt: skip


@pytest.mark.soak
def test_vgg16_keeps_its_normalisation_in_float(tiny_records, tmp_path):
    """The L2 normalisation of conv4_3 squares what int8 cannot hold."""
    from ssd_tfrecord.config import ExportConfig, TrainConfig
    from ssd_tfrecord.detection.detector import Detector
    from ssd_tfrecord.exporting.check_set import CheckSet
    from ssd_tfrecord.exporting.exportable import Exportable
    from ssd_tfrecord.geometry.anchors import anchor_boxes
    from ssd_tfrecord.model import ssd
    from ssd_tfrecord.options import DetectionOptions
    from ssd_tfrecord.records.manifest import Manifest

    train = TrainConfig(train_records=(str(tiny_records),), run_dir=str(tmp_path / "run"))
    names, options = ("cat", "dog", "person"), DetectionOptions(max_detections=100)
    network = ssd.build(train.model, train.anchors, 3)
    anchors = anchor_boxes(train.anchors, train.model.maps)
    detector = Detector(network, anchors, names, options)
    model = Exportable("run", 0, train, network, anchors, names, (1, 2, 3), options, detector)
    config = ExportConfig(
        run_dir="run", output_dir="unused", format=("tflite",), quantize=("float32", "int8")
    )
    plain, integer = tflite_model.export(model, tmp_path, config)
    assert integer.notes[1].startswith("left in float: conv4_3_norm, what follows")
    flat = FlatModel(integer.path.read_bytes())
    assert flat.operators("L2_NORMALIZATION")
    for operator in flat.operators("L2_NORMALIZATION"):
        assert flat.graph.tensors[operator.inputs[0]].type == schema.TensorType.FLOAT32
    runtime = plain.open_fn(plain.path)
    for image in CheckSet(Manifest.load(tiny_records), 3, detector):
        (expected,) = detector.detect_prepared([image.prepared])
        found = runtime.detect(image)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
        assert np.mean(found.labels == expected.labels) > 0.95
