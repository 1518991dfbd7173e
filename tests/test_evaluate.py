"""python -m ssd_tfrecord.evaluate on a tiny run: what it writes, prints and refuses."""

import contextlib
import dataclasses
import datetime
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ssd_tfrecord import programs
from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.detector import Detector
from ssd_tfrecord.evaluation.metrics import METRICS
from ssd_tfrecord.options import RecordSetOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.sources import coco, voc
from ssd_tfrecord.records.writing import convert
from ssd_tfrecord.runs import checkpoints
from ssd_tfrecord.runs.record_content import RecordContent


def _run(*arguments):
    return programs.run("evaluate", ["evaluate", *arguments])


# Each would be traced or drawn anew in every test.
BARE = ("--loss=false", "--report=false", "--num_pictures=0", "--bootstrap=0")


@pytest.fixture(scope="module")
def evaluated(tiny_run, tiny_records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    code = _run(
        f"--run_dir={tiny_run}",
        f"--records={tiny_records}",
        f"--output_dir={folder}",
        "--batch_size=4",
        "--num_pictures=3",
        "--save_detections=voc",
    )
    assert code == 0
    return folder


def test_metrics_json_has_the_fixed_names(evaluated):
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert set(metrics) == {
        *("voc07_map", "voc12_map", *METRICS),
        *("ap_per_class", "step", "num_images", "num_objects", "num_detections"),
        *("best_threshold", "precision", "recall", "f1", "intervals", "loss", "measured"),
        "voc12_map75",
    }
    assert (metrics["step"], metrics["num_images"], metrics["num_objects"]) == (3, 6, 7)
    assert list(metrics["ap_per_class"]) == ["cat", "dog", "person"]
    assert all({"voc07", "voc12", "coco"} < set(row) for row in metrics["ap_per_class"].values())


def test_metrics_json_says_what_it_measured(evaluated, tiny_run, tiny_records):
    measured = json.loads((evaluated / "metrics.json").read_text())["measured"]
    assert measured["records"] == str(tiny_records)
    assert measured["records_sha256"] == RecordContent.of(Manifest.load(tiny_records)).digest
    assert measured["detections"] == f"{tiny_run}, best checkpoint"
    assert (measured["step"], measured["nms_iou"], measured["max_detections"]) == (3, 0.45, 200)
    assert set(measured["versions"]) == {"package", "python", "tensorflow", "numpy"}
    assert datetime.datetime.fromisoformat(measured["date"]).tzinfo


def test_every_file_of_the_report_is_there(evaluated):
    names = {path.name for path in evaluated.iterdir()}
    assert names >= {
        *("report.html", "per_class.csv", "curves.json", "thresholds.json", "errors.json"),
        *("confusion_matrix.json", "calibration.json", "suspects.csv", "BoxPR_curve.png"),
        *("BoxF1_curve.png", "confusion_matrix.png", "calibration.png", "errors.png"),
    }


def test_pictures_and_detections_are_written(evaluated):
    names = sorted(path.name for path in (evaluated / "pictures").iterdir())
    assert len(names) == 4 and names[-1] == "contact_sheet.jpg"
    with Image.open(evaluated / "pictures" / names[0]) as picture:
        assert picture.height > 300 and picture.width > 400
    assert sorted(path.name for path in (evaluated / "detections").iterdir()) == [
        *(f"comp4_det_tiny_{name}.txt" for name in ("cat", "dog", "person")),
        "written_files.json",
    ]


def test_metrics_json_is_replaced_whole(quick_run, tiny_records, tmp_path, monkeypatch):
    """Cut off while it is written, the old one stays."""

    def cut_off(*_):
        raise OSError("cut off")

    (tmp_path / "metrics.json").write_text("old")
    monkeypatch.setattr("os.replace", cut_off)
    arguments = (f"--run_dir={quick_run}", f"--records={tiny_records}", f"--output_dir={tmp_path}")
    with pytest.raises(OSError, match="cut off"):
        _run(*arguments, *BARE)
    assert (tmp_path / "metrics.json").read_text() == "old"


def test_replicas_are_shared_out(quick_run, tiny_records, tmp_path):
    arguments = (f"--run_dir={quick_run}", f"--records={tiny_records}", f"--output_dir={tmp_path}")
    assert _run(*arguments, "--num_virtual_devices=2", "--batch_size=3", *BARE) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["num_images"] == 6
    assert not (tmp_path / "pictures").exists()


def test_a_set_without_annotations_is_detected_and_not_scored(
    tiny_voc, quick_run, tiny_records, tmp_path, capsys
):
    (tmp_path / "VOC2012" / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "VOC2012" / "JPEGImages").symlink_to(tiny_voc / "VOC2007" / "JPEGImages")
    (tmp_path / "VOC2012" / "ImageSets" / "Main" / "test.txt").write_text("000001\n000002\n")
    options = RecordSetOptions(
        output_dir=str(tmp_path / "records"), classes=str(tiny_records / "manifest.json")
    )
    sources = voc.read_devkit(str(tmp_path), ["2012_test"])
    convert.convert(sources, options, tool="test", flag_lines=())
    arguments = (f"--run_dir={quick_run}", f"--records={tmp_path / 'records'}")
    assert _run(*arguments, f"--output_dir={tmp_path / 'out'}", "--save_detections=cartucho") == 0
    assert "has no annotations: metrics are skipped" in capsys.readouterr().out
    assert not (tmp_path / "out" / "metrics.json").exists()
    found = tmp_path / "out" / "detections" / "detection-results"
    assert sorted(path.name for path in found.iterdir()) == ["000001.txt", "000002.txt"]
    assert (tmp_path / "out" / "pictures" / "contact_sheet.jpg").exists()


def test_another_class_list_is_an_error_that_names_both(tiny_voc, quick_run, tmp_path, capsys):
    options = RecordSetOptions(output_dir=str(tmp_path / "voc"), num_shards=1)
    sources = voc.read_devkit(str(tiny_voc), ["2007_trainval"])
    convert.convert(sources, options, tool="test", flag_lines=())
    assert _run(f"--run_dir={quick_run}", f"--records={tmp_path / 'voc'}") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"error: {quick_run}: lacks classes of the set: 'aeroplane', 'bicycle'," in error
    assert "must have the same classes, in whatever order; or pass --classes=common" in error


def test_the_classes_that_both_have_are_scored(tiny_voc, quick_run, tmp_path, capsys):
    options = RecordSetOptions(output_dir=str(tmp_path / "voc"), num_shards=1)
    sources = voc.read_devkit(str(tiny_voc), ["2007_trainval"])
    convert.convert(sources, options, tool="test", flag_lines=())
    arguments = (f"--run_dir={quick_run}", f"--records={tmp_path / 'voc'}", "--num_pictures=0")
    assert _run(*arguments, f"--output_dir={tmp_path / 'out'}", "--classes=common") == 0
    assert "scored on 3 common classes: only the set has 'aeroplane'," in capsys.readouterr().out
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    # In the set's order; the loss would be of other labels.
    assert list(metrics["ap_per_class"]) == ["cat", "dog", "person"]
    assert "loss" not in metrics


def test_results_go_where_those_of_another_set_do_not(tiny_records, quick_run, tmp_path):
    """Two sets of one name in one call, beside what training wrote; the same call replaces them."""
    run = shutil.copytree(quick_run, tmp_path / "run")
    other = shutil.copytree(tiny_records, tmp_path / "other")
    content = json.loads((other / "manifest.json").read_text())
    content["classes"][0]["original_id"] = 7
    content["shards"][0]["sha256"] = "0" * 64
    (other / "manifest.json").write_text(json.dumps(content))
    before = (run / "flags.txt").read_bytes()
    name = Manifest.load(tiny_records).name
    for _ in range(2):
        arguments = (f"--run_dir={run}", f"--records={tiny_records},{other}", "--num_pictures=0")
        assert _run(*arguments, "--report=false", "--bootstrap=0", "--loss=false") == 0
        digest = RecordContent.of(Manifest.load(other)).digest
        folders = sorted(path.name for path in (run / "evaluations").iterdir())
        assert folders == [name, f"{name}-{digest[:8]}"]
    assert not (run / "evaluations" / name / "report.html").exists()
    assert (run / "flags.txt").read_bytes() == before


def test_two_models_and_files_without_a_model(
    near_truth, quick_run, tiny_records, tmp_path, capsys
):
    """What is written is read back to the same numbers, and compared."""
    words = (f"--records={tiny_records}", "--num_pictures=0", "--bootstrap=20")
    saved = ("--save_detections=coco", "--loss=false")
    assert _run(f"--run_dir={near_truth}", *words, f"--output_dir={tmp_path / 'a'}", *saved) == 0
    results = tmp_path / "a" / "detections" / "results.json"
    files = (f"--detections={results}", f"--output_dir={tmp_path / 'b'}")
    assert _run(*files, *words, f"--compare={quick_run}") == 0
    first, second = (
        json.loads((tmp_path / folder / "metrics.json").read_text()) for folder in "ab"
    )
    for name in ("voc07_map", "voc12_map", *METRICS, "ap_per_class"):
        assert first[name] == second[name], name
    assert second["step"] is None
    assert second["measured"]["detections"] == str(results)
    assert (tmp_path / "b" / "compare.html").stat().st_size > 10_000
    assert f"comparison: {tmp_path / 'b' / 'compare.html'}" in capsys.readouterr().out
    truth = tmp_path / "a" / "detections" / "ground_truth.json"
    files = (f"--detections={results}", f"--annotations={truth}", f"--output_dir={tmp_path / 'c'}")
    assert _run(*files, "--verbose") == 0
    third = json.loads((tmp_path / "c" / "metrics.json").read_text())
    assert [third[name] for name in METRICS] == [first[name] for name in METRICS]
    said = capsys.readouterr().out
    assert "Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] =" in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "give either --run_dir or --detections"),
        (("--run_dir=a", "--detections=b"), "give either --run_dir or --detections"),
        (("--run_dir=a",), "give one of --records, --annotations and --annotations_dir"),
        (("--run_dir=a", "--annotations=b"), "--records is required"),
        (("--detections=a", "--annotations=b"), "--output_dir is required"),
        (("--detections=a", "--records=b,c", "--output_dir=d"), "on one of --records at a time"),
        (("--detections=nowhere", "--annotations=b", "--output_dir=d"), "nowhere: no such file"),
    ],
)
def test_flags_that_do_not_fit_are_one_line(flags, message, capsys):
    assert _run(*flags) == 2
    assert message in capsys.readouterr().err


