"""index.html of what fit has made: the scores, pictures, what was done, and how to use it."""

import html
import json
import pathlib
import shlex
from collections.abc import Sequence
from typing import Any

from PIL import Image

from ssd_tfrecord.config import FitConfig
from ssd_tfrecord.evaluation.report.outside_text import markup
from ssd_tfrecord.evaluation.report.pages import page_parts
from ssd_tfrecord.evaluation.report.picture_bytes import jpeg
from ssd_tfrecord.fitting.fit_folder import FitFolder
from ssd_tfrecord.runs.run_files import write_bytes

FILE_NAME = "index.html"
_MAX_PICTURE_BYTES = 1_500_000
# What a picture may have: ours are smaller.
_MAX_PIXELS = 60_000_000


def write(config: FitConfig, folder: FitFolder) -> None:
    """Writes the page of a finished fit.

    Args:
        config: of fit.
        folder: where everything is.

    Raises:
        OSError: it cannot be written.
    """
    metrics = _json(folder.evaluation / "metrics.json")
    sections = [
        page_parts.section("scores", "What it finds", _scores(metrics, folder)),
        page_parts.section("pictures", "Detections beside the annotation", _pictures(folder)),
        page_parts.section("use", "How to use it", _usage(folder)),
        page_parts.section("check", "Before training", _check(folder)),
        page_parts.section("course", "The training", _course(folder)),
        page_parts.section("exports", "Exports", _exports(folder)),
    ]
    name = folder.path.absolute().name
    header = (
        f"<h1>{markup(name, 120)}</h1><p class=quiet>a detector of "
        f"{markup(', '.join(metrics.get('ap_per_class', {})), 300)}, made of "
        f"{markup(config.input, 300)}</p>"
    )
    text = page_parts.document(
        f"{name}: a model", header, sections, "Made by <code>ssd-tfrecord fit</code>."
    )
    write_bytes(folder.path / FILE_NAME, text.encode("utf-8", "backslashreplace"))


def closing_lines(folder: FitFolder, seconds: float) -> list[str]:
    """The last lines for the terminal.

    Args:
        folder: where everything is.
        seconds: since the start of this call.
    """
    metrics = _json(folder.evaluation / "metrics.json")
    return [
        "",
        f"{folder.path}: AP50 {_number(metrics, 'coco_ap50')}, AP {_number(metrics, 'coco_ap')} "
        f"on the {metrics.get('num_images', 0):,} images of {folder.evaluated}, after "
        f"{seconds / 60:.0f} min",
        f"look at it: {folder.path / FILE_NAME}",
        f"use it: {_detect_command(folder)}",
        f"go on by hand: {folder.path / 'recipe.flags'} has the choices, and the command",
    ]


def _number(metrics: dict[str, Any], name: str) -> str:
    return page_parts.number(metrics.get(name))


def _scores(metrics: dict[str, Any], folder: FitFolder) -> str:
    tiles = page_parts.tiles(
        (title, _number(metrics, name))
        for title, name in (
            ("AP at IoU 0.50", "coco_ap50"),
            ("AP at IoU 0.50:0.95", "coco_ap"),
            ("VOC2007 mAP", "voc07_map"),
        )
    )
    chosen = (
        " The best checkpoint was chosen by these images, so the scores are a little too high."
        if folder.watched == folder.evaluated
        else " They were not seen before the end."
    )
    report = folder.evaluation.relative_to(folder.path) / "report.html"
    return (
        f"{tiles}<p>On the {metrics.get('num_images', 0):,} images of {folder.evaluated}.{chosen} "
        "What costs most, the worst images, the best thresholds: "
        f"<a href='{html.escape(str(report))}'>the report</a>.</p>"
    )


def _pictures(folder: FitFolder) -> str:
    sheet = folder.evaluation / "pictures" / "contact_sheet.jpg"
    return _picture("sheet", sheet, "Left: detections; right: the annotation")


def _course(folder: FitFolder) -> str:
    words = ["ssd-tfrecord", *folder.training_words()]
    return (
        _picture("curves", folder.run / "curves.png", "Losses, rate and scores by step")
        + f"<p>The recipe is <code>recipe.flags</code>, and the command:</p>{_code([words])}"
        + f"<p>More: <code>tensorboard --logdir {html.escape(str(folder.run))}</code></p>"
    )


def _picture(name: str, path: pathlib.Path, caption: str) -> str:
    try:
        with Image.open(path) as image:
            if image.width * image.height > _MAX_PIXELS:
                return ""
            shown = image.convert("RGB")
    except OSError:
        return f"<p>{html.escape(path.name)} is missing.</p>"
    content = jpeg(shown, _MAX_PICTURE_BYTES)
    return page_parts.picture(name, content, caption, size=shown.size, caption=html.escape(caption))


def _check(folder: FitFolder) -> str:
    lines = [str(line) for line in _json(folder.path / "check.json").get("lines", [])]
    return f"<pre style='white-space:pre-wrap'>{html.escape(chr(10).join(lines))}</pre>"


def _exports(folder: FitFolder) -> str:
    files = _json(folder.exports / "parity.json").get("files", {})
    if not files:
        return "<p>None were asked for.</p>"
    rows = [
        (
            f"<td>{markup(str(name))}</td>",
            page_parts.number_cell(entry.get("bytes"), f"{entry.get('bytes', 0) / 1e6:.1f} MB"),
            page_parts.number_cell(entry.get("latency_ms")),
        )
        for name, entry in files.items()
    ]
    return page_parts.table((" file", "size", "ms an image"), rows)


def _usage(folder: FitFolder) -> str:
    python = (
        "import ssd_tfrecord as ssd\n"
        f"detector = ssd.Detector.load({str(folder.run)!r})\n"
        "for found in detector.detect(['photo.jpg']):\n"
        "    print(found.labels, found.scores, found.boxes)"
    )
    detect = [shlex.split(_detect_command(folder))]
    return f"{_code(detect)}<pre style='white-space:pre-wrap'>{html.escape(python)}</pre>"


def _detect_command(folder: FitFolder) -> str:
    words = [f"--run_dir={folder.run}", "--images=photos/*.jpg", f"--output_dir={folder.path}/out"]
    return shlex.join(["ssd-tfrecord", "detect", *words, "--score_threshold=best"])


def _code(commands: Sequence[Sequence[str]]) -> str:
    lines = "\n".join(shlex.join(words) for words in commands)
    return f"<pre style='white-space:pre-wrap'>{html.escape(lines)}</pre>"


def _json(path: pathlib.Path) -> dict[str, Any]:
    """What a file of ours holds; nothing if it cannot be read."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
