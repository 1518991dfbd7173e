"""Real sets from their own files: published numbers, round trips, and the official tool's."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.evaluation.coco_metrics import METRICS
from ssd_tfrecord.evaluation.files.classes import match_classes
from ssd_tfrecord.evaluation.files.detection_formats import recognise
from ssd_tfrecord.evaluation.files.readers import read_detections
from ssd_tfrecord.evaluation.files.truth_files import read_coco_truths, read_voc_truths
from ssd_tfrecord.evaluation.files.writers import write_detections
from ssd_tfrecord.evaluation.metrics import compute_metrics
from ssd_tfrecord.options import RecordSetOptions
from ssd_tfrecord.records.sources import coco
from ssd_tfrecord.records.writing import convert


def _official(truths, results):
    with contextlib.redirect_stdout(io.StringIO()):
        instances = COCO(str(truths))
        for item in instances.dataset["annotations"]:
            # It needs all three; a match with object 0 is none for it.
            item["id"] += 1
            item.setdefault("iscrowd", 0)
            item.setdefault("area", item["bbox"][2] * item["bbox"][3])
        instances.createIndex()
        evaluation = COCOeval(instances, instances.loadRes(str(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [None if value == -1 else value for value in evaluation.stats]


def _measure(annotated, detections):
    return compute_metrics(
        annotated.truths,
        detections,
        annotated.class_names,
        annotated.original_ids,
        image_ids=annotated.image_ids,
    )


def _near(annotated):
    """Each object found once or twice, a little off, one in five as another class; scores tie."""
    rng = np.random.default_rng(0)
    found = []
    for truth in annotated.truths:
        twice = rng.random(len(truth.labels)) < 0.5
        boxes, labels = (np.concatenate([a, a[twice]]) for a in (truth.boxes, truth.labels))
        boxes = np.clip(boxes + rng.normal(0, 0.02, boxes.shape), 0, 1).astype(np.float32)
        boxes[:, 2:] = np.maximum(boxes[:, :2], boxes[:, 2:])
        others = rng.integers(1, len(annotated.class_names) + 1, len(labels))
        labels = np.where(rng.random(len(labels)) < 0.8, labels, others).astype(np.int32)
        scores = np.sort(rng.integers(1, 64, len(labels)) / 64)[::-1].astype(np.float32)
        found.append(Detections(truth.source_id, truth.height, truth.width, boxes, scores, labels))
    return found


def _sets(real_data):
    return {
        "voc2012": lambda: read_voc_truths(str(real_data / "VOCdevkit/VOC2012/Annotations")),
        "bccd": lambda: read_voc_truths(str(real_data / "bccd/Annotations")),
        "coco": lambda: read_coco_truths(
            str(real_data / "coco_mini/annotations/instances_val2017.json")
        ),
    }


@pytest.mark.parametrize("name", ["voc2012", "bccd", "coco"])
def test_files_of_a_real_set_have_its_numbers(real_data, assert_read_back, tmp_path, name):
    annotated, _ = _sets(real_data)[name]()
    found = _near(annotated)
    numbers = _measure(annotated, found)
    assert 0.1 < numbers["coco_ap"] < 0.9
    for kind in ("coco", "voc", "cartucho"):
        folder = tmp_path / kind
        write_detections(kind, folder, annotated, found)
        assert recognise(str(folder)) == kind
        read = read_detections(str(folder), kind, annotated)
        match = match_classes(
            annotated.class_names, read.class_names, "same", found_by=kind, is_whole_list=False
        )
        assert_read_back(found, match.choose_detections(read.detections))
    written = tmp_path / "coco"
    official = _official(written / "ground_truth.json", written / "results.json")
    assert official == pytest.approx([numbers[name] for name in METRICS], abs=1e-9)
    # What was written is a set of its own: with its ids, and the same numbers.
    again, _ = read_coco_truths(str(written / "ground_truth.json"))
    read = read_detections(str(written / "results.json"), "coco", again)
    theirs = _measure(again, read.detections)
    # VOC's differ where there are difficult objects, of which COCO's files know nothing.
    names = METRICS if name == "voc2012" else numbers
    assert {key: theirs[key] for key in names} == {key: numbers[key] for key in names}
    if name == "coco":
        path = real_data / "coco_mini/annotations/instances_val2017.json"
        assert _official(path, written / "results.json") == pytest.approx(official, abs=1e-9)


def test_cocos_published_numbers_from_its_own_files(real_data):
    folder = real_data / "evaluator" / "coco"
    expected = json.loads((folder / "expected.json").read_text())["bbox_stats"]
    annotated, _ = read_coco_truths(str(folder / "instances_val2014_100.json"))
    path = str(folder / "instances_val2014_fakebbox100_results.json")
    read = read_detections(path, recognise(path), annotated)
    assert (read.dropped, sum(len(image.labels) for image in read.detections)) == ({}, 734)
    numbers = _measure(annotated, read.detections)
    np.testing.assert_allclose([numbers[name] for name in METRICS], expected, atol=1e-9)


@pytest.mark.parametrize("detector", ["rafael", "objectron"])
def test_vocs_reference_from_devkit_files(real_data, detector):
    """py-faster-rcnn's numbers, whose order of equal scores is that of an unstable sort."""
    folder = real_data / "evaluator" / "voc"
    expected = json.loads((folder / f"expected_{detector}.json").read_text())
    annotated, _ = read_voc_truths(str(real_data / "VOCdevkit/VOC2012/Annotations"))
    path = str(folder / f"dets_{detector}")
    read = read_detections(path, recognise(path), annotated)
    match = match_classes(
        annotated.class_names, read.class_names, "common", found_by=path, is_whole_list=False
    )
    chosen = match.choose_set(annotated)
    numbers = _measure(chosen, match.choose_detections(read.detections))
    assert numbers["voc12_map"] == pytest.approx(expected["iou0.5_area"]["mAP"], abs=1e-5)
    assert numbers["voc07_map"] == pytest.approx(expected["iou0.5_voc07_11pt"]["mAP"], abs=1e-5)


