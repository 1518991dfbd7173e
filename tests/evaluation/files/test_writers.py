"""Detection files, character by character, and read back: COCO's by its own tool."""

import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.evaluation.coco_metrics import METRICS, coco_metrics
from ssd_tfrecord.evaluation.files.writers import write_detections
from ssd_tfrecord.evaluation.image_ids import image_ids

NAMES, IDS = ("cat", "traffic light"), (17, 90)
# Rows 11 … 60 and columns 51 … 100 of 100 x 200 pixels, as VOC counts.
BOX = [0.1, 0.25, 0.6, 0.5]
FOUND = [
    Detections(
        "VOC2007/000001",
        100,
        200,
        np.float32([BOX, [0, 0, 1, 1]]),
        np.float32([0.75, 0.5]),
        np.int32([2, 1]),
    ),
    Detections("VOC2007/000002", 10, 10, np.zeros([0, 4]), np.zeros([0]), np.zeros([0], np.int32)),
]
TRUTHS = [
    GroundTruth(
        image.source_id,
        image.height,
        image.width,
        image.boxes,
        image.labels,
        np.array([True, False][: len(image.labels)], bool),
        np.zeros(len(image.labels), bool),
        np.zeros(len(image.labels), np.float32),
    )
    for image in FOUND
]


def _write(kind, folder, found=FOUND, truths=TRUTHS, **changes):
    values = {
        "ground_truths": truths,
        "detections": found,
        "class_names": NAMES,
        "original_ids": IDS,
        "image_ids": image_ids([image.source_id for image in found]),
    }
    changed = write_detections(kind, folder, **{**values, **changes})
    assert (changed is not None) == (folder / "changed_names.json").exists()
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_voc_files_count_pixels_from_one_with_both_ends_inside(tmp_path):
    assert _write("voc", tmp_path) == {
        "comp4_det_test_cat.txt": "000001 0.500000 1.000 1.000 200.000 100.000\n",
        "comp4_det_test_traffic light.txt": "000001 0.750000 51.000 11.000 100.000 60.000\n",
    }


def test_coco_results_have_original_ids_and_rectangles(tmp_path):
    content = json.loads(_write("coco", tmp_path, image_ids=[139, 285])["results.json"])
    assert content == [
        {"image_id": 139, "category_id": 90, "bbox": [50.0, 10.0, 50.0, 50.0], "score": 0.75},
        {"image_id": 139, "category_id": 17, "bbox": [0.0, 0.0, 200.0, 100.0], "score": 0.5},
    ]


def test_coco_ground_truth_is_the_json_of_the_results(tmp_path):
    files = _write("coco", tmp_path, image_files=["000001.jpg", ""])
    ids = ["VOC2007/000001", "VOC2007/000002"]
    assert json.loads(files["ground_truth.json"]) == {
        "images": [
            {"id": ids[0], "file_name": "000001.jpg", "width": 200, "height": 100},
            {"id": ids[1], "width": 10, "height": 10},
        ],
        "annotations": [
            # Difficult, which COCO does not know.
            {"id": 1, "image_id": ids[0], "category_id": 90, "bbox": [50.0, 10.0, 50.0, 50.0],
             "area": 2500.0, "iscrowd": 0},
            {"id": 2, "image_id": ids[0], "category_id": 17, "bbox": [0.0, 0.0, 200.0, 100.0],
             "area": 20000.0, "iscrowd": 0},
        ],
        "categories": [{"id": 17, "name": "cat"}, {"id": 90, "name": "traffic light"}],
    }  # fmt: skip
    assert [row["image_id"] for row in json.loads(files["results.json"])] == [ids[0]] * 2


def test_cartucho_has_two_folders_with_a_file_an_image(tmp_path):
    assert _write("cartucho", tmp_path) == {
        "changed_names.json": '{"classes": {"traffic_light": "traffic light"}, "images": {}}\n',
        "detection-results/000001.txt": "traffic_light 0.750000 51.000 11.000 100.000 60.000\n"
        "cat 0.500000 1.000 1.000 200.000 100.000\n",
        "detection-results/000002.txt": "",
        "ground-truth/000001.txt": "traffic_light 51.000 11.000 100.000 60.000 difficult\n"
        "cat 1.000 1.000 200.000 100.000\n",
        "ground-truth/000002.txt": "",
    }


@pytest.mark.parametrize("kind", ["voc", "cartucho"])
def test_files_of_an_earlier_set_go_and_others_stay(tmp_path, kind):
    first = _write(kind, tmp_path)
    stale = {
        "voc": "comp4_det_test_unicorn.txt",
        "cartucho": "ground-truth/old.txt",
    }[kind]
    (tmp_path / stale).write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    assert _write(kind, tmp_path) == {**first, "mine.txt": "mine"}


