"""Scores that a recipe is known to reach, step by step, and whether a run reaches them.

They lie beside the recipes, in ``configs/*.curve.csv``: comments that begin with "#", a header, and
a line for each point; ``spread`` is empty where nobody has stated it.
"""

import csv
import dataclasses
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import CAFFE, names_of_role
from ssd_tfrecord.runs.course.history_file import METRICS

SUFFIX = ".curve.csv"
# The curve of the recipe whose flags a run has.
RECIPE = "recipe"
_COLUMNS = ("step", "metric", "value", "spread", "runs", "source")

# What a point without a spread allows: published runs of one recipe differ by some 0.01.
TOLERANCE = 0.02
# Standard deviations that a run may be off: 1 in 20 is further away by chance.
_DEVIATIONS = 2.0

# Flags of a recipe that say what it trains on and begins with, and on what kind of machine.
_FREE = {"train_records", "seed", "backbone_weights", "init_checkpoint", "precision", "xla"}


@dataclass(frozen=True)
class Point:
    """A score that is known.

    ``value`` of ``metric`` (one of ``history_file.METRICS``), a fraction, after ``step`` steps;
    ``spread`` is the standard deviation of ``runs`` runs, None if it is not known.
    """

    step: int
    metric: str
    value: float
    spread: float | None
    runs: int
    source: str

    def allowed(self, tolerance: float = TOLERANCE) -> float:
        """How far a run may be off, in the units of ``value``."""
        return tolerance if self.spread is None else _DEVIATIONS * self.spread


@dataclass(frozen=True)
class Verdict:
    """What a run has at a point: ``measured`` is None where no evaluation was."""

    point: Point
    measured: float | None
    tolerance: float = TOLERANCE

    @property
    def word(self) -> str:
        """``below``, ``on it``, ``above``, or ``not evaluated``."""
        if self.measured is None:
            return "not evaluated"
        off = self.measured - self.point.value
        allowed = self.point.allowed(self.tolerance)
        # Off by exactly what is allowed is allowed, whatever the last bit says.
        if abs(off) <= allowed or math.isclose(abs(off), allowed, rel_tol=1e-9):
            return "on it"
        return "above" if off > 0 else "below"

    def line(self) -> str:
        """For the log: where, what was measured, what is known, and the verdict."""
        point = self.point
        measured = "none" if self.measured is None else f"{self.measured:.3f}"
        return (
            f"curve: at step {point.step:,} {point.metric} {measured}, {point.value:.3f} ± "
            f"{point.allowed(self.tolerance):.3f} known ({point.source}): {self.word}"
        )


def find(name: str, config: TrainConfig, flag: str = "curve") -> str:
    """The path of a curve.

    Args:
        name: of a file; of a recipe that has a curve; or ``RECIPE``, the one whose flags ``config``
            has, apart from data, start weights, seed and precision.
        config: of the run.
        flag: whose value ``name`` is, for the error.

    Raises:
        InputError: there is no such curve.
    """
    curves = {key.removesuffix(SUFFIX): path for key, path in flags.recipe_files(SUFFIX).items()}
    known = ", ".join(curves)
    if name == RECIPE:
        for recipe, path in curves.items():
            if _is_recipe(recipe, config):
                return path
        raise InputError(
            f"--{flag}={RECIPE}: no recipe that has a curve has the flags of this run; must be a "
            f"curve's file, or one of {known}"
        )
    if os.path.isfile(name):
        return name
    if name.removesuffix(SUFFIX) in curves:
        return curves[name.removesuffix(SUFFIX)]
    raise InputError(
        f"--{flag}={name}: no such file; must be a curve's file, {RECIPE}, or one of {known}"
    )


def watched(config: TrainConfig) -> tuple[Point, ...]:
    """The points of ``--verify_curve``, or none.

    Raises:
        InputError: as of ``find`` and ``read``.
    """
    name = config.verify_curve
    return read(find(name, config, "verify_curve")) if name else ()


def _is_recipe(recipe: str, config: TrainConfig) -> bool:
    words = ["train", f"--flagfile={recipe}.flags", "--train_records=a", "--run_dir=a"]
    fixed = {*names_of_role(TrainConfig, "result"), "num_steps"} - _FREE
    recipe_config = flags.parse(TrainConfig, words)
    return _values(recipe_config, fixed) == _values(config, fixed)


def _values(config: TrainConfig, names: Iterable[str]) -> dict[str, str]:
    # A run keeps the variant that it has found, which is this one unless its start weights differ.
    variant = config.anchors.anchor_variant or CAFFE
    anchors = dataclasses.replace(config.anchors, anchor_variant=variant)
    lines = flags.to_lines(dataclasses.replace(config, anchors=anchors))
    pairs = (line.removeprefix("--").partition("=") for line in lines)
    return {name: value for name, _, value in pairs if name in names}


