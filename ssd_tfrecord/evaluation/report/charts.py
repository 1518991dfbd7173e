"""The answers as PNG charts; those that ultralytics has, too, have its file names."""

import io
import itertools
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssd_tfrecord.evaluation.analysis.answers import (
    ERROR_KINDS,
    Calibration,
    Confusion,
    Curves,
    ErrorSplit,
)
from ssd_tfrecord.evaluation.report.outside_text import chart_text
from ssd_tfrecord.evaluation.report.verdict import ERROR_TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008: told apart whatever one's colour vision. Without yellow, too pale on white.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("-", "--", ":", "-.")
_ALL, _FAINT, _INK = "#111827", "#c5cad3", "#374151"
# With more classes, a legend would be longer than the chart: only the lowest are named.
_MAX_NAMED, _NUM_LOWEST = 20, 6
_MAX_NUMBERS = 21
_DPI = 130


def draw_charts(class_names: Sequence[str], answers: Any) -> dict[str, bytes]:
    """All charts.

    Args:
        class_names: of the labels 1, 2, ….
        answers: ``Answers``.

    Returns:
        {file name: PNG}.
    """
    curves = answers.curves
    figures = {
        "BoxPR_curve.png": precision_recall_figure(curves, class_names),
        "BoxF1_curve.png": _threshold_figure(curves, class_names, "f1", "F1"),
        "BoxP_curve.png": _threshold_figure(curves, class_names, "precision", "precision"),
        "BoxR_curve.png": _threshold_figure(curves, class_names, "recall", "recall"),
        "confusion_matrix.png": confusion_figure(answers.confusion, class_names),
        "confusion_matrix_normalized.png": confusion_figure(
            answers.confusion, class_names, normalized=True
        ),
        "calibration.png": _calibration_figure(answers.calibration),
        "errors.png": _errors_figure(answers.errors),
    }
    return {name: to_png(figure) for name, figure in figures.items()}


