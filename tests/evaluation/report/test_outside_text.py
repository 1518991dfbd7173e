"""Names from strangers."""

import pytest

from ssd_tfrecord.evaluation.report.outside_text import (
    attribute,
    cell,
    chart_text,
    markup,
    visible,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat", "cat"),
        ("a\nb\tc\x00", "a\ufffdb\ufffdc\ufffd"),
        ("abc\u202edef\u2066\ufeff", "abc\ufffddef\ufffd\ufffd"),
        ("\ud800\udcff", "\ufffd\ufffd"),
        ("\u2028\ue000", "\ufffd\ufffd"),
        # Joiners spell words and pictures.
        ("👩\u200d🚀 می\u200cخواهم", "👩\u200d🚀 می\u200cخواهم"),
        ("", ""),
    ],
)
def test_what_cannot_be_seen_is_replaced(text, shown):
    assert visible(text) == shown
    assert visible(text).encode().decode() == shown


def test_long_names_are_cut():
    assert visible("x" * 81) == "x" * 79 + "…"
    assert visible("x" * 80) == "x" * 80
    assert visible("abcdef", 4) == "abc…"


def test_markup_is_escaped():
    assert markup("<b>&'\"") == "<bdi>&lt;b&gt;&amp;&#x27;&quot;</bdi>"
    assert attribute("'onload=x") == "&#x27;onload=x"


def test_a_chart_takes_no_name_for_a_formula():
    assert chart_text("$a$") == r"\$a\$"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_begins_a_formula(text):
    assert cell(text) == "'" + text


def test_other_cells_stay():
    assert [cell(value) for value in ("a=1", 0.5, 3, None, "")] == ["a=1", 0.5, 3, "", ""]
