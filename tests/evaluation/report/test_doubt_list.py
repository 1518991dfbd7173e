"""suspects.csv, in the format of ``inspect --suspects``."""

import csv
import dataclasses

import pytest

from ssd_tfrecord.evaluation.analysis.answers import Doubt
from ssd_tfrecord.evaluation.report import doubt_list
from ssd_tfrecord.inspection import suspects_report


@pytest.fixture
def doubtful(evaluated):
    scored = evaluated.scored
    image = int(scored.objects.image[3])
    doubts = (
        Doubt("unannotated", 0.9, int(scored.found.image[2]), 2, -1, 0.91234, "sure of it"),
        Doubt("class_swap", 0.8, image, 5, 3, 0.8, "=1+1"),
        Doubt("never_found", 0.1, image, -1, 3, 0.123, "nowhere"),
    )
    answers = dataclasses.replace(evaluated.answers, doubts=doubts)
    return dataclasses.replace(evaluated, answers=answers)


def _read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_columns_are_those_of_inspect():
    assert doubt_list.COLUMNS == suspects_report.COLUMNS
    assert doubt_list.FILE_NAME == suspects_report.FILE_NAME


def test_a_row_for_each(doubtful, tmp_path):
    path = doubt_list.write_doubts(tmp_path, doubtful)
    rows, scored = _read(path), doubtful.scored
    assert tuple(rows[0]) == doubt_list.COLUMNS
    assert [row["kind"] for row in rows] == ["unannotated", "class_swap", "never_found"]
    edges = [float(rows[0][name]) for name in ("ymin", "xmin", "ymax", "xmax")]
    assert edges == pytest.approx(scored.found.boxes[2], abs=0.051)
    edges = [float(rows[1][name]) for name in ("ymin", "xmin", "ymax", "xmax")]
    assert edges == pytest.approx(scored.objects.boxes[3], abs=0.051)
    names = scored.class_names
    annotated, detected = names[scored.objects.labels[3] - 1], names[scored.found.labels[5] - 1]
    assert (rows[1]["class"], rows[1]["other_class"]) == (annotated, detected)
    assert rows[1]["other_source_id"] == rows[1]["source_id"] == rows[2]["source_id"]
    assert (rows[2]["class"], rows[2]["other_class"]) == (annotated, "")
    assert [row["value"] for row in rows] == ["0.9123", "0.8", "0.123"]
    assert rows[1]["explanation"] == "'=1+1"
    assert {(row["set"], row["file"], row["record"]) for row in rows} == {("val", "", "")}


def test_records_are_named_where_they_are_known(doubtful, tmp_path):
    located = dataclasses.replace(doubtful, locate_record=lambda i: (f"{i}.tfrecord", i + 1))
    rows = _read(doubt_list.write_doubts(tmp_path, located))
    image = doubtful.answers.doubts[1].image
    assert (rows[1]["file"], rows[1]["record"]) == (f"{image}.tfrecord", str(image + 1))


def test_no_doubt_is_a_file_with_a_heading(evaluated, tmp_path):
    answers = dataclasses.replace(evaluated.answers, doubts=())
    path = doubt_list.write_doubts(tmp_path, dataclasses.replace(evaluated, answers=answers))
    assert _read(path) == []
    assert path.read_text().startswith("kind,set,source_id,")


def test_kinds_keep_their_order(doubtful):
    kinds = doubt_list.kinds_of(doubtful.answers.doubts * 2)
    assert list(kinds) == ["unannotated", "class_swap", "never_found"]
    assert [len(items) for items in kinds.values()] == [2, 2, 2]
