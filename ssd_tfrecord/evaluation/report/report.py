"""All files of an evaluated set: numbers, charts, pictures, suspects and the page."""

import os
import pathlib

from ssd_tfrecord.evaluation.evaluated_set import EvaluatedSet
from ssd_tfrecord.evaluation.report.charts import draw_charts
from ssd_tfrecord.evaluation.report.doubt_list import kinds_of, write_doubts
from ssd_tfrecord.evaluation.report.gallery import WORST_FILE, draw_gallery, write_sheets
from ssd_tfrecord.evaluation.report.number_files import write_number_files
from ssd_tfrecord.evaluation.report.pages import page
from ssd_tfrecord.runs.run_files import write_bytes

PAGE_FILE = "report.html"


def write(
    folder: str | os.PathLike[str], evaluated: EvaluatedSet, *, num_pictures: int = 16
) -> list[str]:
    """Writes per_class.csv, JSON files, PNG charts, pictures, suspects.csv and report.html.

    Each file is written aside and renamed; the page comes last.

    Args:
        folder: created if it does not exist; earlier files are replaced.
        evaluated: the set.
        num_pictures: number of worst images to draw, at most; 0: neither these nor suspects.

    Returns:
        Lines for the terminal: where the page and the pictures are, and what to look at.

    Raises:
        OSError: a file cannot be written.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_number_files(folder, evaluated)
    charts = draw_charts(evaluated.scored.class_names, evaluated.answers)
    for name, content in charts.items():
        write_bytes(folder / name, content)
    gallery = draw_gallery(evaluated, num_pictures)
    sheets = write_sheets(folder, evaluated, gallery)
    suspects = write_doubts(folder, evaluated)
    write_bytes(folder / PAGE_FILE, page.render(evaluated, gallery).encode())
    lines = [f"report: {folder / PAGE_FILE}"]
    if folder / WORST_FILE in sheets:
        lines.append(f"worst images: {folder / WORST_FILE}")
    kinds = kinds_of(evaluated.answers.doubts)
    counts = ", ".join(f"{len(items)} {kind}" for kind, items in kinds.items())
    if counts:
        lines.append(f"to look at: {counts}: {suspects}")
    return lines
