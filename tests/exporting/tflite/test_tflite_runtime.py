import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.tflite import tflite_metadata, tflite_model


def test_what_is_in_the_file_is_enough(toy, tmp_path, capfd):
    copy = tmp_path / "elsewhere.tflite"
    copy.write_bytes(toy.path("int8").read_bytes())
    runtime = tflite_model.open_file(copy)
    assert runtime.class_names == ("cat", "dog", "person")
    assert runtime.title.startswith("tf.lite 2.")
    runtime.run(toy.images[0])
    # TensorFlow Lite announces its delegate.
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "there is no labels.txt behind the model", id="empty"),
        pytest.param(
            tflite_metadata.with_labels(b"no model", ["cat"]), "cannot run it", id="no model"
        ),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        tflite_model.open_file(path)
    assert str(caught.value).startswith(f"{path}: tf.lite ")
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        tflite_model.open_file(tmp_path / "model.tflite")
