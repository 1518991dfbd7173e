"""``history.csv`` and ``curves.png``: the course of a run over all resumes."""

import csv
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAIN_COLUMNS = (
    "loss",
    "class_loss",
    "box_loss",
    "learning_rate",
    "images_per_s",
    "data_wait",
)
EVAL_COLUMNS = ("eval_loss", "voc07_map", "voc12_map", "coco_ap", "coco_ap50")
COLUMNS = ("step", *TRAIN_COLUMNS, *EVAL_COLUMNS)


class History:
    """Rows of ``history.csv`` in ``run_dir``, with one column for each of ``COLUMNS``.

    Rows after ``step`` are deleted when the file is opened: a run resumes from its last checkpoint
    and writes them again.

    Args:
        run_dir: the run folder.
        step: number of finished steps.
    """

    def __init__(self, run_dir: str | os.PathLike[str], step: int) -> None:
        self._folder = pathlib.Path(run_dir)
        self.rows = [row for row in _read(self._folder / "history.csv") if int(row["step"]) <= step]
        self._write()

    def append(self, step: int, values: Mapping[str, Any]) -> None:
        """Adds those of ``values`` for which there is a column to the row of ``step``.

        Args:
            step: not less than that of the last row.
            values: {name: number}; None leaves the column as it is, other names are ignored.
        """
        # Losses and an evaluation of the same step come in two calls and share a row.
        if not self.rows or int(self.rows[-1]["step"]) != step:
            self.rows.append(dict.fromkeys(COLUMNS, "") | {"step": str(step)})
        known = {name: values[name] for name in COLUMNS[1:] if values.get(name) is not None}
        self.rows[-1].update({name: _text(value) for name, value in known.items()})
        self._write()

    def evaluated(self, step: int) -> bool:
        """Whether ``step`` has been evaluated."""
        return any(int(row["step"]) == step and row["eval_loss"] for row in self.rows)

    def best(self, metric: str) -> tuple[int, int] | None:
        """The best evaluation so far.

        Args:
            metric: one of ``EVAL_COLUMNS``.

        Returns:
            (step of the highest ``metric``, the first of equals; number of evaluations since), or
            None if no evaluation has it.
        """
        rows = [row for row in self.rows if row["eval_loss"]]
        # An evaluation set without objects has no metric.
        values = [float(row[metric] or "-inf") for row in rows]
        if not values or max(values) == float("-inf"):
            return None
        place = values.index(max(values))
        return int(rows[place]["step"]), len(rows) - 1 - place

    def improves(self, metric: str, value: float | None) -> bool:
        """Whether ``value``, rounded as in the file, would be the best ``metric`` so far."""
        # Rounded, so that a resumed run, which reads the file, decides the same.
        written = [float(row[metric]) for row in self.rows if row["eval_loss"] and row[metric]]
        return value is not None and float(_text(value)) > max(written, default=float("-inf"))

    def last(self, metric: str) -> float | None:
        """``metric`` of the last evaluation that has it, or None."""
        return next((float(row[metric]) for row in reversed(self.rows) if row[metric]), None)

    def draw(self) -> None:
        """Draws the losses and, if there are any, the metrics to ``curves.png``."""
        # Importing matplotlib takes half a second. Not pyplot, which has global state.
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 4), layout="constrained")
        loss_axes, metric_axes = figure.subplots(1, 2)
        self._plot(loss_axes, ("loss", "class_loss", "box_loss", "eval_loss"), "loss")
        self._plot(metric_axes, ("voc07_map", "voc12_map", "coco_ap", "coco_ap50"), "metric")
        metric_axes.set_ylim(0, 1)
        figure.savefig(self._folder / "curves.part.png", dpi=110)
        os.replace(self._folder / "curves.part.png", self._folder / "curves.png")

    def _plot(self, axes: "Axes", columns: Sequence[str], title: str) -> None:
        for column in columns:
            points = [(int(row["step"]), float(row[column])) for row in self.rows if row[column]]
            if points:
                # Few points are marked: a single one would draw no line.
                axes.plot(*zip(*points), label=column, marker="." if len(points) < 50 else None)
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        # A legend of nothing would be a warning.
        if axes.lines:
            axes.legend()

    def _write(self) -> None:
        aside = self._folder / "history.part.csv"
        with open(aside, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(aside, self._folder / "history.csv")


def _text(value: float) -> str:
    return f"{value:.8g}"


def _read(path: pathlib.Path) -> list[dict[str, str]]:
    """The rows of the file, with the columns of this version; none if there is no file."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, restval=""))
    return [{name: row.get(name, "") for name in COLUMNS} for row in rows]
