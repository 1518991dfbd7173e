"""The runtime in which a SavedModel is checked."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.exporting.check_set import CheckSet
from ssd_tfrecord.exporting.saved_model.saved_model_files import open_file
from ssd_tfrecord.exporting.saved_model.saved_model_runtime import SavedModelRuntime
from ssd_tfrecord.records.manifest import Manifest


@pytest.mark.parametrize("signature", ["encoded", "image_tensor"])
def test_finds_what_the_detector_finds(saved, toy, tiny_records, monkeypatch, signature):
    # Loaded once for all tests, which takes seconds.
    loaded = {str(saved.path): saved.loaded}
    monkeypatch.setattr(tf.saved_model, "load", loaded.__getitem__)
    runtime = SavedModelRuntime(saved.path, signature)
    for image in CheckSet(Manifest.load(tiny_records), 3, toy.detector):
        (expected,) = toy.detector.detect_prepared([image.prepared])
        found = runtime.detect(image)
        assert (found.source_id, found.height, found.width) == (
            *(expected.source_id, expected.height, expected.width),
        )
        assert found.labels.dtype == np.int32
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-6)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
        runtime.run(image)


def test_the_exported_file_says_how_it_is_opened(saved):
    file = saved.file
    assert (file.name, file.kind, file.precision) == ("saved_model", "saved_model", "float32")
    assert file.open_fn is open_file
    assert file.path == saved.path
    assert "serving_default takes encoded" in file.notes[0]