def test_a_missing_set_or_run_is_one_line(tiny_run, tiny_records, tmp_path, capsys):
    assert _run(f"--run_dir={tiny_run}", f"--records={tmp_path}") == 2
    assert f"error: {tmp_path}: no manifest.json" in capsys.readouterr().err
    assert _run(f"--run_dir={tmp_path}", f"--records={tiny_records}") == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.fixture
def near_truth(quick_run, monkeypatch):
    """``quick_run``, but each object is found a little off, half of them twice, with equal scores.

    Of its classes, cat has the id 1, dog 2 and person 3.
    """

    def detect_records(self, manifest, truths, **_):
        rng = np.random.default_rng(0)
        found = []
        for truth in truths:
            boxes, labels = (np.concatenate([a, a[::2]]) for a in (truth.boxes, truth.labels))
            boxes = np.clip(boxes + rng.normal(0, 0.03, boxes.shape), 0, 1).astype(np.float32)
            scores = np.full(len(boxes), 0.5, np.float32)
            found.append(
                Detections(truth.source_id, truth.height, truth.width, boxes, scores, labels)
            )
        return found

    monkeypatch.setattr(Detector, "detect_records", detect_records)
    return quick_run


def _official(instances, results):
    """COCO's twelve numbers from two files by its own tool, -1 as None."""
    with contextlib.redirect_stdout(io.StringIO()):
        truths = COCO(str(instances))
        evaluation = COCOeval(truths, truths.loadRes(str(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [None if value == -1 else value for value in evaluation.stats]


def _saved(run, records, folder):
    """Evaluates; returns COCO's numbers in metrics.json, and the folder of the files."""
    words = (f"--run_dir={run}", f"--records={records}", f"--output_dir={folder}")
    assert _run(*words, *BARE, "--save_detections=coco") == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert 0.1 < metrics["coco_ap"] < 0.9
    return [metrics[name] for name in METRICS], folder / "detections"


def test_coco_files_of_a_voc_set_have_the_ids_of_that_set(near_truth, tiny_records, tmp_path):
    records = shutil.copytree(tiny_records, tmp_path / "records")
    content = json.loads((records / "manifest.json").read_text())
    for item, original_id in zip(content["classes"], (8, 0, 5)):
        item["original_id"] = original_id
    (records / "manifest.json").write_text(json.dumps(content))
    numbers, folder = _saved(near_truth, records, tmp_path / "out")
    official = _official(folder / "ground_truth.json", folder / "results.json")
    assert official == pytest.approx(numbers, abs=1e-9)
    truths = json.loads((folder / "ground_truth.json").read_text())
    assert truths["categories"] == [
        {"id": 8, "name": "cat"},
        {"id": 0, "name": "dog"},
        {"id": 5, "name": "person"},
    ]
    # Records are in no order of their own.
    assert {"id": "VOC2007/000001", "file_name": "000001.jpg", "width": 64, "height": 48} in truths[
        "images"
    ]
    assert len(truths["annotations"]) == 7
    results = json.loads((folder / "results.json").read_text())
    assert {row["category_id"] for row in results} == {8, 0, 5}


@pytest.mark.parametrize(
    "image_ids",
    [[30, 4, 100], ["0012", "12", "w o/d"], ["30", "4", "100"]],
    ids=["numbers", "strings", "strings of digits"],
)
def test_the_official_tool_agrees_on_the_json_of_the_set(
    near_truth, tiny_voc, tiny_records, tmp_path, image_ids
):
    """The JSON has its own ids for the classes, and not in the order of training."""
    images = [
        {"id": image_id, "file_name": f"00000{stem}.jpg", "width": width, "height": height}
        for image_id, (stem, width, height) in zip(
            image_ids, ((2, 80, 60), (5, 96, 64), (6, 72, 54))
        )
    ]
    boxes = [
        (0, 2, [10, 5, 40, 40]),
        (0, 5, [40, 20, 40, 40]),
        (1, 1, [8, 4, 24, 56]),
        (1, 2, [48, 16, 40, 40]),
        (2, 1, [18, 6, 36, 42]),
    ]
    annotations = [
        {
            "id": number,
            "image_id": image_ids[place],
            "category_id": category_id,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for number, (place, category_id, box) in enumerate(boxes, 1)
    ]
    names = ((1, "person"), (2, "dog"), (5, "cat"))
    categories = [{"id": category_id, "name": name} for category_id, name in names]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "val.json").write_text(json.dumps(content))
    sources = coco.read_instances(
        str(tmp_path / "val.json"), str(tiny_voc / "VOC2007" / "JPEGImages")
    )
    options = RecordSetOptions(
        output_dir=str(tmp_path / "records"), classes=str(tiny_records / "manifest.json")
    )
    convert.convert(sources, options, tool="test", flag_lines=())
    assert Manifest.load(tmp_path / "records").original_ids == (5, 2, 1)
    numbers, folder = _saved(near_truth, tmp_path / "records", tmp_path / "out")
    for truths in (tmp_path / "val.json", folder / "ground_truth.json"):
        assert _official(truths, folder / "results.json") == pytest.approx(numbers, abs=1e-9)


def test_changed_names_are_told(quick_run, tiny_records, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Manifest, "class_names", ("Cat", "cat", "w/o"))
    load = checkpoints.load_run

    def renamed(*arguments):
        return dataclasses.replace(load(*arguments), class_names=("Cat", "cat", "w/o"))

    monkeypatch.setattr(checkpoints, "load_run", renamed)
    words = (f"--run_dir={quick_run}", f"--records={tiny_records}", f"--output_dir={tmp_path}")
    assert _run(*words, *BARE, "--save_detections=voc") == 0
    changed = tmp_path / "detections" / "changed_names.json"
    assert (
        f"{changed}: names of classes or images that had to be changed" in capsys.readouterr().out
    )
    content = json.loads(changed.read_text())
    assert content == {"classes": {"cat-2": "cat", "w_o": "w/o"}, "images": {}}
    assert all(
        (changed.parent / f"comp4_det_tiny_{name}.txt").exists() for name in ("Cat", "cat-2")
    )


def test_a_set_without_images_is_one_line(quick_run, tiny_records, tmp_path, capsys):
    records = shutil.copytree(tiny_records, tmp_path / "records")
    content = json.loads((records / "manifest.json").read_text())
    content.update(shards=[], num_records=0, num_objects=0)
    (records / "manifest.json").write_text(json.dumps(content))
    assert _run(f"--run_dir={quick_run}", f"--records={records}") == 2
    assert f"error: --records={records}: the set has no images" in capsys.readouterr().err
