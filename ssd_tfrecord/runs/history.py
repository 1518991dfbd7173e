"""``history.csv`` and ``curves.png``: the course of a run over all resumes."""

import contextlib
import ctypes
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ssd_tfrecord.runs.course import event_files, history_file
from ssd_tfrecord.runs.course.dispensable import Dispensable, Outage, Say
from ssd_tfrecord.runs.course.history_file import (
    ALL_COLUMNS,
    EVAL_COLUMNS,
    RAW,
    RAW_COLUMNS,
    Found,
    HistoryFile,
    Row,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Groups of TensorBoard's tags whose numbers are named as in the history. Not those of each class,
# whose name may be any.
OVERVIEW, METRICS, TRAINING = "Overview", "Precision and recall", "Training"
# Of the weights as they are trained, where their averages are evaluated.
RAW_WEIGHTS = "Raw weights"
# A longer metrics.json was not written by an evaluation.
_MAX_METRICS_BYTES = 1 << 26


@dataclass(frozen=True)
class Past:
    """How far the earlier starts of a run have come, as far as is known.

    ``step`` is the last step that any of them wrote a point of, ``time`` when (seconds since 1970),
    if the history still told it. ``points`` are (step, images per second) in ascending order.
    """

    step: int
    time: float | None
    points: tuple[tuple[int, float], ...]

    def seconds(self, first: int, last: int, global_batch_size: int) -> float:
        """How long the steps ``first`` + 1 to ``last`` took, from the points among them."""
        total, before = 0.0, first
        for step, rate in self.points:
            if first < step <= last and rate > 0:
                total += (step - before) * global_batch_size / rate
                before = step
        return total


class History:
    """Rows of ``history.csv`` in ``run_dir``, by the columns of ``history_file``.

    Rows after ``step`` are deleted when the file is opened: a run resumes from its last checkpoint
    and writes them again. Rows that are missing or damaged are taken from TensorBoard's events and
    from metrics.json where they are there, and left out where not. Neither reading nor writing
    raises: a run does not end because of its history.

    Args:
        run_dir: the run folder.
        step: number of finished steps.
        say: prints what was repaired, and what cannot be written.
        outage: shared with the other files of the run.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        step: int,
        say: Say = print,
        outage: Outage | None = None,
    ) -> None:
        self._folder = pathlib.Path(run_dir)
        path = self._folder / "history.csv"
        found = history_file.read(path, step)
        numbers = list(_event_rows(self._folder))
        self.past = _past(found, numbers)
        rows = {number: row for number, row in found.rows.items() if number <= step}
        restored = _restore(rows, _as_rows(numbers, step))
        restored += _restore(rows, _metrics_row(self._folder / "metrics.json", step))
        self.rows = [rows[number] for number in sorted(rows)]
        if step and (text := _repair_text(found, restored)):
            say(f"{path}: {text}")
        self._file = HistoryFile(path)
        outage = outage or Outage()
        self._writing = Dispensable(path, say, outage)
        self._drawing = Dispensable(self._folder / "curves.png", say, outage)
        self._drawn = (self._folder / "curves.png").is_file() and not restored
        self._writing.attempt(lambda: self._file.replace(self.rows))

    def append(self, step: int, values: Mapping[str, Any]) -> None:
        """Adds those of ``values`` for which there is a column to the row of ``step``.

        Args:
            step: not less than that of the last row.
            values: {name: number}; None leaves the column as it is, other names are ignored. Those
                of an evaluation of raw weights are in ``raw``, if there are any.
        """
        # Losses and an evaluation of the same step come in two calls and share a row.
        new = not self.rows or int(self.rows[-1]["step"]) != step
        if new:
            self.rows.append(dict.fromkeys(ALL_COLUMNS, "") | {"step": str(step)})
        raw = {RAW + name: value for name, value in values.get("raw", {}).items()}
        self.rows[-1].update(_texts({**values, **raw}))
        write_fn = self._file.append if new else self._file.replace
        self._writing.attempt(lambda: write_fn(self.rows))
        self._drawn = False

    def evaluated(self, step: int) -> bool:
        """Whether ``step`` has been evaluated."""
        return any(int(row["step"]) == step for row in self.rows if _is_evaluation(row))

    def best(self, metric: str) -> tuple[int, int] | None:
        """The best evaluation so far.

        Args:
            metric: one of ``EVAL_COLUMNS``.

        Returns:
            (step of the highest ``metric``, the first of equals; number of evaluations since), or
            None if no evaluation has it.
        """
        rows = [row for row in self.rows if _is_evaluation(row)]
        # An evaluation set without objects has no metric.
        values = [_number(row[metric]) for row in rows]
        if not values or max(values) == float("-inf"):
            return None
        place = values.index(max(values))
        return int(rows[place]["step"]), len(rows) - 1 - place

    def improves(self, metric: str, value: float | None) -> bool:
        """Whether ``value``, rounded as in the file, would be the best ``metric`` so far."""
        # Rounded, so that a resumed run, which reads the file, decides the same.
        written = [_number(row[metric]) for row in self.rows]
        return value is not None and _number(_text(value)) > max(written, default=float("-inf"))

    def last(self, metric: str) -> float | None:
        """``metric`` of the last evaluation that has it, or None."""
        return next((float(row[metric]) for row in reversed(self.rows) if row[metric]), None)

    def draw(self) -> None:
        """Draws losses and metrics, as far as there are any, to ``curves.png`` if they changed."""
        if not self._drawn:
            self._drawn = self._drawing.attempt(self._draw)

    def _draw(self) -> None:
        # Importing matplotlib takes half a second. Not pyplot, which has global state.
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 4), layout="constrained")
        loss_axes, metric_axes = figure.subplots(1, 2)
        self._plot(loss_axes, ("loss", "class_loss", "box_loss", "eval_loss"), "loss")
        self._plot(metric_axes, (*history_file.METRICS, *RAW_COLUMNS), "metric")
        metric_axes.set_ylim(0, 1)
        aside = self._folder / "curves.part.png"
        try:
            figure.savefig(aside, dpi=110)
            os.replace(aside, self._folder / "curves.png")
        except OSError:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise

    def _plot(self, axes: "Axes", columns: Sequence[str], title: str) -> None:
        for column in columns:
            points = [(int(row["step"]), float(row[column])) for row in self.rows if row[column]]
            if points:
                # Few points are marked: a single one would draw no line.
                marker = "." if len(points) < 50 else None
                style = ":" if column in RAW_COLUMNS else "-"
                axes.plot(*zip(*points), label=column, marker=marker, linestyle=style)
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        # A legend of nothing would be a warning.
        if axes.lines:
            axes.legend()


def _is_evaluation(row: Row) -> bool:
    return any(row.get(name) for name in EVAL_COLUMNS)


def _number(text: str) -> float:
    """The number, or -inf if there is none or it is not finite: it is never the best one."""
    value = float(text or "-inf")
    return value if abs(value) < float("inf") else float("-inf")


def _text(value: float) -> str:
    # As float32, which is what an event file keeps: a row that is restored from it is the same.
    return f"{ctypes.c_float(value).value:.8g}"


def _texts(values: Mapping[str, Any]) -> Row:
    return {name: _text(values[name]) for name in ALL_COLUMNS[1:] if values.get(name) is not None}


def _event_rows(folder: pathlib.Path) -> Iterator[tuple[int, str, float]]:
    """(step, column, number) of the events in the run folder; a later one of a step counts."""
    for kind in ("train", "eval"):
        kept: list[tuple[int, str, float]] = []
        for number in event_files.read_numbers(folder / kind):
            # What an earlier start did beyond the step that this one went on from is done again.
            if not number.tag:
                kept = [item for item in kept if item[0] <= number.step]
            elif column := _column(kind, number.tag):
                kept.append((number.step, column, number.value))
        yield from kept


def _column(kind: str, tag: str) -> str:
    group, _, name = tag.rpartition("/")
    if group == RAW_WEIGHTS:
        return RAW + name if kind == "eval" and RAW + name in RAW_COLUMNS else ""
    # Without a group: as version 0.1 wrote them.
    if group not in ("", OVERVIEW, METRICS, TRAINING):
        return ""
    name = "eval_loss" if (kind, name) == ("eval", "loss") else name
    columns = history_file.TRAIN_COLUMNS if kind == "train" else EVAL_COLUMNS
    return name if name in columns else ""


def _as_rows(numbers: Sequence[tuple[int, str, float]], step: int) -> dict[int, Row]:
    rows: dict[int, Row] = {}
    for number, column, value in numbers:
        if 0 < number <= step:
            rows.setdefault(number, {})[column] = _text(value)
    return rows


def _metrics_row(path: pathlib.Path, step: int) -> dict[int, Row]:
    """The row of metrics.json, if it is of a step until ``step``; otherwise nothing."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_METRICS_BYTES:
            return {}
        metrics = json.loads(path.read_bytes())
        number, values = metrics["step"], {name: metrics.get(name) for name in EVAL_COLUMNS}
        values |= {RAW + name: value for name, value in metrics.get("raw", {}).items()}
    # A file can hold anything, such as a thousand brackets.
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    values = {name: value for name, value in values.items() if isinstance(value, float)}
    fits = type(number) is int and 0 < number <= step and values
    return {number: _texts(values)} if fits else {}


def _restore(rows: dict[int, Row], others: Mapping[int, Row]) -> int:
    """Adds to ``rows`` the rows and evaluations of ``others`` that they lack; returns how many."""
    count = 0
    for step, other in others.items():
        row = rows.get(step, dict.fromkeys(ALL_COLUMNS, "") | {"step": str(step)})
        added = {name: text for name, text in other.items() if not row[name]}
        # A row that was written as a whole says what there was.
        if step not in rows or (_is_evaluation(added) and not _is_evaluation(row)):
            rows[step] = row | added
            count += 1
    return count


def _past(found: Found, numbers: Sequence[tuple[int, str, float]]) -> Past:
    rates = {step: value for step, column, value in numbers if column == "images_per_s"}
    rates |= {
        step: float(row["images_per_s"]) for step, row in found.rows.items() if row["images_per_s"]
    }
    last = max([*found.rows, *(step for step, *_ in numbers)], default=0)
    return Past(last, found.modified, tuple(sorted(rates.items())))


def _repair_text(found: Found, restored: int) -> str:
    """What was wrong with the file and what became of it, in a line; empty if nothing."""
    parts = [found.problem] if found.problem else []
    if found.damaged:
        parts.append(f"damaged or repeated lines: {found.damaged}")
    if found.foreign:
        parts.append(f"columns of another kind, left out: {', '.join(found.foreign)[:200]}")
    if restored:
        parts.append(f"rows restored from TensorBoard's events and metrics.json: {restored}")
    if (found.damaged or found.problem) and not restored:
        parts.append(
            "nothing to restore its rows from; --patience counts the evaluations that are left"
        )
    return "; ".join(parts)
