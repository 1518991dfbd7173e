"""COCO's numbers from arrays: against pycocotools and the published ones, and by hand."""

import contextlib
import io
import json

import numpy as np
import pytest
import scored_sets
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scored_sets import arrays

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.detection.recorded import read_ground_truths
from ssd_tfrecord.evaluation.coco_metrics import CLASS_METRICS, METRICS, coco_metrics
from ssd_tfrecord.evaluation.files.coco_rows import result_rows
from ssd_tfrecord.evaluation.image_ids import image_ids
from ssd_tfrecord.options import RecordSetOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.sources.coco import read_instances
from ssd_tfrecord.records.writing import convert


def _fractions(rectangles, image):
    x, y, width, height = np.float64(rectangles).reshape(-1, 4).T
    sides = [image["height"], image["width"]] * 2
    return (np.stack([y, x, y + height, x + width], axis=-1) / sides).astype(np.float32)


def _truths(content, category_ids):
    rows = {image["id"]: [] for image in content["images"]}
    for item in content["annotations"]:
        rows[item["image_id"]].append(item)
    truths = []
    for image in content["images"]:
        items = rows[image["id"]]
        labels = np.int32([category_ids.index(item["category_id"]) + 1 for item in items])
        crowd = np.array([item["iscrowd"] for item in items], bool)
        boxes = _fractions([item["bbox"] for item in items], image)
        area = np.float32([item["area"] for item in items])
        size = image["height"], image["width"]
        truths.append(
            GroundTruth(str(image["id"]), *size, boxes, labels, crowd & False, crowd, area)
        )
    return truths


def _found(results, content, category_ids):
    rows = {image["id"]: [] for image in content["images"]}
    for item in results:
        rows[item["image_id"]].append(item)
    return [
        Detections(
            str(image["id"]),
            image["height"],
            image["width"],
            _fractions([item["bbox"] for item in rows[image["id"]]], image),
            np.float32([item["score"] for item in rows[image["id"]]]),
            np.int32([category_ids.index(i["category_id"]) + 1 for i in rows[image["id"]]]),
        )
        for image in content["images"]
    ]


