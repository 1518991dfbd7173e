"""A toy with random weights, and its two ONNX files."""

import numpy as np
import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.config.export import ExportConfig
from ssd_tfrecord.detection.detector import Detector, Prepared
from ssd_tfrecord.exporting.check_set import CheckImage
from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.exporting.onnx import onnx_model
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.model import ssd
from ssd_tfrecord.options import DetectionOptions, ModelOptions


@pytest.fixture(scope="session")
def exportable():
    """Maps of 38 to 1 pixels, three classes, and scores from 0 to 0.6."""
    options = ModelOptions(backbone="toy", backbone_weights="none")
    config = TrainConfig(train_records=("none",), run_dir="/home/somebody/toy", model=options)
    model = ssd.build(options, config.anchors, 3)
    random = np.random.default_rng(0)
    # Moments and factors of normalisation that are not those of a new layer.
    model.set_weights(
        [value + random.normal(0, 0.3, value.shape) ** 2 for value in model.get_weights()]
    )
    anchors = anchor_boxes(config.anchors, options.maps)
    names = ("cat", "Hündin", "person")
    thresholds = DetectionOptions(score_threshold=0.2, max_detections=50)
    return Exportable(
        run=config.run_dir,
        step=7,
        config=config,
        model=model,
        anchors=anchors,
        class_names=names,
        original_ids=(17, 18, 1),
        options=thresholds,
        detector=Detector(model, anchors, names, thresholds, step=7),
    )


@pytest.fixture(scope="session")
def exported(exportable, tmp_path_factory):
    """{name: ExportedFile}."""
    folder = tmp_path_factory.mktemp("onnx")
    config = ExportConfig(run_dir=exportable.run, output_dir=str(folder), format=("onnx",))
    return {file.name: file for file in onnx_model.export(exportable, folder, config)}


@pytest.fixture(scope="session")
def check_images():
    """Four images: noise, noise in large squares twice, and black."""
    random = np.random.default_rng(1)
    squares = random.integers(0, 256, (2, 15, 15, 3), np.uint8).repeat(20, 1).repeat(20, 2)
    noise = random.integers(0, 256, (1, 300, 300, 3), np.uint8)
    pixels = np.concatenate([noise, squares, np.zeros_like(noise)])
    return [
        CheckImage(b"", Prepared(f"image {place}", 200, 400, image), None)
        for place, image in enumerate(pixels)
    ]
