import dataclasses

import numpy as np
import pytest

from ssd_tfrecord.config import ExportConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.tflite.calibration_images import Calibration, load_calibration
from ssd_tfrecord.records.manifest import Manifest


def config(**changes):
    return ExportConfig(run_dir="run", output_dir="out", format=("tflite",), **changes)


def test_images_are_those_of_evaluation_in_the_clients_range(toy):
    (first, *others) = list(load_calibration(toy.model, config()))
    assert len(others) == 5
    (image,) = first
    assert (image.shape, image.dtype) == ((1, 300, 300, 3), np.float32)
    levels = toy.images[0].prepared.pixels
    np.testing.assert_allclose(image[0, 9, 9], levels[9, 9] / 127.5 - 1, atol=1e-6)
    # So the input's range is that of all levels.
    assert (image.min(), image.max()) == (-1.0, 1.0)


def test_records_of_a_flag_come_before_those_of_the_run(toy, tiny_records, tmp_path):
    found = load_calibration(toy.model, config(calibration_records=str(tiny_records)))
    assert found.manifest.directory == str(tiny_records)
    with pytest.raises(InputError, match=f"^--calibration_records: {tmp_path}.*must be a record"):
        load_calibration(toy.model, config(calibration_records=str(tmp_path)))


def test_without_the_runs_records_a_flag_is_asked_for(toy, tmp_path):
    gone = dataclasses.replace(toy.model.config, train_records=(str(tmp_path / "gone"),))
    model = dataclasses.replace(toy.model, config=gone)
    with pytest.raises(InputError, match=r"^--quantize=int8: .*gone.*--calibration_records must"):
        load_calibration(model, config())


def test_note_of_enough_images(toy, tiny_records):
    manifest = Manifest.load(tiny_records)
    found = Calibration(toy.model, manifest, list(range(1000)))
    assert found.note == f"calibrated on 1,000 images of {tiny_records}"
