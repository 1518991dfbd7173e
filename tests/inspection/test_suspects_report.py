"""suspects.csv, read again as any program would, and the table."""

import csv

import pytest

from ssd_tfrecord.inspection import suspects_report
from ssd_tfrecord.inspection.facts import gather
from ssd_tfrecord.inspection.suspects import Suspect, find_suspects

BOX = (0.1, 0.25, 0.9, 0.75)


@pytest.fixture
def sets(tmp_path, scene, write_set):
    images = [("=a,1", scene(1), [(1, BOX)]), ("b\nü", scene(2), []), ("", scene(3), [])]
    return gather([write_set(tmp_path / "train", images), write_set(tmp_path / "@val", images[:1])])


SUSPECTS = [
    Suspect("near_duplicate", 61, (0, 0), 3, "so it is, said", other=(1, 0)),
    Suspect("same_box_two_classes", 0.97, (0, 2), 0.96789, "x", "-dog", BOX, (0, 2), "cat"),
    Suspect("tiny_box", -1, (0, 1), 1.25, "y", "cat", BOX),
    Suspect("tiny_box", -2, (0, 0), 1.5, "z", "cat", BOX),
    Suspect("rare_class", 0, (1, -1), 0, "no object", "dog"),
]


def _read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_with_edges_in_pixels(sets, tmp_path):
    path = suspects_report.write_csv(SUSPECTS, sets, str(tmp_path))
    assert path == str(tmp_path / "suspects.csv")
    rows = _read(path)
    assert tuple(rows[0]) == suspects_report.COLUMNS
    assert [row["kind"] for row in rows] == [item.kind for item in SUSPECTS]
    # Of 120 x 90 pixels.
    edges = ("xmin", "ymin", "xmax", "ymax")
    assert [rows[2][name] for name in edges] == ["30.0", "9.0", "90.0", "81.0"]
    assert [rows[0][name] for name in edges] == [""] * 4
    assert [(row["file"], row["record"]) for row in rows] == [
        ("0.record", "0"),
        ("1.record", "0"),
        ("0.record", "1"),
        ("0.record", "0"),
        ("", ""),
    ]
    assert [row["value"] for row in rows] == ["3", "0.9679", "1.25", "1.5", "0"]
    assert rows[2]["source_id"] == "b\nü"
    assert rows[0]["explanation"] == "so it is, said"


def test_no_text_begins_a_formula(sets, tmp_path):
    rows = _read(suspects_report.write_csv(SUSPECTS, sets, str(tmp_path)))
    assert (rows[0]["source_id"], rows[0]["other_source_id"]) == ("'=a,1", "'=a,1")
    assert (rows[0]["set"], rows[0]["other_set"]) == ("train", "'@val")
    assert (rows[1]["class"], rows[1]["other_class"]) == ("'-dog", "cat")
    assert not any(value.startswith(tuple("=+-@\t\r")) for row in rows for value in row.values())


def test_a_source_id_that_is_no_utf8_is_escaped(tmp_path, scene, write_set):
    sets = gather([write_set(tmp_path / "set", [("a\udcff", scene(1), [])])])
    rows = _read(
        suspects_report.write_csv([Suspect("duplicate", 0, (0, 0), 0, "")], sets, str(tmp_path))
    )
    assert rows[0]["source_id"] == "a\\xff"


def test_the_table_counts_each_kind_and_shows_the_worst(sets):
    assert suspects_report.to_table(SUSPECTS, sets).splitlines() == [
        "to look at             count  for example",
        "near_duplicate             1  train =a,1 and @val =a,1",
        "same_box_two_classes       1  train 1.record record 0: cat + -dog",
        "tiny_box                   2  train b?ü: cat",
        "rare_class                 1  @val: dog",
    ]


def test_equal_input_gives_an_equal_file(sets, tmp_path):
    found = find_suspects(sets)
    assert [item.kind for item in found] == ["duplicate", *["rare_class"] * 4]
    path = tmp_path / "suspects.csv"
    contents = []
    for _ in range(2):
        suspects_report.write_csv(found, sets, str(tmp_path))
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