def to_png(figure: "Figure") -> bytes:
    """A figure as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    target = io.BytesIO()
    with warnings.catch_warnings():
        # Names in scripts that the font lacks are drawn as boxes, and each letter warned of.
        warnings.simplefilter("ignore", UserWarning)
        FigureCanvasAgg(figure).print_png(target)
    return target.getvalue()


def precision_recall_figure(curves: Curves, class_names: Sequence[str]) -> "Figure":
    """Precision over recall: each class, and the mean of all; legend: their areas."""
    rows = curves.precision_at_recall
    areas = [row.mean() if row.size else np.nan for row in rows]
    mean = _mean_of_rows(rows)
    label = f"mean {_number(mean.mean() if mean.size else np.nan)}"
    figure, axes = _figure("recall", "precision", f"Precision and recall at IoU {curves.min_iou:g}")
    _draw_classes(axes, curves.recalls, rows, class_names, areas)
    axes.plot(curves.recalls, mean, color=_ALL, linewidth=2.5, label=label)
    _legend(figure, axes, "area under the curve")
    return figure


def _threshold_figure(
    curves: Curves, class_names: Sequence[str], name: str, title: str
) -> "Figure":
    """Precision, recall or F1 over the score threshold; legend: at each one's best threshold."""
    best = [getattr(point, name) for point in curves.best]
    figure, axes = _figure("score threshold", title, f"{title.capitalize()} and score threshold")
    _draw_classes(axes, curves.thresholds, getattr(curves, name), class_names, best)
    overall = curves.overall_best
    label = f"all {_number(getattr(overall, name))}"
    row = getattr(curves, f"overall_{name}")
    axes.plot(curves.thresholds, row, color=_ALL, linewidth=2.5, label=label)
    if overall.threshold is not None:
        axes.axvline(overall.threshold, color=_ALL, linewidth=0.8, linestyle=(0, (2, 3)))
        label = f"best threshold\nof all: {overall.threshold:.3f}"
        left = overall.threshold > 0.5
        axes.annotate(
            label,
            (overall.threshold, 0.02),
            xytext=(-5 if left else 5, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=8,
            color=_INK,
        )
    _legend(figure, axes, "at the best threshold")
    return figure


def confusion_figure(
    confusion: Confusion, class_names: Sequence[str], *, normalized: bool = False
) -> "Figure":
    """The confusion matrix; normalized: each column divided by its sum."""
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = [*(chart_text(name) for name in class_names), "background"]
    matrix = confusion.matrix.astype(float)
    if normalized:
        matrix = matrix / np.maximum(matrix.sum(axis=0), 1)
    count = len(names)
    # Inches: 0.42 hold a number of four digits, 0.17 a name in 7 points.
    step = 0.42 if count <= _MAX_NUMBERS else 0.17
    side = min(max(3.2, step * count), 30.0)
    # Laid out by hand, which takes half the time: room for the names, 0.07 inches a letter.
    names_width = 0.6 + 0.07 * max(map(len, names))
    below = names_width if count > 5 else 0.7
    width, height = names_width + side + 1.0, below + side + 0.7
    # Large ones are large enough.
    figure = Figure(figsize=(width, height), dpi=_DPI if count <= _MAX_NUMBERS else 100)
    axes = figure.add_axes((names_width / width, below / height, side / width, side / height))
    # The background may have far more than any class. Roots of counts: next to a class of
    # thousands, one of tens is still seen.
    top = 1.0 if normalized else max(1.0, matrix[:-1, :-1].max(initial=0))
    norm = PowerNorm(1.0 if normalized else 0.5, 0, top, clip=True)
    image = axes.imshow(np.where(matrix > 0, matrix, np.nan), cmap="Blues", norm=norm)
    place = ((width - 0.8) / width, (below + side / 4) / height, 0.2 / width, side / 2 / height)
    bar = figure.colorbar(image, cax=figure.add_axes(place))
    bar.ax.tick_params(labelsize=8, labelcolor=_INK, color=_FAINT)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_locator(MaxNLocator(5))
    _name_axes(axes, names, size=8 if step > 0.2 else 7)
    if count <= _MAX_NUMBERS:
        for row, column in zip(*np.nonzero(matrix)):
            value = matrix[row, column]
            text = f"{value:.2f}" if normalized else f"{value:.0f}"
            ink = "white" if norm(value) > 0.55 else _INK
            axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=ink)
    what = "Confusion, as shares of each column" if normalized else "Confusion"
    title = (
        f"{what}\nscores of at least {confusion.min_score:g}, IoU of at least {confusion.min_iou:g}"
    )
    axes.set_title(title, fontsize=10, color=_INK)
    return figure


def _name_axes(axes: "Axes", names: Sequence[str], size: int) -> None:
    """Names on both axes of a matrix, and a line before the background."""
    places, end = range(len(names)), len(names) - 1.5
    axes.set_xticks(places, names, fontsize=size, rotation=90 if len(names) > 5 else 0)
    axes.set_yticks(places, names, fontsize=size)
    axes.set_xlabel("annotated", color=_INK)
    axes.set_ylabel("detected", color=_INK)
    axes.tick_params(length=0)
    axes.axhline(end, color=_FAINT, linewidth=0.8)
    axes.axvline(end, color=_FAINT, linewidth=0.8)
    axes.spines[:].set_color(_FAINT)


def _calibration_figure(calibration: Calibration) -> "Figure":
    title = f"Calibration: expected error {_number(calibration.error)}"
    figure, axes = _figure("score", "share of right detections", title)
    widths = np.diff(calibration.edges)
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=1, linestyle="--", label="as it should be")
    axes.bar(
        calibration.edges[:-1],
        np.nan_to_num(calibration.precision),
        widths,
        align="edge",
        color=COLORS[0],
        alpha=0.85,
        edgecolor="white",
        label=f"right at IoU {calibration.min_iou:g}",
    )
    for left, width, count, height in zip(
        calibration.edges, widths, calibration.counts, np.nan_to_num(calibration.precision)
    ):
        # At the foot of the bar, inside if it is high enough, where the diagonal seldom is.
        inside = height > 0.06
        place = (left + width / 2, 0.015 if inside else height + 0.015)
        text = f"{count:,}" if count else ""
        axes.text(*place, text, ha="center", fontsize=7, color="white" if inside else _INK)
    _legend(figure, axes, "numbers: detections")
    return figure


