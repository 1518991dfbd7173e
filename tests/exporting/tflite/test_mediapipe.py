"""What MediaPipe's ObjectDetector 1.2.3 made of an exported file, kept: it is no requirement here.

``kept/exports/detector.tflite`` was exported on TensorFlow 2.15: a toy with random weights for cat,
dog and person, an input of 64 pixels, --score_threshold=0.2, --max_detections=20. The image is
``picture()``; MediaPipe was asked for all detections.
"""

import pathlib
import types

import numpy as np
import pytest

from ssd_tfrecord.exporting.tflite import detection_op, tflite_metadata
from ssd_tfrecord.exporting.tflite.flat_model import FlatModel
from ssd_tfrecord.exporting.tflite.tflite_runtime import TFLiteRuntime

KEPT = pathlib.Path(__file__).parents[2] / "kept/exports/detector.tflite"
# Category, score, and the box's left, top, width and height in pixels, truncated by MediaPipe.
MEDIAPIPE = [
    ("dog", 0.7678, 12, 1, 22, 45),
    ("dog", 0.7615, 0, 1, 19, 45),
    ("dog", 0.7577, 44, 0, 19, 30),
    ("dog", 0.7572, 44, 17, 19, 45),
    ("dog", 0.7563, 12, 33, 22, 30),
    ("dog", 0.756, 28, 33, 22, 30),
    ("dog", 0.7554, 28, 0, 22, 30),
    ("cat", 0.754, 5, 5, 12, 13),
    ("dog", 0.7486, 0, 33, 19, 30),
    ("cat", 0.7448, 45, 53, 13, 10),
    ("person", 0.7216, 0, 2, 8, 18),
    ("person", 0.7084, 15, 50, 9, 13),
    ("cat", 0.7006, 21, 53, 12, 10),
    ("person", 0.681, 0, 10, 8, 18),
    ("cat", 0.6807, 53, 29, 10, 13),
    ("cat", 0.6765, 29, 45, 13, 13),
    ("cat", 0.6753, 0, 14, 51, 18),
    ("cat", 0.6707, 21, 13, 13, 13),
    ("cat", 0.6649, 37, 21, 13, 12),
    ("cat", 0.6636, 37, 13, 13, 13),
]


def picture():
    squares = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    return np.kron(squares, np.ones((8, 8, 1))).astype(np.uint8)


def test_mediapipe_found_what_the_file_gives():
    image = types.SimpleNamespace(
        prepared=types.SimpleNamespace(pixels=picture()),
        truth=types.SimpleNamespace(source_id="a", height=64, width=64),
    )
    runtime = TFLiteRuntime(KEPT)
    found = runtime.detect(image)
    names = [runtime.class_names[label - 1] for label in found.labels]
    assert names == [row[0] for row in MEDIAPIPE]
    np.testing.assert_allclose(found.scores, [row[1] for row in MEDIAPIPE], atol=1e-4)
    boxes = np.array([row[2:] for row in MEDIAPIPE])
    corners = found.boxes * 64
    np.testing.assert_array_equal(np.trunc(corners[:, [1, 0]]), boxes[:, :2])
    np.testing.assert_array_equal(
        np.trunc(corners[:, [3, 2]] - corners[:, [1, 0]] + 1e-4), boxes[:, 2:]
    )


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_files_of_today_tell_mediapipe_the_same(toy, precision):
    def told(path):
        model = FlatModel(path.read_bytes())
        assert len(model.operators(detection_op.NAME)) == 1
        with path.open("rb") as file:
            labels = tflite_metadata.read_labels(file)
        names = [entry.name for entry in model.root.metadata]
        return (
            [model.name(output) for output in model.graph.outputs],
            labels,
            names.count(b"TFLITE_METADATA"),
        )

    assert told(toy.path(precision)) == told(KEPT)
