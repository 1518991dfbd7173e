"""An untrained toy, exported once to each precision."""

import dataclasses
import pathlib

import pytest

from ssd_tfrecord.config import ExportConfig
from ssd_tfrecord.exporting import exportable
from ssd_tfrecord.exporting.check_set import CheckImage, CheckSet
from ssd_tfrecord.exporting.exported_file import ExportedFile
from ssd_tfrecord.exporting.tflite import tflite_model
from ssd_tfrecord.options import DetectionOptions
from ssd_tfrecord.records.manifest import Manifest


@dataclasses.dataclass(frozen=True)
class Toy:
    """The model, its files by precision, and the six images of ``tiny_records``."""

    model: exportable.Exportable
    files: dict[str, ExportedFile]
    images: list[CheckImage]

    def path(self, precision: str = "float32") -> pathlib.Path:
        return self.files[precision].path


@pytest.fixture(scope="session")
def toy(tiny_run, tiny_records, tmp_path_factory):
    options = DetectionOptions(max_detections=20)
    model = exportable.load_exportable(str(tiny_run), "last", options)
    config = ExportConfig(
        run_dir=str(tiny_run),
        output_dir="unused",
        format=("tflite",),
        quantize=("float32", "float16", "int8"),
        detection=options,
    )
    files = tflite_model.export(model, tmp_path_factory.mktemp("tflite"), config)
    images = list(CheckSet(Manifest.load(tiny_records), 0, model.detector))
    return Toy(model, {file.precision: file for file in files}, images)