def _errors_figure(errors: ErrorSplit) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.4), layout="constrained", dpi=_DPI)
    axes = figure.add_subplot()
    names = [*(ERROR_TITLES[kind] for kind in ERROR_KINDS), "all false", "all missed"]
    costs = [*(errors.costs[kind] for kind in ERROR_KINDS)]
    costs += [errors.false_positive_cost, errors.false_negative_cost]
    costs = [float(np.nan_to_num(cost)) for cost in costs]
    # A gap before the two sums.
    places = [*range(len(ERROR_KINDS)), len(ERROR_KINDS) + 0.4, len(ERROR_KINDS) + 1.4]
    colors = [COLORS[0]] * len(ERROR_KINDS) + ["#8b95a5"] * 2
    axes.barh(places, costs, color=colors, height=0.7)
    axes.set_yticks(places, names, fontsize=9)
    axes.invert_yaxis()
    for place, cost in zip(places, costs):
        axes.text(cost, place, f" {cost:.3f}", va="center", fontsize=8, color=_INK)
    axes.margins(x=0.12)
    if not any(costs):
        axes.set_xlim(0, 1)
    title = f"What each kind of error costs: AP at IoU {errors.min_iou:g} is {_number(errors.ap)}"
    axes.set_title(title, fontsize=10, color=_INK)
    axes.set_xlabel("AP that mending it would gain", color=_INK)
    _plain(axes)
    return figure


def _figure(x: str, y: str, title: str) -> "tuple[Figure, Axes]":
    """An empty chart of fractions."""
    # Not pyplot, which would look for a display and keep every figure in memory.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 5.2), layout="constrained", dpi=_DPI)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.set_xlabel(x, color=_INK)
    axes.set_ylabel(y, color=_INK)
    axes.set_title(title, fontsize=11, color=_INK)
    axes.grid(color="#eceff3", linewidth=0.8)
    axes.set_axisbelow(True)
    _plain(axes)
    return figure, axes


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    axes.tick_params(color=_FAINT, labelcolor=_INK, labelsize=8.5)


def _draw_classes(
    axes: "Axes",
    x: np.ndarray,
    rows: np.ndarray,
    class_names: Sequence[str],
    values: Sequence[float | None],
) -> None:
    """A line for each class; of many, only the lowest by ``values`` have colours and names."""
    known = [i for i, value in enumerate(values) if value is not None and not np.isnan(value)]
    named = known
    if len(known) > _MAX_NAMED:
        named = sorted(known, key=lambda i: values[i] or 0.0)[:_NUM_LOWEST]
        others = [i for i in known if i not in named]
        label = f"{len(others)} other classes"
        for i in others:
            axes.plot(x, rows[i], color=_FAINT, linewidth=0.7, label=label)
            # Only once in the legend.
            label = "_"
    styles = itertools.product(_DASHES, COLORS)
    for i, (dash, color) in zip(named, styles):
        label = f"{chart_text(class_names[i])} {_number(values[i])}"
        axes.plot(x, rows[i], color=color, linestyle=dash, linewidth=1.4, label=label)


def _legend(figure: "Figure", axes: "Axes", title: str) -> None:
    handles, labels = axes.get_legend_handles_labels()
    # The line of all classes is drawn last, and named first.
    figure.legend(
        handles[::-1] if len(handles) < 3 else [handles[-1], *handles[:-1]],
        labels[::-1] if len(labels) < 3 else [labels[-1], *labels[:-1]],
        loc="outside right upper",
        frameon=False,
        fontsize=8,
        title=title,
        title_fontsize=8,
        alignment="left",
    )


def _mean_of_rows(rows: np.ndarray) -> np.ndarray:
    # Not np.nanmean(), which warns of classes without objects.
    known = rows[~np.isnan(rows).all(axis=1)] if rows.size else rows
    return known.mean(axis=0) if len(known) else np.full(rows.shape[1], np.nan)


def _number(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.3f}"
