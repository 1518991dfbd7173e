"""Real VOC, BCCD and COCO files: exact counts, and COCO's twelve numbers from records."""

import contextlib
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ssd_tfrecord.options import BoxOptions, RecordSetOptions
from ssd_tfrecord.records.images.stored_image import StoredImage
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.schema import parse_example
from ssd_tfrecord.records.sources import coco, voc
from ssd_tfrecord.records.writing import convert
from ssd_tfrecord.records.writing.box_repair import fit


def _convert(sources, folder, classes="default"):
    options = RecordSetOptions(output_dir=str(folder), classes=classes)
    return convert.convert(sources, options, tool="test", flag_lines=())


def _counts(manifest):
    return (
        manifest.num_records,
        manifest.num_objects,
        manifest.num_difficult,
        manifest.num_crowd,
        manifest.rejects,
    )


def _records(manifest):
    dataset = tf.data.TFRecordDataset(manifest.shard_paths).map(parse_example)
    return list(dataset.as_numpy_iterator())


@pytest.mark.parametrize(
    ("sets", "counts"),
    [
        (["2007_trainval"], (13, 41, 6, 0, {})),
        (["2012_trainval"], (100, 273, 38, 0, {})),
        (["2007_trainval", "2012_train", "2012_val"], (113, 314, 44, 0, {})),
    ],
)
def test_voc_counts(real_data, tmp_path, sets, counts):
    sources = voc.read_devkit(str(real_data / "VOCdevkit"), sets)
    manifest = _convert(sources, tmp_path / "records")
    assert _counts(manifest) == counts
    assert manifest.num_classes == 20
    assert len(manifest.shards) == min(16, counts[0])


def test_bccd_counts_and_boxes_at_the_border(real_data, tmp_path):
    folder = real_data / "bccd"
    sources = voc.read_folder(str(folder / "Annotations"), str(folder / "JPEGImages"))
    manifest = _convert(sources, tmp_path / "records", "auto")
    assert _counts(manifest) == (364, 4886, 0, 0, {"zero_area": 2})
    assert {name: counts["objects"] for name, counts in manifest.per_class.items()} == {
        "Platelets": 361,
        "RBC": 4153,
        "WBC": 372,
    }
    boxes = np.concatenate([record["boxes"] for record in _records(manifest)])
    # Counted in the XML: xmax 640 or ymax 480, and with them xmin 1 or ymin 1.
    right_or_bottom = (boxes[:, 2:] == 1).any(1)
    assert right_or_bottom.sum() == 545
    assert (right_or_bottom | (boxes[:, :2] == 0).any(1)).sum() == 1131
    assert (boxes >= 0).all() and (boxes <= 1).all()
    lines = (tmp_path / "records/rejects.jsonl").read_text().splitlines()
    named = sorted((line["source_id"], line["object"]) for line in map(json.loads, lines))
    assert named == [("BloodImage_00338", 13), ("BloodImage_00343", 4)]


@pytest.fixture(scope="module")
def coco_val(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco_val") / "records"
    path = real_data / "coco_mini/annotations/instances_val2017.json"
    return path, _convert(
        coco.read_instances(str(path), str(real_data / "coco_mini/val2017")), folder
    )


def test_coco_counts(real_data, tmp_path, coco_val):
    _, val = coco_val
    assert _counts(val) == (100, 996, 0, 17, {})
    folder = real_data / "coco_mini"
    sources = coco.read_instances(
        str(folder / "annotations/instances_train2017.json"), str(folder / "train2017")
    )
    train = _convert(sources, tmp_path / "records")
    assert _counts(train) == (150, 1458, 0, 28, {})
    assert train.histograms["objects_per_image"]["counts"][0] == 3
    assert train.classes == val.classes
    assert (train.num_classes, train.original_ids[:12]) == (80, (*range(1, 12), 13))
    assert train.original_ids[-1] == 90
    assert Manifest.load(tmp_path / "records") == train


def _twelve_numbers(truth_json, detections):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = truth_json
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def _annotation(number, image_id, category_id, box, area, crowd):
    ymin, xmin, ymax, xmax = (float(edge) for edge in box)
    # float32 fractions keep a thousandth of a pixel up to 8192; COCO writes hundredths, and some
    # of its IoUs lie on a threshold.
    bbox = [round(value, 3) for value in (xmin, ymin, xmax - xmin, ymax - ymin)]
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": bbox,
        "area": float(area),
        "iscrowd": int(crowd),
    }


def _json_of_records(manifest):
    images, annotations = [], []
    for record in _records(manifest):
        image_id = int(record["source_id"])
        height, width = int(record["height"]), int(record["width"])
        images.append({"id": image_id, "height": height, "width": width})
        pixels = record["boxes"].astype(np.float64) * [height, width, height, width]
        for row, label in enumerate(record["labels"]):
            category_id = manifest.original_ids[label - 1]
            annotations.append(
                _annotation(
                    len(annotations) + 1,
                    image_id,
                    category_id,
                    pixels[row],
                    record["area"][row],
                    record["crowd"][row],
                )
            )
    categories = [{"id": item.original_id, "name": item.name} for item in manifest.classes]
    return {"images": images, "annotations": annotations, "categories": categories, "info": {}}


def _jittered(truth_json):
    """Each object found or not, moved by up to a third of its sides, with a random score."""
    random = np.random.default_rng(0)
    found = []
    for item in truth_json["annotations"]:
        x, y, width, height = item["bbox"]
        shift = random.uniform(-0.15, 0.15, 4) * [width, height, width, height]
        found.append(
            {
                "image_id": item["image_id"],
                "category_id": item["category_id"],
                "bbox": [x + shift[0], y + shift[1], width + shift[2], height + shift[3]],
                "score": random.random(),
            }
        )
    return [item for item in found if random.random() < 0.9]


def test_records_evaluate_as_the_json_does(coco_val):
    path, manifest = coco_val
    truth_json = json.loads(path.read_text())
    detections = _jittered(truth_json)
    expected = _twelve_numbers(truth_json, detections)
    assert 0.2 < expected[0] < 0.8
    actual = _twelve_numbers(_json_of_records(manifest), detections)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-9)


def test_cocos_own_example_keeps_its_published_numbers_through_float32(real_data, tmp_path):
    folder = real_data / "evaluator/coco"
    path = folder / "instances_val2014_100.json"
    truth_json = json.loads(path.read_text())
    for image in truth_json["images"]:
        (tmp_path / image["file_name"]).touch()
    sources = coco.read_instances(str(path), str(tmp_path))
    labels = {name: label for label, name in enumerate(sources.category_ids, 1)}
    annotations = []
    for source in sources.images:
        width, height = source.size
        image = StoredImage(b"", height, width, height, width)
        record, _ = fit(source, image, labels, BoxOptions())
        for item in record.objects:
            pixels = np.array(item.box) * [height, width, height, width]
            category_id = sources.category_ids[item.name]
            number = len(annotations) + 1
            annotations.append(
                _annotation(
                    number, int(source.source_id), category_id, pixels, item.area, item.crowd
                )
            )
    detections = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    actual = _twelve_numbers({**truth_json, "annotations": annotations}, detections)
    expected = json.loads((folder / "expected.json").read_text())["bbox_stats"]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-9)
