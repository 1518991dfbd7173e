"""Boxes in pixels, one image's entry of detections.json, and names that can stand in files."""

import random
import re
import unicodedata

import numpy as np
import pytest

from ssd_tfrecord.detection.detections import (
    Detections,
    devkit_boxes,
    file_names,
    image_names,
    image_words,
    json_entry,
    pixel_boxes,
    pixel_rectangles,
    unpad,
    word_names,
)

# Rows 11 … 60 and columns 51 … 100 of 100 x 200 pixels, as VOC counts.
BOX = [0.1, 0.25, 0.6, 0.5]


def test_json_entry():
    found = Detections(
        "VOC2007/000001",
        100,
        200,
        np.float32([BOX, [0, 0, 1, 1]]),
        np.float32([0.75, 0.5]),
        np.int32([2, 1]),
    )
    assert json_entry(found, ("cat", "traffic light")) == {
        "image": "VOC2007/000001",
        "width": 200,
        "height": 100,
        "detections": [
            {
                "label": "traffic light",
                "class_id": 2,
                "score": 0.75,
                "box": [50.0, 10.0, 100.0, 60.0],
            },
            {"label": "cat", "class_id": 1, "score": 0.5, "box": [0.0, 0.0, 200.0, 100.0]},
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


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["cat", "traffic light", "行人", "a, b", "x-2"],
            ["cat", "traffic light", "行人", "a, b", "x-2"],
        ),
        (["w/o helmet", "w_o helmet"], ["w_o helmet-2", "w_o helmet"]),
        (["Dog", "dog", "DOG", "dog-2"], ["Dog", "dog-3", "DOG-4", "dog-2"]),
        (["caf\u00e9", "cafe\u0301"], ["caf\u00e9", "cafe\u0301-2"]),
        (["a:b", "a?b", 'a"b', "a\x00b"], ["a_b", "a_b-2", "a_b-3", "a_b-4"]),
        (["..", "", "a\ud800", ".hidden"], ["_.", "_", "a_", "_hidden"]),
        (["con", "aux.1", "nul ", "condor"], ["_on", "_ux.1", "_ul ", "condor"]),
        (["行" * 90, "行" * 99], ["行" * 66, "行" * 66 + "-2"]),
        (["same", "same", "same"], ["same", "same-2", "same-3"]),
    ],
    ids=[
        "valid names stay",
        "a changed name gives way",
        "case",
        "accents",
        "forbidden characters",
        "no names",
        "devices of Windows",
        "200 bytes",
        "equal names",
    ],
)
def test_file_names(names, expected):
    assert file_names(names) == expected


def test_word_names_have_no_white_space():
    names = ["traffic light", "traffic_light", "a\u3000b\tc"]
    assert word_names(names) == ["traffic_light-2", "traffic_light", "a_b_c"]


def test_image_names_drop_the_set_unless_that_is_needed():
    assert image_names(["VOC2007/000001", "VOC2012/2008_000001", "285"]) == [
        "000001",
        "2008_000001",
        "285",
    ]
    assert image_names(["a/1", "b/1", "2"]) == ["a_1", "b_1", "2"]
    assert image_names(["a/b", "c/b", "a_b", "x/A", "y/a"]) == ["a_b-2", "c_b", "a_b", "x_A", "y_a"]
    # Of records that another tool wrote without ids.
    assert image_names(["", ""]) == ["_", "_-2"]


def test_image_words_keep_what_a_line_can_hold():
    ids = ["VOC2007/000001", "s/cam 0", "s/cam_0", "s/A:1", "s/a:1", "s/x", "t/x"]
    assert image_words(ids) == ["000001", "cam_0-2", "cam_0", "A:1", "a:1", "s_x", "t_x"]


def _random_names(rng, count):
    pieces = [
        *"aAbB_-/\\:*?.\x00\n 12",
        "..",
        "é",
        "e\u0301",
        "ß",
        "行",
        "\u3000",
        "ﬁ",
        "con",
        "\ud800",
        "x" * 99,
    ]
    return ["".join(rng.choices(pieces, k=rng.randint(0, 4))) for _ in range(count)]


@pytest.mark.parametrize("function", [file_names, word_names, image_names, image_words])
@pytest.mark.parametrize("seed", range(10))
def test_no_two_names_share_one(function, seed):
    names = sorted(set(_random_names(random.Random(seed), 400)))
    found = function(names)
    assert found == function(names)
    if function is image_words:
        assert len(set(found)) == len(names)
    else:
        folded = {unicodedata.normalize("NFD", name).casefold() for name in found}
        assert len({unicodedata.normalize("NFD", name) for name in folded}) == len(names)
        assert all(0 < len(name.encode()) <= 200 for name in found)
        assert not any(re.search(r'[<>:"/\\|?*\x00-\x1f]|^\.', name) for name in found)
    if function in (word_names, image_words):
        assert all(name.split() == [name] for name in found)