def _reference(path, results):
    """The twelve numbers by pycocotools straight from the JSON; -1 where there are none."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def _perturbed(content, seed):
    """Results near the ground truth of ``content``, some doubled, missing or of another class."""
    rng = np.random.default_rng(seed)
    results = []
    for item in content["annotations"]:
        for _ in range(rng.integers(0, 3)):
            shift = rng.normal(scale=0.1, size=4) * np.tile(item["bbox"][2:], 2)
            box = np.maximum(np.add(item["bbox"], shift), 0.5)
            other = rng.choice(content["annotations"])["category_id"]
            results.append(
                {
                    "image_id": item["image_id"],
                    "category_id": item["category_id"] if rng.random() < 0.8 else other,
                    "bbox": [round(float(edge), 2) for edge in box],
                    "score": int(rng.integers(1, 64)) / 64,
                }
            )
    return results


def test_equals_cocos_published_twelve_numbers(real_data):
    folder = real_data / "evaluator" / "coco"
    content = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    expected = json.loads((folder / "expected.json").read_text())["bbox_stats"]
    category_ids = [item["id"] for item in content["categories"]]
    truths, found = _truths(content, category_ids), _found(results, content, category_ids)
    numbers, per_class = _measure(truths, found, category_ids)
    assert tuple(numbers) == METRICS
    np.testing.assert_allclose(list(numbers.values()), expected, atol=1e-9)
    values = [row["coco"] for row in per_class if row["coco"] is not None]
    np.testing.assert_allclose(np.mean(values), expected[0], atol=1e-9)


def test_equals_pycocotools_on_the_json_of_coco_mini(real_data):
    path = real_data / "coco_mini" / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    results = _perturbed(content, seed=1)
    category_ids = [item["id"] for item in content["categories"]]
    truths, found = _truths(content, category_ids), _found(results, content, category_ids)
    numbers, _ = _measure(truths, found, category_ids)
    np.testing.assert_allclose(list(numbers.values()), _reference(path, results), atol=1e-12)


def test_from_records_equals_from_the_json(real_data, tmp_path):
    folder = real_data / "coco_mini"
    path = folder / "annotations" / "instances_val2017.json"
    options = RecordSetOptions(output_dir=str(tmp_path / "set"), num_shards=3)
    convert.convert(
        read_instances(str(path), str(folder / "val2017")), options, tool="test", flag_lines=()
    )
    manifest = Manifest.load(tmp_path / "set")
    truths = read_ground_truths(manifest)
    content = json.loads(path.read_text())
    results = _perturbed(content, seed=2)
    found = {image.source_id: image for image in _found(results, content, manifest.original_ids)}
    found = [found[truth.source_id] for truth in truths]
    numbers, _ = _measure(truths, found, manifest.original_ids)
    np.testing.assert_allclose(list(numbers.values()), _reference(path, results), atol=1e-12)


def _image(boxes, labels, *, source_id="7", crowd=False, area=0.0, height=100):
    count = len(labels)
    boxes = np.float32(boxes).reshape(-1, 4)
    flags = np.zeros(count, bool)
    return GroundTruth(
        source_id,
        height,
        200,
        boxes,
        np.int32(labels),
        flags,
        flags | crowd,
        np.full(count, area, np.float32),
    )


def _detected(boxes, scores, labels, *, source_id="7"):
    boxes = np.float32(boxes).reshape(-1, 4)
    return Detections(source_id, 100, 200, boxes, np.float32(scores), np.int32(labels))


BOX = [0.0, 0.0, 0.5, 0.5]


def test_by_hand_one_class_right_one_missed_one_without_objects():
    truths = [_image([BOX, [0.5, 0.5, 1, 1]], [1, 2])]
    numbers, per_class = _measure(truths, [_detected([BOX], [0.5], [1])], (10, 5, 90))
    assert [tuple(row) for row in per_class] == [CLASS_METRICS] * 3
    np.testing.assert_allclose(
        np.array([list(row.values()) for row in per_class[:2]], float),
        # 50 x 100 pixels are a medium object.
        np.float64([[1, 1, 1, None, 1, None, 1], [0, 0, 0, None, 0, None, 0]]),
        atol=1e-12,
    )
    assert set(per_class[2].values()) == {None}
    np.testing.assert_allclose(numbers["coco_ap"], 0.5)
    np.testing.assert_allclose(numbers["coco_ar1"], 0.5)
    np.testing.assert_allclose(numbers["coco_ap_medium"], 0.5)
    assert numbers["coco_ap_small"] is None and numbers["coco_ap_large"] is None


def test_area_of_the_record_decides_the_size_of_an_object():
    numbers, _ = _measure([_image([BOX], [1], area=1000.0)], [_detected([BOX], [0.5], [1])], (1,))
    assert numbers["coco_ap_small"] == pytest.approx(1.0)
    assert numbers["coco_ap_medium"] is None


def test_detections_in_a_crowd_are_not_counted():
    truths = [_image([BOX], [1], crowd=True), _image([BOX], [1], source_id="8")]
    inside = [[0, 0, 0.25, 0.25]] * 2
    found = [
        _detected(inside, [0.9, 0.8], [1, 1]),
        _detected([BOX], [0.5], [1], source_id="8"),
    ]
    numbers, _ = _measure(truths, found, (1,))
    assert numbers["coco_ap"] == pytest.approx(1.0)


def test_no_detections_give_zero_and_no_objects_none():
    nothing = _detected([], [], [])
    numbers, per_class = _measure([_image([BOX], [1])], [nothing], (1,))
    assert numbers["coco_ap"] == numbers["coco_ar100"] == per_class[0]["coco"] == 0.0
    for found in (nothing, _detected([BOX], [0.5], [1])):
        numbers, per_class = _measure([_image([], [])], [found], (1,))
        assert set(numbers.values()) == set(per_class[0].values()) == {None}
    assert set(_measure([], [], (1,))[0].values()) == {None}


def test_of_a_class_in_an_image_only_a_hundred_detections_count():
    """Two objects; the second is found by the detection of the 100th or the 101st rank."""
    truths = [_image([BOX, [0.5, 0.5, 1, 1]], [1, 1])]
    # Up to recall 1/2, 51 of the 101 points, precision is 1; then it is 2 of 100 detections.
    for missed, recall, ap in ((98, 1.0, (51 + 50 * 0.02) / 101), (99, 0.5, 51 / 101)):
        boxes = [BOX] + [[0, 0.5, 0.1, 1]] * missed + [[0.5, 0.5, 1, 1]]
        found = [_detected(boxes, np.linspace(1, 0.5, len(boxes)), [1] * len(boxes))]
        numbers, _ = _measure(truths, found, (1,))
        assert numbers["coco_ar100"] == recall
        assert numbers["coco_ap"] == pytest.approx(ap)
        assert numbers["coco_ar1"] == numbers["coco_ar10"] == 0.5


@pytest.mark.parametrize(("second", "recall"), [(0, 0.85), (1, 0.7)])
def test_of_equal_ious_the_last_object_is_taken(second, recall):
    """The first detection has an IoU of 0.82 with either, the second is one: 0.67 with the other.

    The first takes the last object up to 0.80. So the second finds the first object at all 10
    thresholds, or else the last one at the 3 above 0.80 and, to 0.65, the first at 4.
    """
    objects = [[0, 0, 0.5, 0.5], [0, 0.1, 0.5, 0.6]]
    found = [_detected([[0, 0.05, 0.5, 0.55], objects[second]], [0.9, 0.8], [1, 1])]
    numbers, _ = _measure([_image(objects, [1, 1])], found, (1,))
    judge, _ = scored_sets.coco_evaluation([_image(objects, [1, 1])], found, [7], [1])
    assert numbers["coco_ar100"] == judge.stats[8] == pytest.approx(recall)


def test_equals_what_keras_cv_publishes():
    """Of box_coco_metrics_test.py of KerasCV; see kept/evaluation/NOTICE.txt."""
    scored, overlaps = scored_sets.kept("keras_cv")
    numbers, _ = coco_metrics(scored, overlaps, range(scored.num_classes))
    expected = [
        *(0.61690974, 1.0, 0.70687747, 0.6041764, 0.6262922, 0.61016285),
        *(0.47804594, 0.6451851, 0.6484465, 0.62842655, 0.65336424, 0.6405466),
    ]
    np.testing.assert_allclose(list(numbers.values()), expected, rtol=1e-6)


def _measure(truths, found, category_ids, *, ids=None):
    return coco_metrics(*arrays(truths, found, len(category_ids)), category_ids, ids=ids)


def _stated(values):
    """The mean of those of pycocotools that are not -1."""
    values = values[values > -1]
    return float(np.mean(values)) if values.size else None


@settings(max_examples=80, deadline=None)
@given(scored_sets.sets(), st.permutations([7, 3, 5]), st.permutations([4, 9, 1]))
def test_equals_pycocotools_to_the_last_bit(drawn, category_ids, ids):
    truths, found = drawn
    category_ids, ids = category_ids[:2], ids[: len(truths)]
    numbers, per_class = _measure(truths, found, category_ids, ids=ids)
    judge, _ = scored_sets.coco_evaluation(truths, found, ids, category_ids)
    assert list(numbers.values()) == [_stated(value) for value in judge.stats]
    precision_TRCA, recall_TCA = judge.eval["precision"][..., -1], judge.eval["recall"][..., -1]
    for row, category in zip(per_class, category_ids):
        column = judge.params.catIds.index(category)
        precision_TRA = precision_TRCA[:, :, column]
        parts = [precision_TRA[..., 0], precision_TRA[0, :, 0], precision_TRA[5, :, 0]]
        parts += [precision_TRA[..., size] for size in (1, 2, 3)]
        assert list(row.values()) == [_stated(v) for v in [*parts, recall_TCA[:, column, 0]]]


@pytest.mark.parametrize(
    ("source_ids", "expected"),
    [
        (["139", "285", "0", "-7"], [139, 285, 0, -7]),
        (["139", "000285"], ["139", "000285"]),
        (["139", "-0"], ["139", "-0"]),
        (["VOC2007/000001", "7"], ["VOC2007/000001", "7"]),
        # Arabic digits are decimal, and int() reads them.
        (["7", "\u0667"], ["7", "\u0667"]),
        (["9" * 5000], ["9" * 5000]),
        (["7", "8", "7"], [1, 2, 3]),
        ([], []),
    ],
    ids=[
        *("numbers", "leading zeros", "no number's form", "names", "other digits"),
        *("too long to read", "equal ids", "no images"),
    ],
)
def test_image_ids_are_those_of_the_json(source_ids, expected):
    assert image_ids(source_ids) == expected


def test_digits_stay_a_string_where_the_json_has_strings():
    assert image_ids(["10", "9"], strings=True) == ["10", "9"]


@pytest.mark.parametrize(("ids", "ap"), [([10, 9], 1 / 2), (["10", "9"], 1.0)])
def test_of_equal_scores_that_of_the_lower_id_counts_first(ids, ap):
    """A false detection before the only true one halves the precision; after it, it costs none."""
    truths = [_image([BOX], [1], source_id="10"), _image([], [], source_id="9")]
    found = [_detected([BOX], [0.5], [1], source_id=name) for name in ("10", "9")]
    numbers, _ = _measure(truths, found, (1,), ids=ids)
    assert numbers["coco_ap"] == pytest.approx(ap)


def test_result_rows_are_rectangles_in_pixels_under_the_original_ids():
    found = [_detected([[0.1, 0.25, 0.6, 0.5]], [0.75], [2])]
    assert result_rows(found, [7], (1, 90)) == [
        {"image_id": 7, "category_id": 90, "bbox": [50.0, 10.0, 50.0, 50.0], "score": 0.75}
    ]
