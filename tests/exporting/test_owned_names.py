"""Which names in a folder of exports are export's."""

import json

import pytest

from ssd_tfrecord import flags
from ssd_tfrecord.config import ExportConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting import export_formats, owned_names


def _put(folder, name, text="mine"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _list(folder, *names):
    _put(folder, "parity.json", json.dumps({"files": {name: {} for name in names}}))


def test_a_new_folder_and_one_with_other_files_are_fine(tmp_path):
    owned_names.check_ours(tmp_path / "new", ["saved_model"])
    _put(tmp_path, "other.txt")
    _put(tmp_path, "model.onnx")
    owned_names.check_ours(tmp_path, ["saved_model"])


@pytest.mark.parametrize(
    "name", ["check/mine.txt", "saved_model/other.pb", "labels.txt", ".partial/a"]
)
def test_without_a_list_no_name_may_be_taken(tmp_path, name):
    _put(tmp_path, name)
    first = name.split("/")[0]
    message = (
        f"^--output_dir={tmp_path}: has {first}, but no parity.json: export has not made it; must "
        "be another folder, or move it$"
    )
    with pytest.raises(InputError, match=message):
        owned_names.check_ours(tmp_path, ["saved_model"])


def test_a_link_that_leads_nowhere_has_a_name_too(tmp_path):
    (tmp_path / "labels.txt").symlink_to("gone")
    with pytest.raises(InputError, match=r"has labels.txt, but no parity.json"):
        owned_names.check_ours(tmp_path, [])


def test_what_is_listed_may_be_replaced_and_nothing_else(tmp_path):
    _list(tmp_path, "model.onnx")
    for name in ("model.onnx", "labels.txt", "check/0000.jpg", "check/expected.json", ".partial/a"):
        _put(tmp_path, name)
    owned_names.check_ours(tmp_path, ["model.onnx", "saved_model"])
    _put(tmp_path, "model.tflite")
    with pytest.raises(InputError, match=r"has model.tflite, which parity.json does not list"):
        owned_names.check_ours(tmp_path, ["model.tflite"])


@pytest.mark.parametrize(
    "name",
    [
        *("check/mine.txt", "check/0000.txt", "check/a/0000.jpg", "labels.txt/a", "model.onnx/a"),
        *("saved_model/other.pb", "saved_model/assets.extra/tf_serving_warmup_requests"),
    ],
)
def test_in_its_folders_export_deletes_only_what_it_puts_there(tmp_path, name):
    _list(tmp_path, "model.onnx", "saved_model")
    for ours in (
        *("saved_model.pb", "fingerprint.pb", "variables/variables.index"),
        *("variables/variables.data-00000-of-00001", "assets.extra/label_map.pbtxt"),
    ):
        _put(tmp_path, f"saved_model/{ours}")
    (tmp_path / "saved_model" / "assets").mkdir()
    owned_names.check_ours(tmp_path, ["model.onnx", "saved_model"])
    _put(tmp_path, name)
    with pytest.raises(InputError, match=r"which export has not made and would delete; must be"):
        owned_names.check_ours(tmp_path, ["model.onnx", "saved_model"])


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"files": []}', '{"mine": 1}'])
def test_a_list_of_something_else_is_refused(tmp_path, text):
    _put(tmp_path, "parity.json", text)
    with pytest.raises(InputError, match=r"parity.json is damaged, or export has not made it"):
        owned_names.check_ours(tmp_path, [])


def test_every_format_has_names():
    words = ["--format=saved_model,tflite,onnx,torchvision", "--quantize=int8,float32"]
    config = flags.parse(ExportConfig, ["export", "--run_dir=a", "--output_dir=b", *words])
    assert export_formats.file_names(config) == [
        *("saved_model", "model_int8.tflite", "model.tflite", "model.onnx", "model_raw.onnx"),
        "model.safetensors",
    ]
