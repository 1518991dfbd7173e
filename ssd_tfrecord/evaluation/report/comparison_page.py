"""compare.html: two evaluations on the same images, with what differs and how surely."""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from ssd_tfrecord.evaluation.analysis.answers import ERROR_KINDS
from ssd_tfrecord.evaluation.evaluated_set import EvaluatedSet
from ssd_tfrecord.evaluation.report.class_rows import class_rows, or_none
from ssd_tfrecord.evaluation.report.gallery import draw_scene, scene_marks
from ssd_tfrecord.evaluation.report.outside_text import markup
from ssd_tfrecord.evaluation.report.pages import page_parts
from ssd_tfrecord.evaluation.report.pages.page_parts import count, number, plural, section, signed
from ssd_tfrecord.evaluation.report.picture_bytes import jpeg
from ssd_tfrecord.evaluation.report.verdict import ERROR_MEANINGS, ERROR_TITLES
from ssd_tfrecord.runs.run_files import write_bytes

# {metric: (difference, low, high)}
Differences: TypeAlias = Mapping[str, tuple[float, float, float]]

PAGE_FILE = "compare.html"
# The first one that is there is the answer.
_TITLES = {
    "voc12_map": "AP at IoU 0.5",
    "voc07_map": "AP at IoU 0.5, 11 points",
    "voc12_map75": "AP at IoU 0.75",
    "coco_ap": "COCO AP",
    "coco_ap50": "COCO AP .5",
    "coco_ap75": "COCO AP .75",
    "coco_ap_small": "COCO AP, small",
    "coco_ap_medium": "COCO AP, medium",
    "coco_ap_large": "COCO AP, large",
    "coco_ar100": "COCO AR",
}
# Image pairs for each of the two, and bytes of a picture: 3 MB as text.
_MAX_IMAGES, _PICTURE_BYTES = 6, 90_000


def write(
    folder: str | os.PathLike[str], a: EvaluatedSet, b: EvaluatedSet, differences: Differences
) -> list[str]:
    """Writes compare.html.

    Args:
        folder: created if it does not exist; an earlier file is replaced.
        a: one evaluation.
        b: another, of the same images, in any order.
        differences: of metrics, B less A, with the ends of their paired 95 % intervals; any metric
            may be missing.

    Returns:
        Lines for the terminal.

    Raises:
        ValueError: the two are not of the same images.
        OSError: the file cannot be written.
    """
    if sorted(a.scored.source_ids) != sorted(b.scored.source_ids):
        raise ValueError(
            f"sets of {a.scored.num_images} and {b.scored.num_images} images: must be the same "
            "images"
        )
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / PAGE_FILE, render(a, b, differences).encode())
    return [f"comparison: {folder / PAGE_FILE}"]


def render(a: EvaluatedSet, b: EvaluatedSet, differences: Differences) -> str:
    """The page as HTML; see ``write``."""
    sections = [
        f"<section id=answer aria-label=answer>{_answer(a, b, differences)}</section>",
        section("classes", "Classes", _classes(a, b)),
        section("errors", "What errors cost", _errors(a, b)),
        section("images", "Images that differ most", "".join(_images(a, b))),
        section("facts", "What was measured", _facts(a, b)),
    ]
    header = (
        f"<h1>A and B on {markup(a.name, 120)}</h1>{_which(a, b)}"
        "<nav><a href='#classes'>Classes</a> <a href='#errors'>Errors</a> "
        "<a href='#images'>Images</a> "
        "<a href='#facts'>What was measured</a></nav>"
    )
    footer = "Differences are B less A: above 0, B has more."
    return page_parts.document(f"A and B on {a.name}", header, sections, footer)


def _which(a: EvaluatedSet, b: EvaluatedSet) -> str:
    """What A and B are: the first fact in which they differ."""
    differing = [
        title for title in [*a.facts, *b.facts] if a.facts.get(title) != b.facts.get(title)
    ]
    if not differing:
        return ""
    title = differing[0]
    texts = [markup(one.facts.get(title, page_parts.NONE), 160) for one in (a, b)]
    return f"<p class=quiet>A: {texts[0]}<br>B: {texts[1]}</p>"


