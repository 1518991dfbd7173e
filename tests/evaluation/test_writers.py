"""Detection files, character by character, and read back."""

import json

import numpy as np
import pytest

from ssd_tfrecord.detection.detections import (
    Detections,
    devkit_boxes,
    image_names,
    json_entry,
    pixel_boxes,
    pixel_rectangles,
    unpad,
)
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.evaluation.writers import write_detections

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


def _write(kind, folder, found=FOUND):
    write_detections(
        kind,
        folder,
        ground_truths=TRUTHS,
        detections=found,
        class_names=NAMES,
        original_ids=IDS,
    )
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
    content = json.loads(_write("coco", tmp_path)["results.json"])
    assert content == [
        {"image_id": 1, "category_id": 90, "bbox": [50.0, 10.0, 50.0, 50.0], "score": 0.75},
        {"image_id": 1, "category_id": 17, "bbox": [0.0, 0.0, 200.0, 100.0], "score": 0.5},
    ]


def test_cartucho_has_two_folders_with_a_file_an_image(tmp_path):
    assert _write("cartucho", tmp_path) == {
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


def test_image_names_drop_the_set_unless_that_is_needed():
    assert image_names(["VOC2007/000001", "VOC2012/2008_000001", "285"]) == [
        "000001",
        "2008_000001",
        "285",
    ]
    assert image_names(["a/1", "b/1", "2"]) == ["a_1", "b_1", "2"]


def test_json_entry():
    assert json_entry(FOUND[0], NAMES) == {
        "image": "VOC2007/000001",
        "width": 200,
        "height": 100,
        "detections": [
            {"label": "traffic light", "score": 0.75, "box": [50.0, 10.0, 100.0, 60.0]},
            {"label": "cat", "score": 0.5, "box": [0.0, 0.0, 200.0, 100.0]},
        ],
    }


def test_pixels_survive_float32_fractions():
    rng = np.random.default_rng(0)
    for height, width in ((500, 375), (1080, 1920), (6000, 4000)):
        sides = np.array([height, width, height, width])
        # Hundredths of pixels, as in COCO.
        pixels = np.round(rng.uniform(0, 1, [200, 4]) * sides, 2)
        fractions = (pixels / sides).astype(np.float32)
        np.testing.assert_array_equal(pixel_boxes(fractions, height, width), pixels)
    assert pixel_rectangles([BOX], 100, 200).tolist() == [[50, 10, 50, 50]]
    assert devkit_boxes([BOX], 100, 200).tolist() == [[51, 11, 100, 60]]
    assert pixel_boxes([], 5, 5).shape == (0, 4)


def test_unpad_drops_the_filling():
    padded = {
        "boxes": np.float32([BOX, [0] * 4]),
        "scores": np.float32([0.5, 0]),
        "labels": np.int32([2, 0]),
    }
    image = unpad("a", 100, 200, padded)
    assert (image.source_id, image.height, image.width) == ("a", 100, 200)
    np.testing.assert_array_equal(image.boxes, np.float32([BOX]))
    assert image.scores.tolist() == [0.5] and image.labels.tolist() == [2]
