"""All files of a set."""

import json

from page_reader import check_alone

from ssd_tfrecord.evaluation.report import report

ALWAYS = {
    *("per_class.csv", "curves.json", "thresholds.json", "confusion_matrix.json", "errors.json"),
    *("calibration.json", "suspects.csv", "report.html", "BoxPR_curve.png", "BoxF1_curve.png"),
    *("BoxP_curve.png", "BoxR_curve.png", "confusion_matrix.png"),
    *("confusion_matrix_normalized.png", "calibration.png", "errors.png"),
}


def test_all_files_are_there(evaluated, tmp_path):
    lines = report.write(tmp_path / "a" / "val", evaluated, num_pictures=2)
    folder = tmp_path / "a" / "val"
    kinds = {doubt.kind for doubt in evaluated.answers.doubts}
    pictures = {"worst_images.jpg", *(f"suspects-{kind}.png" for kind in kinds)}
    assert {path.name for path in folder.iterdir()} == ALWAYS | pictures
    assert lines[0] == f"report: {folder / 'report.html'}"
    assert lines[1] == f"worst images: {folder / 'worst_images.jpg'}"
    assert lines[2].startswith("to look at: ") and lines[2].endswith(str(folder / "suspects.csv"))
    page = check_alone((folder / "report.html").read_text(encoding="utf-8"))
    worst = [figure for figure in page.of("figure") if figure.get("id", "").startswith("worst-")]
    assert len(worst) == 2


def test_a_second_call_replaces_the_first(evaluated, make_set, tmp_path):
    report.write(tmp_path, evaluated)
    lines = report.write(tmp_path, make_set(("cat",), difficult=True), num_pictures=0)
    assert {path.name for path in tmp_path.iterdir()} == ALWAYS
    assert [line.split(":")[0] for line in lines] == ["report", "to look at"]
    classes = json.loads((tmp_path / "thresholds.json").read_text())["classes"]
    assert list(classes) == ["cat"]