def read(path: str | os.PathLike[str]) -> tuple[Point, ...]:
    """The points of a curve, in the order of their steps.

    Raises:
        InputError: the file cannot be read; or a line is no point, which the message names.
    """
    try:
        # Spreadsheets write a mark before the first line.
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if not lines or tuple(_cells(lines[0][1])) != _COLUMNS:
        raise InputError(f"{path}: the first line must be {','.join(_COLUMNS)}")
    points = []
    for number, line in lines[1:]:
        try:
            points.append(_point(_cells(line)))
        except ValueError as error:
            raise InputError(f"{path}: line {number}: {error}") from None
    if not points:
        raise InputError(f"{path}: has no point; must have a line for each step and metric")
    return tuple(sorted(points, key=lambda point: (point.step, point.metric)))


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line]))
    # A cell of more than 131,072 characters.
    except csv.Error:
        return []


def _point(cells: Sequence[str]) -> Point:
    if len(cells) != len(_COLUMNS):
        raise ValueError(f"has {len(cells)} columns, must have {len(_COLUMNS)}")
    step, metric, value, spread, runs, source = (cell.strip() for cell in cells)
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} must be one of {', '.join(METRICS)}")
    point = Point(
        int(step), metric, float(value), float(spread) if spread else None, int(runs), source
    )
    if not (point.step > 0 and point.runs > 0 and 0 <= point.value <= 1):
        raise ValueError("step and runs must be above 0, value from 0 to 1")
    if point.spread is not None and not 0 < point.spread <= 1:
        raise ValueError("spread must be above 0 and at most 1, or empty")
    return point


def judge(
    points: Sequence[Point], rows: Iterable[Mapping[str, str]], tolerance: float = TOLERANCE
) -> list[Verdict]:
    """How a run stands at each of ``points``; between two evaluations it lies on their line.

    Args:
        points: of ``read``.
        rows: of history.csv, as ``history_file`` gives them.
        tolerance: what a point without a spread allows, a fraction.
    """
    verdicts = []
    rows = list(rows)
    for point in points:
        known = sorted((int(row["step"]), row[point.metric]) for row in rows if row[point.metric])
        values = [(step, float(value)) for step, value in known if math.isfinite(float(value))]
        verdicts.append(Verdict(point, _at(point.step, values), tolerance))
    return verdicts


def _at(step: int, values: Sequence[tuple[int, float]]) -> float | None:
    """The value at ``step`` of the line through ``values``; None outside of them."""
    before = [item for item in values if item[0] <= step]
    after = [item for item in values if item[0] >= step]
    if not (before and after):
        return None
    (low, low_value), (high, high_value) = before[-1], after[0]
    if low == high:
        return low_value
    return low_value + (high_value - low_value) * (step - low) / (high - low)


def table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as lines of text, and a closing one that counts them."""
    rows = [("step", "metric", "known", "within", "here", "verdict", "source")]
    for verdict in verdicts:
        point = verdict.point
        measured = "" if verdict.measured is None else f"{verdict.measured:.3f}"
        within = f"{point.allowed(verdict.tolerance):.3f}"
        known = f"{point.value:.3f}"
        rows.append(
            (f"{point.step:,}", point.metric, known, within, measured, verdict.word, point.source)
        )
    widths = [max(map(len, column)) for column in zip(*rows)]
    # Numbers end below each other, words begin so.
    places = [">" if index in (0, 2, 3, 4) else "<" for index in range(len(widths))]
    lines = [
        "  ".join(f"{cell:{place}{width}}" for cell, place, width in zip(row, places, widths))
        for row in rows
    ]
    counts = dict.fromkeys(("on it", "above", "below", "not evaluated"), 0)
    for verdict in verdicts:
        counts[verdict.word] += 1
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return "\n".join([*(line.rstrip() for line in lines), f"{len(verdicts)} points: {said}"])


class CurveWatch:
    """Says during a run, once for each point, whether the run is on its curve.

    Args:
        points: of ``read``.
        step: number of finished steps: what lies before has been said.
    """

    def __init__(self, points: Sequence[Point], step: int) -> None:
        self._left = [point for point in points if point.step > step]

    def lines(self, rows: Iterable[Mapping[str, str]]) -> list[str]:
        """A line for each point that the rows of the history have come to since the last call."""
        verdicts = [item for item in judge(self._left, rows) if item.measured is not None]
        said = {dataclasses.astuple(item.point) for item in verdicts}
        self._left = [point for point in self._left if dataclasses.astuple(point) not in said]
        return [verdict.line() for verdict in verdicts]
