"""The runtime in which a SavedModel is checked."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.errors import InputError
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


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[100:200] = bytes(255 - byte for byte in content[100:200])
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda copy: _cut(copy / "saved_model.pb"),
        lambda copy: (copy / "saved_model.pb").write_bytes(b""),
        lambda copy: (copy / "saved_model.pb").unlink(),
        lambda copy: _cut(copy / "variables" / "variables.data-00000-of-00001"),
        lambda copy: _flip(copy / "variables" / "variables.data-00000-of-00001"),
        lambda copy: _cut(copy / "variables" / "variables.index"),
        lambda copy: shutil.rmtree(copy / "variables"),
    ],
    ids=["cut", "empty", "none", "cut data", "flipped data", "cut index", "no variables"],
)
def test_a_damaged_one_is_refused_in_one_line(saved, tmp_path, damage):
    copy = tmp_path / "copy"
    shutil.copytree(saved.path, copy)
    damage(copy)
    with pytest.raises(
        InputError, match=r"^\S+/copy: tf.saved_model, \S+ \S+ cannot run it \("
    ) as e:
        SavedModelRuntime(copy)
    assert str(e.value).endswith("; export again") and "\n" not in str(e.value)


def test_one_without_the_signature_is_refused(saved, monkeypatch):
    monkeypatch.setattr(tf.saved_model, "load", {str(saved.path): saved.loaded}.__getitem__)
    with pytest.raises(InputError, match=r"cannot run it \('other'\); export again$"):
        SavedModelRuntime(saved.path, "other")
