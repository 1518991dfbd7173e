"""python -m ssd_tfrecord.evaluate on a tiny run: what it writes, prints and refuses."""

import json

import pytest
from PIL import Image

from ssd_tfrecord import programs
from ssd_tfrecord.evaluation.metrics import METRICS
from ssd_tfrecord.options import RecordSetOptions
from ssd_tfrecord.records.sources import voc
from ssd_tfrecord.records.writing import convert


def _run(*arguments):
    return programs.run("evaluate", ["evaluate", *arguments])


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
        *("ap_per_class", "step", "num_images", "num_objects"),
    }
    assert (metrics["step"], metrics["num_images"], metrics["num_objects"]) == (3, 6, 7)
    assert list(metrics["ap_per_class"]) == ["cat", "dog", "person"]
    assert all(set(row) == {"voc07", "voc12", "coco"} for row in metrics["ap_per_class"].values())


def test_pictures_and_detections_are_written(evaluated):
    names = sorted(path.name for path in (evaluated / "pictures").iterdir())
    assert len(names) == 4 and names[-1] == "contact_sheet.jpg"
    with Image.open(evaluated / "pictures" / names[0]) as picture:
        assert picture.height > 300 and picture.width > 400
    assert sorted(path.name for path in (evaluated / "detections").iterdir()) == [
        f"comp4_det_test_{name}.txt" for name in ("cat", "dog", "person")
    ]


def test_metrics_json_is_replaced_whole(quick_run, tiny_records, tmp_path, monkeypatch):
    """Cut off while it is written, the old one stays."""

    def cut_off(*_):
        raise OSError("cut off")

    (tmp_path / "metrics.json").write_text("old")
    monkeypatch.setattr("os.replace", cut_off)
    arguments = (f"--run_dir={quick_run}", f"--records={tiny_records}", f"--output_dir={tmp_path}")
    with pytest.raises(OSError, match="cut off"):
        _run(*arguments)
    assert (tmp_path / "metrics.json").read_text() == "old"


def test_replicas_are_shared_out(quick_run, tiny_records, tmp_path):
    arguments = (f"--run_dir={quick_run}", f"--records={tiny_records}", f"--output_dir={tmp_path}")
    assert _run(*arguments, "--num_virtual_devices=2", "--batch_size=3", "--num_pictures=0") == 0
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
    assert f"{tmp_path / 'voc'}: classes are aeroplane, bicycle," in error
    assert f"{quick_run} was trained on cat, dog, person; they must be the same: convert" in error


def test_a_missing_set_or_run_is_one_line(tiny_run, tiny_records, tmp_path, capsys):
    assert _run(f"--run_dir={tiny_run}", f"--records={tmp_path}") == 2
    assert f"error: {tmp_path}: no manifest.json" in capsys.readouterr().err
    assert _run(f"--run_dir={tmp_path}", f"--records={tiny_records}") == 2
    assert capsys.readouterr().err.startswith("error: ")
