import dataclasses
import pathlib

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.onnx.model_facts import RAW, WITH_NMS, ModelFacts
from ssd_tfrecord.options import DetectionOptions

PATH = pathlib.Path("exports/a/model.onnx")
FACTS = ModelFacts(
    variant=WITH_NMS,
    class_names=("cat", 'a "quoted" dog', "Vögel"),
    original_ids=(17, 18, 16),
    input_size=320,
    options=DetectionOptions(score_threshold=0.3, nms_candidates=7),
    run="toy",
    step=120,
)


@pytest.mark.parametrize("variant", [WITH_NMS, RAW])
def test_properties_and_back(variant):
    facts = dataclasses.replace(FACTS, variant=variant)
    properties = facts.to_properties()
    assert all(isinstance(value, str) for value in properties.values())
    assert ModelFacts.from_properties(properties, PATH) == facts


def test_properties_are_plain_words_for_other_programs():
    properties = FACTS.to_properties()
    assert properties["class_names"] == '["cat", "a \\"quoted\\" dog", "Vögel"]'
    assert properties["box_order"] == '["ymin", "xmin", "ymax", "xmax"]'
    assert properties["score_threshold"] == "0.3"
    assert properties["run"] == "toy"


def test_facts_name_the_run_but_not_where_it_lies(exportable):
    assert ModelFacts.of(exportable, RAW).run == "toy"


@pytest.mark.parametrize(
    "change",
    [
        {"variant": None},
        {"variant": "yolo"},
        {"class_names": "[cat"},
        {"class_names": "3"},
        {"input_size": "large"},
        {"nms_iou": "7"},
        {"max_detections": "0"},
    ],
    ids=str,
)
def test_metadata_of_others_is_one_line(change):
    properties = {**FACTS.to_properties(), **change}
    properties = {key: value for key, value in properties.items() if value is not None}
    with pytest.raises(InputError, match=r"exports/a/model.onnx: its metadata \(.*\) is not that"):
        ModelFacts.from_properties(properties, PATH)
