"""ssd_tfrecord: train SSD object detectors from TFRecords, as fast as the machine allows.

The Python API, besides the programs:

- ``Manifest``: what a record set contains.
- ``training_dataset``, ``evaluation_dataset``: the input pipeline, for your own training loop.
- ``Detector``: a trained model, from images to boxes.
- ``read_ground_truths``, ``compute_metrics``: annotated boxes; the VOC and COCO metrics.

Each is imported on first use, so importing the package does not import TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssd_tfrecord.data.pipeline import training_dataset
    from ssd_tfrecord.data.whole_images import evaluation_dataset
    from ssd_tfrecord.detection.detector import Detector
    from ssd_tfrecord.detection.recorded import read_ground_truths
    from ssd_tfrecord.evaluation.metrics import compute_metrics
    from ssd_tfrecord.records.manifest import Manifest

__version__ = "0.1.0"
# Spelt out, not made from _HOMES: type checkers and editors read the literal.
__all__ = [
    "Detector",
    "Manifest",
    "compute_metrics",
    "evaluation_dataset",
    "read_ground_truths",
    "training_dataset",
]

_HOMES = {
    "Detector": "detection.detector",
    "Manifest": "records.manifest",
    "compute_metrics": "evaluation.metrics",
    "evaluation_dataset": "data.whole_images",
    "read_ground_truths": "detection.recorded",
    "training_dataset": "data.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