def _answer(a: EvaluatedSet, b: EvaluatedSet, differences: Differences) -> str:
    numbers = [(key, a.metrics.get(key), b.metrics.get(key)) for key in _TITLES]
    best = [one.answers.curves.overall_best for one in (a, b)]
    rows = [
        [
            _TITLES[key],
            number(one),
            number(other),
            *_difference_cells(key, one, other, differences),
        ]
        for key, one, other in numbers
        if one is not None or other is not None or key in differences
    ]
    for title, name in (("precision", "precision"), ("recall", "recall"), ("F1", "f1")):
        one, other = (getattr(point, name) for point in best)
        rows.append(
            [f"{title} at the best threshold", number(one), number(other), *_less(one, other), ""]
        )
    rows.append(["best threshold", *(number(p.threshold) for p in best), "", ""])
    titles = ("", "A", "B", "B less A", " 95 % interval of the difference")
    return _sentence(differences) + page_parts.table(titles, rows)


def _sentence(differences: Differences) -> str:
    key = next((key for key in _TITLES if key in differences), None)
    if key is None:
        return ""
    value, low, high = differences[key]
    if low > 0 or high < 0:
        text = f"{'B' if value > 0 else 'A'} is better, by more than the choice of images explains"
    else:
        text = "these images do not tell which is better"
    return (
        f"<p class=big>{signed(value)}</p><p>{_TITLES[key]}, B less A, 95 % interval {signed(low)} "
        f"to {signed(high)}: {text}.</p>"
    )


def _difference_cells(
    key: str, one: float | None, other: float | None, differences: Differences
) -> list[str]:
    if key not in differences:
        return [*_less(one, other), ""]
    value, low, high = differences[key]
    ends = f"{signed(low)} to {signed(high)}"
    if low <= 0 <= high:
        return [signed(value), f"<td class=text>{ends} <span class=quiet>(holds 0)</span></td>"]
    return [_difference_cell(value), f"<td class=text>{ends}</td>"]


def _less(one: float | None, other: float | None) -> list[str]:
    return [_difference_cell(None if one is None or other is None else other - one)]


def _difference_cell(value: float | None, *, more_is_better: bool = True) -> str:
    text = signed(value)
    # What is shown as 0.000 is neither up nor down.
    kind = "" if text[:1] not in "+−" else "up" if (text[0] == "+") == more_is_better else "down"
    order = "-9" if value is None else f"{value:.6g}"
    return f"<td class='{kind}' data-v={order}>{text}</td>"


def _classes(a: EvaluatedSet, b: EvaluatedSet) -> str:
    others = {row.name: row for row in class_rows(b)}
    rows = []
    for row in class_rows(a):
        other = others.get(row.name)
        if other is None:
            continue
        ap, other_ap = row.metrics["voc12"], other.metrics["voc12"]
        rows.append(
            [
                markup(row.name, 60),
                page_parts.number_cell(row.num_objects, count(row.num_objects)),
                page_parts.bar_cell(ap, number(ap)),
                page_parts.bar_cell(other_ap, number(other_ap)),
                *_less(ap, other_ap),
                *map(page_parts.number_cell, (row.best.f1, other.best.f1)),
                *map(page_parts.number_cell, (row.best.threshold, other.best.threshold)),
            ]
        )
    titles = ["class", "objects", "AP .5 A", "AP .5 B", "B less A"]
    titles += ["F1 A", "F1 B", "threshold A", "threshold B"]
    note = "<p class=note>F1 at each one's own best threshold.</p>"
    return note + page_parts.table(titles, rows, sorts=len(rows) > 1)


