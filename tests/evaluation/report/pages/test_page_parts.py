"""Numbers, tables and pictures of pages."""

import numpy as np
import pytest
from page_reader import Page

from ssd_tfrecord.evaluation.report.pages import page_parts


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12349, "0.123"), (1.0, "1.000"), (None, "–"), (np.nan, "–"), (0, "0.000")],
)
def test_numbers_have_three_digits(value, text):
    assert page_parts.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0214, "+0.021"), (-0.0214, "−0.021"), (0.0, "0.000"), (-0.0001, "0.000"), (None, "–")],
)
def test_differences_have_a_sign(value, text):
    assert page_parts.signed(value) == text


def test_counts():
    assert page_parts.plural(1, "image") == "1 image"
    assert page_parts.plural(12345, "image") == "12,345 images"
    assert page_parts.percent(0.834) == "83 %"


def test_a_table_says_how_it_is_sorted():
    html = page_parts.table(
        ("class", "AP", " what"),
        [("a", page_parts.bar_cell(0.5, "0.500"), "x"), ("b", page_parts.bar_cell(None, "–"), "y")],
        foot=("all", "1", ""),
        sorts=True,
    )
    page = Page(html)
    values = [cell["data-v"] for cell in page.of("td") if "data-v" in cell]
    assert values == ["0.5", "-1"]
    assert len(page.of("button")) == 3
    assert [head.get("class") for head in page.of("th") if head["scope"] == "col"] == [
        *(None, None, "text")
    ]
    assert len(page.of("tr")) == 4
    assert "data-sorts" in page.of("table")[0]


def test_a_bar_may_have_a_share_of_its_own():
    (cell,) = Page(page_parts.bar_cell(0.02, "0.020", 0.75)).of("td")
    assert (cell["data-v"], cell["style"]) == ("0.02", "--v:0.750")


def test_pictures_tell_what_they_show():
    page = Page(page_parts.picture("p1", b"x", "a 'name' <b>", size=(3, 2), caption="<b>c</b>"))
    (image,) = page.of("img")
    assert image["alt"] == "a 'name' <b>"
    assert (image["width"], image["height"]) == ("3", "2")
    assert page.of("figure")[0]["id"] == "p1"


def test_facts_are_escaped():
    page = Page(page_parts.facts([("a<b>", "c&d")]))
    assert page.text == "a<b>c&d"
    assert not page.of("b")
