"""Charts as SVG inside of a page, whose colours they have: curves, calibration, a large matrix."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.evaluation.analysis.answers import Calibration
from ssd_tfrecord.evaluation.report.outside_text import attribute

# Of the drawing, in its own units: the width, the height and the margins left, above, right, below.
_WIDTH, _HEIGHT = 440, 320
_LEFT, _TOP, _RIGHT, _BOTTOM = 40, 28, 12, 40
_INNER_WIDTH, _INNER_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
# A curve is drawn through so many points: one for every two units.
_MAX_POINTS = 200
# Of a matrix: units of a cell, and of its names.
_CELL, _NAME = 13, 118


@dataclass(frozen=True)
class Line:
    """A curve: ``y`` [T] in [0, 1]; ``style`` is a class of CSS, ``color`` one of its colours."""

    name: str
    y: np.ndarray
    style: str = ""
    color: str = ""


def curves_svg(
    x: np.ndarray, lines: Iterable[Line], titles: tuple[str, str], rule: float | None = None
) -> str:
    """Curves over ``x`` [T], in [0, 1].

    Args:
        x: rising.
        lines: the later ones lie above the earlier ones; NaN is not drawn.
        titles: of the two axes.
        rule: draw a vertical line there.
    """
    parts = [_axes(*titles)]
    chosen = np.unique(np.linspace(0, max(len(x) - 1, 0), _MAX_POINTS).astype(int))
    for line in lines:
        if len(x) and not np.isnan(line.y).all():
            color = f" style='--k:{line.color}'" if line.color else ""
            parts.append(
                f"<polyline class='curve {line.style}'{color} points='"
                f"{_points(x[chosen], line.y[chosen])}'>"
                f"<title>{attribute(line.name)}</title></polyline>"
            )
    if rule is not None:
        parts.append(f"<path class=rule d='M{_x(rule):.1f} {_TOP}V{_TOP + _INNER_HEIGHT}'/>")
    return _svg(_WIDTH, _HEIGHT, f"{titles[1]} over {titles[0]}", parts)


def calibration_svg(calibration: Calibration) -> str:
    """The share of right detections by score, beside the diagonal where it should be."""
    parts = [_axes("score", "right")]
    rows = zip(calibration.edges, calibration.edges[1:], calibration.precision, calibration.counts)
    for low, high, precision, count in rows:
        if count:
            left, width = _x(low) + 1, max(1.0, _x(high) - _x(low) - 2)
            top = _y(float(np.nan_to_num(precision)))
            parts.append(
                f"<rect class=block opacity=.75 x='{left:.1f}' y='{top:.1f}' width='{width:.1f}' "
                f"height='{_TOP + _INNER_HEIGHT - top:.1f}'><title>scores {low:.2g} to {high:.2g}: "
                f"{count:,} detections, {precision:.3f} of them right</title></rect>"
            )
    parts.append(f"<path class=rule d='M{_x(0):.1f} {_y(0):.1f}L{_x(1):.1f} {_y(1):.1f}'/>")
    return _svg(_WIDTH, _HEIGHT, "share of right detections by score", parts)


def matrix_svg(matrix: np.ndarray, shares: np.ndarray, names: Sequence[str]) -> str:
    """A matrix of many classes; a cell is the darker the greater its share, and tells its count.

    Args:
        matrix: counts [N, N].
        shares: in [0, 1], [N, N].
        names: of rows and columns, N.
    """
    size = _NAME + _CELL * len(names)
    parts = []
    for place, name in enumerate(names):
        middle = _NAME + _CELL * place + _CELL - 3
        text = attribute(name, 20)
        parts.append(f"<text x={_NAME - 5} y={middle} text-anchor=end>{text}</text>")
        parts.append(f"<text transform='translate({middle} {_NAME - 5}) rotate(-90)'>{text}</text>")
    for row, column in zip(*np.nonzero(matrix)):
        parts.append(
            f"<rect class=block x={_NAME + _CELL * column} y={_NAME + _CELL * row} "
            f"width={_CELL - 1} height={_CELL - 1} opacity={max(0.08, shares[row, column]):.2f}>"
            f"<title>{attribute(names[column], 20)} as {attribute(names[row], 20)}: "
            f"{matrix[row, column]:,}</title></rect>"
        )
    return _svg(size, size, "confusion matrix", parts, f" class=map width={size} height={size}")


def _axes(x_title: str, y_title: str) -> str:
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    lines = "".join(f"M{_LEFT} {_y(t):.1f}H{_LEFT + _INNER_WIDTH}" for t in ticks)
    lines += "".join(f"M{_x(t):.1f} {_TOP}V{_TOP + _INNER_HEIGHT}" for t in ticks)
    bottom = _TOP + _INNER_HEIGHT
    names = "".join(
        f"<text x={_LEFT - 6} y={_y(t) + 4:.1f} text-anchor=end>{t:g}</text>"
        f"<text x={_x(t):.1f} y={bottom + 16} text-anchor=middle>{t:g}</text>"
        for t in ticks
    )
    return (
        f"<path class=grid d='{lines}'/>{names}"
        f"<text x={_LEFT + _INNER_WIDTH / 2} y={bottom + 34} text-anchor=middle>{x_title}</text>"
        f"<text x=0 y={_TOP - 14}>{y_title}</text>"
    )


def _points(x: np.ndarray, y: np.ndarray) -> str:
    # Of equal neighbours in a row, only the ends are needed.
    flat = np.zeros(len(y), bool)
    flat[1:-1] = (y[1:-1] == y[:-2]) & (y[1:-1] == y[2:])
    rows = zip(x[~flat], y[~flat])
    return " ".join(f"{_x(a):.1f},{_y(b):.1f}" for a, b in rows if not np.isnan(b))


def _x(value: float) -> float:
    return _LEFT + _INNER_WIDTH * min(max(float(value), 0.0), 1.0)


def _y(value: float) -> float:
    return _TOP + _INNER_HEIGHT * (1 - min(max(float(value), 0.0), 1.0))


def _svg(width: int, height: int, label: str, parts: Iterable[str], more: str = "") -> str:
    content = "".join(parts)
    return (
        f"<svg viewBox='0 0 {width} {height}' role=img aria-label='{label}'{more}>{content}</svg>"
    )