def _case(real_data, case, name, tmp_path, classes="default"):
    """A JSON of ``cases``, from the file and from its records; both with their detections."""
    folder = real_data / "cases" / case
    annotated, _ = read_coco_truths(str(folder / name))
    options = RecordSetOptions(output_dir=str(tmp_path / name), classes=classes, workers=1)
    sources = coco.read_instances(str(folder / name), str(folder / "jpg"))
    manifest = convert.convert(sources, options, tool="test", flag_lines=())
    return folder, annotated, manifest


def test_results_have_the_ids_of_the_set_not_of_training(real_data, tmp_path):
    """train.json has dog 1 and cat 2, val.json cat 1 and dog 2."""
    train = _case(real_data, "coco_other_ids", "train.json", tmp_path)[2]
    folder, annotated, manifest = _case(
        real_data, "coco_other_ids", "val.json", tmp_path, f"{train.directory}/manifest.json"
    )
    assert manifest.class_names == ("dog", "cat") and manifest.original_ids == (2, 1)
    match = match_classes(
        annotated.class_names, manifest.class_names, "same", found_by="run", is_whole_list=True
    )
    (truth,) = annotated.truths
    # As a model of train.json finds them.
    labels = np.int32([manifest.class_names.index(annotated.class_names[i - 1]) + 1
                       for i in truth.labels])  # fmt: skip
    scores = np.float32([0.9, 0.8])
    found = [Detections("5", truth.height, truth.width, truth.boxes, scores, labels)]
    found = match.choose_detections(found)
    write_detections("coco", tmp_path / "out", annotated, found)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [(row["image_id"], row["category_id"]) for row in results] == [(5, 2), (5, 1)]
    for truths in (folder / "val.json", tmp_path / "out" / "ground_truth.json"):
        assert _official(truths, tmp_path / "out" / "results.json")[0] == pytest.approx(1)


def test_string_ids_stay_and_no_class_is_lost(real_data, tmp_path):
    """``w/o helmet`` and ``w_o helmet`` have one file name."""
    folder, annotated, manifest = _case(real_data, "coco_visdrone_ids", "a.json", tmp_path)
    assert annotated.class_names == manifest.class_names
    assert annotated.image_ids[0] == "0000001_00999_d_0000000"
    found = [
        Detections(
            truth.source_id,
            truth.height,
            truth.width,
            truth.boxes,
            np.full(len(truth.labels), 0.5, np.float32),
            truth.labels,
        )
        for truth in annotated.truths
    ]
    write_detections("coco", tmp_path / "coco", annotated, found)
    for truths in (folder / "a.json", tmp_path / "coco" / "ground_truth.json"):
        assert _official(truths, tmp_path / "coco" / "results.json")[0] == pytest.approx(1)
    write_detections("voc", tmp_path / "voc", annotated, found)
    files = [path.name for path in (tmp_path / "voc").glob("comp4_det_a_*.txt")]
    assert len(files) == len({name.casefold() for name in files}) == len(annotated.class_names)
    read = read_detections(str(tmp_path / "voc"), "voc", annotated)
    assert (
        _measure(annotated, read.detections)["ap_per_class"]
        == (_measure(annotated, found)["ap_per_class"])
    )


def test_annotations_of_other_images_are_an_error(real_data):
    path = real_data / "cases" / "coco_string_id_mismatch" / "a.json"
    with pytest.raises(ValueError, match="no object is left: 1 of 1 would be dropped"):
        read_coco_truths(str(path))
