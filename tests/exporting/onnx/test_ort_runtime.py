import numpy as np
import onnx
import onnxruntime
import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.onnx.ort_runtime import OrtRuntime


@pytest.fixture(params=["model.onnx", "model_raw.onnx"])
def file(request, exported):
    return exported[request.param]


def test_detections_are_the_detectors(file, exportable, check_images):
    runtime = file.open_fn(file.path)
    assert runtime.title == f"onnxruntime {onnxruntime.__version__}"
    for image in check_images:
        found = runtime.detect(image)
        (expected,) = exportable.detector.detect_prepared([image.prepared])
        assert (found.source_id, found.height, found.width) == (expected.source_id, 200, 400)
        assert found.labels.dtype == np.int32
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-6)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
        assert runtime.run(image) is None


def test_path_alone_is_enough(file, exportable, tmp_path):
    copy = tmp_path / "renamed.onnx"
    copy.write_bytes(file.path.read_bytes())
    facts = OrtRuntime(copy).facts
    assert facts.class_names == exportable.class_names
    assert facts.options == exportable.options


@pytest.mark.parametrize(
    "content", [b"", b"not onnx", b"\x08\x08"], ids=["empty", "text", "no graph"]
)
def test_file_that_onnxruntime_cannot_open_is_one_line(content, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.onnx: ") as error:
        OrtRuntime(path)
    assert "\n" not in str(error.value)


def test_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match="onnxruntime cannot open it"):
        OrtRuntime(tmp_path / "none.onnx")


def test_onnx_file_of_another_program_is_one_line(exported, tmp_path):
    proto = onnx.load(exported["model.onnx"].path)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"its metadata \('variant'\) is not that of an export"):
        OrtRuntime(tmp_path / "model.onnx")
