"""A SavedModel of the untrained toy, exported once, and images for it."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.config import ExportConfig, TrainConfig
from ssd_tfrecord.detection.detector import Detector
from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.exporting.saved_model import saved_model_files
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.model import ssd
from ssd_tfrecord.options import DetectionOptions, ModelOptions


@pytest.fixture(scope="session")
def toy():
    """An untrained toy of 352 anchors for the classes of ``tiny_records``."""
    small = ModelOptions(backbone="toy", backbone_weights="none", input_size=64)
    config = TrainConfig(train_records=("records",), run_dir="run", model=small)
    model = ssd.build(small, config.anchors, 3)
    # Untrained, it sees nothing but the grain of the images: heads that tell more.
    random = np.random.default_rng(7)
    for variable in model.trainable_variables:
        if "head" in variable.name and "kernel" in variable.name:
            variable.assign(random.normal(scale=0.4, size=variable.shape))
    anchors = anchor_boxes(config.anchors, small.maps)
    names, options = ("cat", "dog", "person"), DetectionOptions(0.3, max_detections=40)
    return Exportable(
        run="run",
        step=3,
        config=config,
        model=model,
        anchors=anchors,
        class_names=names,
        original_ids=(1, 2, 3),
        options=options,
        detector=Detector(model, anchors, names, options, step=3),
    )


@pytest.fixture(scope="session")
def saved(toy, tmp_path_factory):
    """``path`` of its SavedModel, whose default takes encoded images, and what is ``loaded``."""
    config = ExportConfig(run_dir="run", output_dir="exports")
    (file,) = saved_model_files.export(toy, tmp_path_factory.mktemp("exports"), config)
    return SimpleNamespace(path=file.path, loaded=tf.saved_model.load(str(file.path)), file=file)


def _encoded(pixels, kind):
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, kind)
    return stored.getvalue()


@pytest.fixture(scope="session")
def photographs():
    """Two ``pixels`` of one size, uint8 [60, 80, 3], their ``pngs``, and two ``jpegs``."""
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, [2, 6, 8, 3], np.uint8)
    pixels = np.kron(coarse, np.ones([1, 10, 10, 1], np.uint8))
    pngs = [_encoded(image, "PNG") for image in pixels]
    jpegs = [_encoded(pixels[0], "JPEG"), _encoded(pixels[1][:, :45], "JPEG")]
    return SimpleNamespace(pixels=pixels, pngs=pngs, jpegs=jpegs)
