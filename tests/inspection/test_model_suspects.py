"""Suspects of an evaluation, joined with those of a search."""

import numpy as np
import pytest
from searched_sets import make_set

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.analysis.answers import DOUBT_KINDS
from ssd_tfrecord.inspection import model_suspects, suspects, suspects_report

HEADER = ",".join(suspects_report.COLUMNS) + "\n"
# kind, set, source_id, file, record, class, xmin … ymax, other_set … other_class, value, text
ROWS = (
    "unannotated,val,train-3,,,cat,10,20,60,120,,,,0.97,sure of a cat\n"
    "never_found,train,train-5,,,'=dog,0,0,100,200,,,,0.5,nothing finds it\n"
    "rare_class,train,train-5,,,dog,0,0,1,1,,,,1,a kind that a search finds itself\n"
    "class_swap,train,unknown,,,dog,0,0,1,1,,,cat,0.9,of an image that is not there\n"
)


def _write(tmp_path, text):
    path = tmp_path / "suspects.csv"
    path.write_text(text)
    return str(path)


def test_rows_of_known_images_become_suspects(tmp_path):
    sets = [make_set(), make_set(name="val")]
    found = model_suspects.read_suspects(_write(tmp_path, HEADER + ROWS), sets)
    assert [(item.kind, item.place, item.name, item.value) for item in found] == [
        # The set that the row names has no such image; the other one has.
        ("unannotated", (0, 3), "cat", 0.97),
        ("never_found", (0, 5), "=dog", 0.5),
    ]
    # Pixels of an image of 200 x 100.
    np.testing.assert_allclose(found[0].box, (0.1, 0.1, 0.6, 0.6))
    assert found[1].box == (0, 0, 1, 1)
    joined = suspects.in_order([*suspects.find_suspects(sets), *found])
    kinds = [item.kind for item in joined]
    assert kinds == ["unannotated", "never_found"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column kind"),
        ("a,b\n1,2\n", "has no column kind"),
        (HEADER + ROWS.splitlines()[3] + "\n", "no row is of an image of these sets"),
        (HEADER + 'unannotated,"' + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_another_file_is_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        model_suspects.read_suspects(_write(tmp_path, text), [make_set()])


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"--detections=.*none\.csv: No such file"):
        model_suspects.read_suspects(str(tmp_path / "none.csv"), [make_set()])


def test_damaged_numbers_leave_the_box_out(tmp_path):
    row = "unannotated,train,train-3,,,cat,nan,x,60,,,,,,\n"
    (found,) = model_suspects.read_suspects(_write(tmp_path, HEADER + row), [make_set()])
    assert found.box is None


def test_kinds_are_those_of_an_evaluation():
    assert suspects.MODEL_KINDS == DOUBT_KINDS
