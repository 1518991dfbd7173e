"""``history.csv`` and ``curves.png``: the course of a run over every resume."""

import csv
import os
import pathlib

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
    """Rows of ``history.csv`` in ``run_dir``, a column for each of ``COLUMNS``.

    Those after ``step`` are cut when it is opened: a run goes on from its last checkpoint and
    writes them again.
    """

    def __init__(self, run_dir, step: int):
        self._folder = pathlib.Path(run_dir)
        self.rows = [row for row in _read(self._folder / "history.csv") if int(row["step"]) <= step]
        self._write()

    def append(self, step: int, values: dict) -> None:
        """Adds the numbers of ``values`` that have a column to the row of ``step``."""
        if not self.rows or int(self.rows[-1]["step"]) != step:
            self.rows.append(dict.fromkeys(COLUMNS, "") | {"step": str(step)})
        known = {name: values[name] for name in COLUMNS[1:] if values.get(name) is not None}
        self.rows[-1].update({name: _text(value) for name, value in known.items()})
        self._write()

    def evaluated(self, step: int) -> bool:
        """Whether ``step`` has been evaluated."""
        return any(int(row["step"]) == step and row["eval_loss"] for row in self.rows)

    def best(self, metric: str) -> tuple[int, int] | None:
        """(step of the best ``metric``, the first of equals; evaluations since), None before."""
        rows = [row for row in self.rows if row["eval_loss"]]
        values = [float(row[metric] or "-inf") for row in rows]
        if not values or max(values) == float("-inf"):
            return None
        place = values.index(max(values))
        return int(rows[place]["step"]), len(rows) - 1 - place

    def improves(self, metric: str, value: float | None) -> bool:
        """Whether ``value`` would be the best ``metric`` so far, as it would be written."""
        written = [float(row[metric]) for row in self.rows if row["eval_loss"] and row[metric]]
        return value is not None and float(_text(value)) > max(written, default=float("-inf"))

    def last(self, metric: str) -> float | None:
        """``metric`` of the last evaluation that has it."""
        return next((float(row[metric]) for row in reversed(self.rows) if row[metric]), None)

    def draw(self) -> None:
        """Draws the losses and, where there are any, the metrics into ``curves.png``."""
        # Importing matplotlib takes half a second; pyplot is left alone for its global state.
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 4), layout="constrained")
        loss_axes, metric_axes = figure.subplots(1, 2)
        self._plot(loss_axes, ("loss", "class_loss", "box_loss", "eval_loss"), "loss")
        self._plot(metric_axes, ("voc07_map", "voc12_map", "coco_ap", "coco_ap50"), "metric")
        metric_axes.set_ylim(0, 1)
        figure.savefig(self._folder / "curves.part.png", dpi=110)
        os.replace(self._folder / "curves.part.png", self._folder / "curves.png")

    def _plot(self, axes, columns, title):
        for column in columns:
            points = [(int(row["step"]), float(row[column])) for row in self.rows if row[column]]
            if points:
                axes.plot(*zip(*points), label=column, marker="." if len(points) < 50 else None)
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()

    def _write(self):
        aside = self._folder / "history.part.csv"
        with open(aside, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(aside, self._folder / "history.csv")


def _text(value):
    return f"{value:.8g}"


def _read(path):
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, restval=""))
    return [{name: row.get(name, "") for name in COLUMNS} for row in rows]
