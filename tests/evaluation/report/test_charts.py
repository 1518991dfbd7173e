"""The PNG charts."""

import dataclasses
import io
import itertools
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from ssd_tfrecord.evaluation.analysis.answers import Confusion
from ssd_tfrecord.evaluation.report import charts

FILES = {
    *("BoxPR_curve.png", "BoxF1_curve.png", "BoxP_curve.png", "BoxR_curve.png"),
    *("confusion_matrix.png", "confusion_matrix_normalized.png", "calibration.png", "errors.png"),
}


def _names(count):
    return tuple(f"class {number}" for number in range(count))


def _legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("kind", [{}, {"detect": False}, {"difficult": True}, {"images": 0}])
def test_all_files_whatever_the_set(make_set, kind):
    made = make_set(_names(3), **kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = charts.draw_charts(made.scored.class_names, made.answers)
    assert set(drawn) == FILES
    for content in drawn.values():
        with Image.open(io.BytesIO(content)) as image:
            assert image.format == "PNG" and min(image.size) > 300


def test_names_of_strangers(hostile):
    drawn = charts.draw_charts(hostile.scored.class_names, hostile.answers)
    assert set(drawn) == FILES


@pytest.mark.parametrize("count", [1, 3, 20])
def test_few_classes_have_names_and_styles_of_their_own(make_set, count):
    made = make_set(_names(count), images=30)
    figure = charts.precision_recall_figure(made.answers.curves, made.scored.class_names)
    (axes,) = figure.axes
    lines = axes.get_lines()
    known = (~np.isnan(made.answers.curves.precision_at_recall).all(axis=1)).sum()
    assert len(lines) == len(_legend(figure)) == known + 1
    styles = {(to_hex(line.get_color()), line.get_linestyle()) for line in lines}
    assert len(styles) == len(lines)
    mean = made.answers.curves.precision_at_recall[~np.isnan(made.answers.curves.f1[:, 0])].mean()
    assert _legend(figure)[0] == f"mean {mean:.3f}"
    np.testing.assert_array_equal(lines[0].get_xdata(), made.answers.curves.recalls)


def test_of_many_classes_only_the_lowest_are_named(make_set):
    made = make_set(_names(80), images=200)
    figure = charts.precision_recall_figure(made.answers.curves, made.scored.class_names)
    legend = _legend(figure)
    assert len(legend) == 8
    assert legend[1].endswith(" other classes")
    areas = sorted(made.answers.curves.precision_at_recall.mean(axis=1))
    assert legend[2].endswith(f" {areas[0]:.3f}")


def test_legends_lie_beside_the_curves(make_set):
    made = make_set(_names(20), images=30)
    figure = charts.precision_recall_figure(made.answers.curves, made.scored.class_names)
    charts.to_png(figure)
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= figure.axes[0].get_window_extent().x1
    assert legend.y0 >= 0


def _texts(figure):
    """{(row, column): text} of a matrix."""
    places = {}
    for text in figure.axes[0].texts:
        x, y = text.get_position()
        places[int(y), int(x)] = text.get_text()
    return places


def test_confusion_matrix_has_its_thresholds_and_numbers():
    confusion = Confusion(0.25, 0.5, np.array([[8, 1, 2], [0, 5, 0], [2, 4, 0]]))
    figure = charts.confusion_figure(confusion, ("cat", "$dog$"))
    assert _texts(figure) == {
        **{(0, 0): "8", (0, 1): "1", (0, 2): "2"},
        **{(1, 1): "5", (2, 0): "2", (2, 1): "4"},
    }
    title = figure.axes[0].get_title()
    assert "scores of at least 0.25" in title and "IoU of at least 0.5" in title
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["cat", r"\$dog\$", "background"]
    normalized = _texts(charts.confusion_figure(confusion, ("cat", "dog"), normalized=True))
    assert normalized[0, 0] == "0.80" and normalized[2, 1] == "0.40" and normalized[0, 2] == "1.00"


def test_names_of_80_classes_are_on_the_matrix_and_do_not_touch(make_set):
    made = make_set(_names(80), images=50)
    figure = charts.confusion_figure(made.answers.confusion, made.scored.class_names)
    charts.to_png(figure)
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(boxes) == 81
    assert all(above.y0 >= below.y1 for above, below in itertools.pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0
    labels = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert min(box.y0 for box in labels) >= 0


def test_the_best_threshold_is_marked(evaluated):
    drawn = charts._threshold_figure(evaluated.answers.curves, ("cat", "dog", "x"), "f1", "F1")
    best = evaluated.answers.curves.overall_best
    assert f"{best.threshold:.3f}" in drawn.axes[0].texts[0].get_text()
    assert _legend(drawn)[0] == f"all {best.f1:.3f}"


def test_the_same_set_gives_the_same_bytes(evaluated):
    answers = dataclasses.replace(evaluated.answers)
    one, other = (charts.to_png(charts._errors_figure(answers.errors)) for _ in range(2))
    assert one == other