def _errors(a: EvaluatedSet, b: EvaluatedSet) -> str:
    splits = [one.answers.errors for one in (a, b)]
    costs = {kind: [or_none(split.costs[kind]) for split in splits] for kind in ERROR_KINDS}
    most = max([1e-9, *(cost for pair in costs.values() for cost in pair if cost is not None)])
    rows = []
    for kind, (one, other) in costs.items():
        difference = None if one is None or other is None else other - one
        cells = [
            page_parts.bar_cell(cost, number(cost), None if cost is None else cost / most)
            for cost in (one, other)
        ]
        meaning = ERROR_MEANINGS[kind].format(min_iou=splits[0].min_iou)
        rows.append(
            [
                ERROR_TITLES[kind],
                *cells,
                _difference_cell(difference, more_is_better=False),
                f"<td class='text long'>{meaning}</td>",
            ]
        )
    note = "<p class=note>The AP at IoU 0.5 that mending each kind alone would gain.</p>"
    return note + page_parts.table(("error", "A", "B", "B less A", " what it is"), rows)


def _images(a: EvaluatedSet, b: EvaluatedSet) -> Iterator[str]:
    """Images on which one makes fewer mistakes than the other, with pictures of both."""
    places = {source_id: place for place, source_id in enumerate(b.scored.source_ids)}
    order = np.array([places[source_id] for source_id in a.scored.source_ids], np.int64)
    mistakes, others = _mistakes(a), _mistakes(b)[:, order]
    gain = (mistakes - others).sum(axis=0)
    for title, sign in (("Better by B", 1), ("Better by A", -1)):
        ranked = np.argsort(-sign * gain, kind="stable")[:_MAX_IMAGES]
        chosen = [int(image) for image in ranked if sign * gain[image] > 0]
        number_better = int((sign * gain > 0).sum())
        yield f"<h3>{title} <span class=quiet>{plural(number_better, 'image')}</span></h3>"
        yield from _pairs(a, b, chosen, order, name=f"image{sign % 3}")


def _mistakes(evaluated: EvaluatedSet) -> np.ndarray:
    """How many objects are missed and detections false, int64 [2, I]."""
    scored, answers = evaluated.scored, evaluated.answers
    missed = scored.objects.image[answers.missed]
    false = scored.found.image[answers.false]
    return np.stack([np.bincount(part, minlength=scored.num_images) for part in (missed, false)])


def _pairs(
    a: EvaluatedSet, b: EvaluatedSet, chosen: Sequence[int], order: np.ndarray, *, name: str
) -> Iterator[str]:
    """Each image twice, as A and as B have it; without pictures, what is wrong in them alone.

    Args:
        a: one evaluation.
        b: the other.
        chosen: images of A.
        order: int64 [I], the image of B for each of A.
        name: of the figures, unique on the page.
    """
    tallies = [_mistakes(a), _mistakes(b)[:, order]]
    # One after the other: they may be large.
    images = a.read_images(chosen) if a.read_images else [None] * len(chosen)
    if chosen and a.read_images:
        yield page_parts.box_key()
    for place, (image, pixels) in enumerate(zip(chosen, images)):
        texts = [
            f"{letter}: {tally[0, image]} missed, {tally[1, image]} false"
            for letter, tally in zip("AB", tallies)
        ]
        source_id = f"<strong>{markup(a.scored.source_ids[image], 120)}</strong>"
        if not a.read_images:
            yield f"<p>{source_id}<br>{'; '.join(texts)}</p>"
            continue
        yield f"<p>{source_id}</p><div class=pair>"
        for letter, text, one, its in zip("ab", texts, (a, b), (image, int(order[image]))):
            drawn = draw_scene(pixels, scene_marks(one, its))
            content = jpeg(drawn, _PICTURE_BYTES)
            figure = f"{name}-{place}{letter}"
            yield page_parts.picture(figure, content, text, size=drawn.size, caption=text)
        yield "</div>"


def _facts(a: EvaluatedSet, b: EvaluatedSet) -> str:
    rows = []
    for title in dict.fromkeys([*a.facts, *b.facts]):
        texts = [markup(one.facts.get(title, page_parts.NONE), 300) for one in (a, b)]
        if texts[0] != texts[1]:
            texts = [f"<strong>{text}</strong>" for text in texts]
        rows.append([markup(title), *(f"<td class='text long'>{text}</td>" for text in texts)])
    return page_parts.table(("", " A", " B"), rows)
