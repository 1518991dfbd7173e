"""What TensorBoard gets: few charts first, the rest under headings, no constants."""

import io

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from ssd_tfrecord.runs.course.event_files import read_numbers
from ssd_tfrecord.runs.history import METRICS, OVERVIEW, RAW_WEIGHTS, TRAINING
from ssd_tfrecord.training.logs.summaries import PER_CLASS, PICTURES, SKIPPED, Summaries

EVALUATION = {
    "voc07_map": 0.5,
    "voc12_map": 0.25,
    "coco_ap": 0.125,
    "coco_ar100": 0.75,
    "coco_ap_small": None,
    "ap_per_class": {
        "cat": {"voc07": 0.75, "voc12": 0.5, "coco": 0.25},
        "dog": {"voc07": None, "voc12": None, "coco": None},
    },
    "num_images": 7,
    "num_objects": 9,
    "loss": 3.0,
}


def numbers(folder):
    return {number.tag: number.value for number in read_numbers(folder) if number.tag}


def events(folder):
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def test_numbers_of_training(tmp_path):
    values = {"loss": 2.0, "images_per_s": 9.0, "data_wait": 0.25, "class_loss": 1.5}
    Summaries(tmp_path, "voc07_map").numbers("train", 5, values | {"skipped_steps": 2.0})
    assert numbers(tmp_path / "train") == {
        "Overview/loss": 2.0,
        "Overview/images_per_s": 9.0,
        "Overview/data_wait": 0.25,
        "Training/class_loss": 1.5,
        "Skipped steps/skipped_steps": 2.0,
    }


@pytest.mark.parametrize(
    ("metric", "cat"),
    [("voc07_map", 0.75), ("voc12_map", 0.5), ("coco_ap", 0.25)],
)
def test_numbers_of_an_evaluation(tmp_path, metric, cat):
    Summaries(tmp_path, metric).numbers("eval", 5, EVALUATION)
    found = numbers(tmp_path / "eval")
    assert found.pop("Overview/loss") == 3.0
    assert found.pop(f"Overview/{metric}") == EVALUATION[metric]
    assert found.pop("Precision per class/cat") == cat
    others = {"voc07_map", "voc12_map", "coco_ap", "coco_ar100"} - {metric}
    assert found == {f"Precision and recall/{name}": EVALUATION[name] for name in others}


def test_raw_weights_have_charts_of_their_own(tmp_path):
    raw = {"voc07_map": 0.375, "coco_ap": None}
    Summaries(tmp_path, "voc07_map").numbers("eval", 5, EVALUATION | {"raw": raw})
    found = numbers(tmp_path / "eval")
    assert found["Overview/voc07_map"] == 0.5
    raw_tags = {tag: value for tag, value in found.items() if value == 0.375 or "Raw" in tag}
    assert raw_tags == {"Raw weights/voc07_map": 0.375}


def test_the_overview_comes_first():
    groups = [OVERVIEW, PICTURES, METRICS, PER_CLASS, RAW_WEIGHTS, SKIPPED, TRAINING]
    assert groups == sorted(groups)


def test_pictures_are_jpegs_of_their_size(tmp_path):
    Summaries(tmp_path, "voc07_map").pictures("eval", 5, "detections", [Image.new("RGB", (40, 30))])
    [event] = events(tmp_path / "eval").Tensors("Pictures/detections/0")
    width, height, content = event.tensor_proto.string_val
    assert (event.step, width, height) == (5, b"40", b"30")
    with Image.open(io.BytesIO(content)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (40, 30))


@pytest.mark.parametrize(
    ("evaluates", "kind", "tag"),
    [(True, "eval", "Overview/coco_ap"), (False, "train", "Overview/loss")],
)
def test_flags_are_a_text_and_hyperparameters_beside_their_metric(tmp_path, evaluates, kind, tag):
    Summaries(tmp_path, "coco_ap").flags(
        3, "| a |", {"seed": 7.0, "xla": True}, evaluates=evaluates
    )
    [text] = events(tmp_path / "train").Tensors("flags")
    assert (text.step, text.tensor_proto.string_val) == (3, [b"| a |"])
    contents = events(tmp_path / kind).PluginTagToContent("hparams")
    start = HParamsPluginData.FromString(contents["_hparams_/session_start_info"])
    assert start.session_start_info.hparams["seed"].number_value == 7.0
    assert start.session_start_info.hparams["xla"].bool_value
    assert start.session_start_info.group_name == tmp_path.name
    columns = HParamsPluginData.FromString(contents["_hparams_/experiment"]).experiment
    assert sorted(info.name for info in columns.hparam_infos) == ["seed", "xla"]
    assert [info.name.tag for info in columns.metric_infos] == [tag]


def test_a_folder_that_is_gone_is_said_once(tmp_path):
    said = []
    summaries = Summaries(tmp_path / "gone", "voc07_map", said.append)
    for kind in ("train", "eval"):
        summaries.numbers(kind, 5, {"loss": 1.0})
    summaries.pictures("eval", 5, "detections", [Image.new("RGB", (40, 30))])
    summaries.close()
    assert [text.partition(": cannot")[0] for text in said] == [
        f"warning: {tmp_path / 'gone' / 'train'}"
    ]