@pytest.mark.parametrize("names", [("w/o helmet", "w_o helmet"), ("Dog", "dog"), ("a b", "a_b")])
def test_each_class_has_its_own_file_and_word(tmp_path, names):
    files = _write("voc", tmp_path / "voc", class_names=names)
    changed = json.loads(files.pop("changed_names.json", '{"classes": {}}'))["classes"]
    found = {}
    for file, text in files.items():
        name = file.removeprefix("comp4_det_test_").removesuffix(".txt")
        found[changed.get(name, name)] = text.split()[1]
    assert found == {names[0]: "0.500000", names[1]: "0.750000"}

    files = _write("cartucho", tmp_path / "cartucho", class_names=names)
    changed = json.loads(files["changed_names.json"])["classes"]
    for part in ("detection-results", "ground-truth"):
        words = [line.split()[0] for line in files[f"{part}/000001.txt"].splitlines()]
        assert [changed.get(word, word) for word in words] == [names[1], names[0]]


def test_each_image_has_its_own_file_and_word(tmp_path):
    ids = ["s/cam 0", "s/cam_0"]
    found = [dataclasses.replace(FOUND[0], source_id=source_id) for source_id in ids]
    truths = [dataclasses.replace(TRUTHS[0], source_id=source_id) for source_id in ids]
    files = _write("voc", tmp_path / "voc", found, truths)
    assert [line.split()[0] for line in files["comp4_det_test_cat.txt"].splitlines()] == [
        "cam_0-2",
        "cam_0",
    ]
    assert json.loads(files["changed_names.json"])["images"] == {"cam_0-2": "s/cam 0"}
    ids = ["a/b", "c/b", "a_b"]
    found = [dataclasses.replace(FOUND[0], source_id=source_id) for source_id in ids]
    truths = [dataclasses.replace(TRUTHS[0], source_id=source_id) for source_id in ids]
    files = _write("cartucho", tmp_path / "cartucho", found, truths)
    assert {name for name in files if name.startswith("ground")} == {
        f"ground-truth/{name}.txt" for name in ("a_b", "a_b-2", "c_b")
    }
    assert json.loads(files["changed_names.json"])["images"] == {"a_b-2": "a/b", "c_b": "c/b"}


def test_no_list_of_changed_names_is_left_from_an_earlier_set(tmp_path):
    assert "changed_names.json" in _write("voc", tmp_path, class_names=("Dog", "dog"))
    assert "changed_names.json" not in _write("voc", tmp_path)


def _scene(rng, source_id):
    """An image's objects, and detections near them; scores tie often, within and across images."""
    count, height, width = rng.integers(0, 6), 120, 200
    low = rng.uniform(0, 0.6, [count, 2])
    boxes = np.concatenate([low, low + rng.uniform(0.05, 0.4, [count, 2])], axis=-1)
    labels = rng.integers(1, 4, count)
    truth = GroundTruth(
        source_id,
        height,
        width,
        boxes.astype(np.float32),
        np.int32(labels),
        rng.random(count) < 0.3,
        rng.random(count) < 0.2,
        np.float32(rng.choice([0.0, 500.5, 3000.25], count)),
    )
    near = np.clip(np.repeat(boxes, 2, axis=0) + rng.normal(0, 0.03, [2 * count, 4]), 0, 1)
    scores = np.sort(rng.integers(1, 4, 2 * count))[::-1] / 4
    labels = np.where(rng.random(2 * count) < 0.8, np.repeat(labels, 2), 1)
    found = Detections(
        source_id, height, width, near.astype(np.float32), np.float32(scores), np.int32(labels)
    )
    return truth, found


@pytest.mark.parametrize(
    ("source_ids", "strings", "first"),
    [
        ([str(number) for number in range(40, 0, -3)], False, 40),
        ([str(number) for number in range(40, 0, -3)], True, "40"),
        ([f"VOC2007/{number:06}" for number in range(12)], False, "VOC2007/000000"),
        (["0012", "12", "b c", "é", *"9876"], False, "0012"),
        ([""] * 8, False, 1),
    ],
    ids=["numbers", "strings of digits", "VOC", "any strings", "no ids"],
)
def test_the_official_tool_gives_the_files_the_numbers_that_are_printed(
    tmp_path, source_ids, strings, first
):
    rng = np.random.default_rng(0)
    scenes = [_scene(rng, source_id) for source_id in source_ids]
    truths, found = [truth for truth, _ in scenes], [image for _, image in scenes]
    ids = image_ids(source_ids, strings=strings)
    assert ids[0] == first and type(ids[0]) is type(first)
    # Not in the order of the labels, and not theirs.
    categories = (7, 2, 0)
    files = _write(
        "coco",
        tmp_path,
        found,
        truths,
        class_names=("dog", 'w/o "helmet"', "行人"),
        original_ids=categories,
        image_ids=ids,
    )
    assert set(files) == {"ground_truth.json", "results.json"}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "ground_truth.json"))
        evaluation = COCOeval(coco, coco.loadRes(str(tmp_path / "results.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers, _ = coco_metrics(truths, found, categories, ids=ids)
    printed = [-1.0 if numbers[name] is None else numbers[name] for name in METRICS]
    np.testing.assert_allclose(printed, evaluation.stats, rtol=0, atol=1e-9)
    assert 0.1 < numbers["coco_ap"] < 0.9
    assert len(coco.getImgIds()) == len(source_ids)
    assert {item["name"] for item in coco.dataset["categories"]} == {"dog", 'w/o "helmet"', "行人"}
