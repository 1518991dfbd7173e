"""Charts as SVG, their coordinates looked up."""

import re

import numpy as np
from page_reader import Page

from ssd_tfrecord.evaluation.analysis.answers import Calibration
from ssd_tfrecord.evaluation.report.pages import svg_charts
from ssd_tfrecord.evaluation.report.pages.svg_charts import Line

# Of the square of the curves: left, right, bottom, top.
LEFT, RIGHT, BOTTOM, TOP = 40.0, 428.0, 280.0, 28.0


def _points(svg):
    text = Page(svg).of("polyline")[0]["points"]
    return [tuple(map(float, point.split(","))) for point in text.split()]


def test_a_curve_runs_from_corner_to_corner():
    svg = svg_charts.curves_svg(
        np.array([0, 0.5, 1]), [Line("a", np.array([1, 0.5, 0]))], ("x", "y")
    )
    middle = ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2)
    assert _points(svg) == [(LEFT, TOP), middle, (RIGHT, BOTTOM)]


def test_what_is_not_known_is_not_drawn():
    x = np.array([0, 0.5, 1])
    nothing = Line("a", np.full(3, np.nan))
    assert not Page(svg_charts.curves_svg(x, [nothing], ("x", "y"))).of("polyline")
    part = Line("a", np.array([np.nan, 1, 1]))
    assert len(_points(svg_charts.curves_svg(x, [part], ("x", "y")))) == 2
    empty = svg_charts.curves_svg(np.zeros(0), [Line("a", np.zeros(0))], ("x", "y"))
    assert not Page(empty).of("polyline")


def test_long_curves_are_thinned_and_keep_their_ends():
    x = np.linspace(0, 1, 1001)
    points = _points(svg_charts.curves_svg(x, [Line("a", 1 - x**2)], ("x", "y")))
    assert len(points) <= 200
    assert points[0] == (LEFT, TOP) and points[-1] == (RIGHT, BOTTOM)
    flat = _points(svg_charts.curves_svg(x, [Line("a", np.ones(1001))], ("x", "y")))
    assert flat == [(LEFT, TOP), (RIGHT, TOP)]


def test_the_rule_stands_at_its_threshold():
    svg = svg_charts.curves_svg(np.array([0, 1]), [], ("x", "y"), rule=0.5)
    assert f"M{(LEFT + RIGHT) / 2:.1f} " in svg


def test_names_are_escaped():
    line = Line("<b>'\"", np.array([0, 1]))
    page = Page(svg_charts.curves_svg(np.array([0, 1]), [line], ("x", "y")))
    assert "<b>'\"" in page.text and not page.of("b")


def test_bars_of_calibration_are_as_high_as_precision():
    calibration = Calibration(
        min_iou=0.5,
        min_score=0.1,
        edges=np.array([0, 0.5, 1]),
        counts=np.array([0, 8]),
        mean_score=np.array([np.nan, 0.7]),
        precision=np.array([np.nan, 0.25]),
        error=0.45,
    )
    (bar,) = Page(svg_charts.calibration_svg(calibration)).of("rect")
    assert float(bar["height"]) == (BOTTOM - TOP) / 4
    assert float(bar["x"]) > (LEFT + RIGHT) / 2


def test_a_large_matrix_draws_what_is_there():
    matrix = np.zeros([30, 30], np.int64)
    matrix[3, 4], matrix[5, 5] = 7, 1
    names = [f"class {number}" for number in range(30)]
    svg = svg_charts.matrix_svg(matrix, matrix / 10, names)
    bars = Page(svg).of("rect")
    assert [float(bar["opacity"]) for bar in bars] == [0.7, 0.1]
    assert "class 4 as class 3: 7" in svg
    columns = [int(bar["x"]) for bar in bars]
    assert columns[1] - columns[0] == int(bars[1]["width"]) + 1
    assert len(re.findall("<text", svg)) == 60
