"""The sections of a page below its answer: classes, curves, confusion, errors, scores, doubts."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ssd_tfrecord.evaluation.analysis.answers import ERROR_KINDS, Calibration
from ssd_tfrecord.evaluation.evaluated_set import EvaluatedSet
from ssd_tfrecord.evaluation.report.class_rows import ClassRow, class_rows, or_none
from ssd_tfrecord.evaluation.report.gallery import Gallery, doubt_caption
from ssd_tfrecord.evaluation.report.outside_text import markup, visible
from ssd_tfrecord.evaluation.report.pages import page_parts, svg_charts
from ssd_tfrecord.evaluation.report.pages.page_parts import count, number, percent, plural, section
from ssd_tfrecord.evaluation.report.pages.svg_charts import Line
from ssd_tfrecord.evaluation.report.picture_bytes import jpeg
from ssd_tfrecord.evaluation.report.verdict import ERROR_MEANINGS, ERROR_TITLES, swaps

# Kinds of doubts that are drawn (there are three), pictures of each, and their bytes: see ``page``.
_MAX_KINDS, _MAX_DOUBTS, _DOUBT_BYTES = 4, 6, 60_000
# With more classes: curves without colours of their own, a matrix without numbers, none at all; and
# curves of only the first.
_MAX_COLORS, _MAX_NUMBERS, _MAX_MATRIX, _MAX_CURVES = 6, 20, 120, 200

# Columns of the table of classes: metric of a class, metric of all, title.
_METRIC_COLUMNS = (
    ("coco", "coco_ap", "AP .5:.95"),
    ("coco75", "coco_ap75", "AP .75"),
    ("coco_small", "coco_ap_small", "small"),
    ("coco_medium", "coco_ap_medium", "medium"),
    ("coco_large", "coco_ap_large", "large"),
    ("ar100", "coco_ar100", "AR"),
)
_DOUBT_TITLES = {
    "unannotated": "Sure detections where nothing is annotated",
    "never_found": "Objects that nothing finds",
    "class_swap": "Sure detections of another class",
}


def classes(evaluated: EvaluatedSet) -> str:
    """The table of classes."""
    rows = class_rows(evaluated)
    columns = [
        item for item in _METRIC_COLUMNS if any(row.metrics[item[0]] is not None for row in rows)
    ]
    titles = ["class", "objects", "detections", "AP .5", *(title for *_, title in columns)]
    titles += ["threshold", "precision", "recall", "F1"]
    body = [_class_cells(row, [key for key, *_ in columns]) for row in rows]
    best, metrics = evaluated.answers.curves.overall_best, evaluated.metrics
    foot = [
        "all",
        count(len(evaluated.scored.objects.labels)),
        count(len(evaluated.scored.found.labels)),
        f"<td style='text-align:right'>{number(metrics.get('voc12_map'))}</td>",
        *(number(metrics.get(key)) for _, key, _ in columns),
        *map(number, (best.threshold, best.precision, best.recall, best.f1)),
    ]
    note = (
        "<p class=note>Precision, recall and F1 are those at each class's best threshold. A dash: "
        "no object counts. Small is below 32² pixels, large above 96².</p>"
    )
    content = note + page_parts.table(titles, body, foot=foot, sorts=len(rows) > 1)
    return section("classes", "Classes", content)


def _class_cells(row: ClassRow, keys: Sequence[str]) -> list[str]:
    best = row.best
    ap = row.metrics["voc12"]
    return [
        markup(row.name, 60),
        page_parts.number_cell(row.num_objects, count(row.num_objects)),
        page_parts.number_cell(row.num_detections, count(row.num_detections)),
        page_parts.bar_cell(ap, number(ap)),
        *(page_parts.number_cell(row.metrics[key]) for key in keys),
        *map(page_parts.number_cell, (best.threshold, best.precision, best.recall, best.f1)),
    ]


def curves(evaluated: EvaluatedSet) -> str:
    """Curves of precision, recall and F1."""
    found, names = evaluated.answers.curves, evaluated.scored.class_names
    known = np.flatnonzero(~np.isnan(found.precision_at_recall).all(axis=1))
    if not len(known):
        return section("curves", "Curves", "<p class=note>No object counts: no curves.</p>")
    colored = len(known) <= _MAX_COLORS
    lines = [
        Line(
            visible(names[i], 40),
            found.precision_at_recall[i],
            "" if colored else "faint",
            f"var(--c{place + 1})" if colored else "",
        )
        for place, i in enumerate(known[:_MAX_CURVES])
    ]
    mean = Line("mean", found.precision_at_recall[known].mean(axis=0), "all", "var(--ink)")
    legend = [(line.color, markup(line.name)) for line in lines] if colored else []
    if not colored:
        legend = [("var(--line)", f"each of {len(known)} classes (point at one for its name)")]
    legend.insert(0, ("var(--ink)", "mean"))
    left = svg_charts.curves_svg(found.recalls, [*lines, mean], ("recall", "precision"))
    overall = [
        Line("precision", found.overall_precision, color="var(--c2)"),
        Line("recall", found.overall_recall, color="var(--c3)"),
        Line("F1", found.overall_f1, "all", "var(--accent)"),
    ]
    right = svg_charts.curves_svg(
        found.thresholds,
        overall,
        ("score threshold", "all detections"),
        rule=found.overall_best.threshold,
    )
    right_key = [("var(--accent)", "F1"), ("var(--c2)", "precision"), ("var(--c3)", "recall")]
    content = (
        "<div class=charts>"
        f"<figure><h3>Precision and recall</h3>{left}{page_parts.key(legend)}</figure>"
        f"<figure><h3>By score threshold</h3>{right}{page_parts.key(right_key)}</figure></div>"
    )
    return section("curves", "Curves", content)


def confusion(evaluated: EvaluatedSet) -> str:
    """The confusion matrix, and what is mixed up most."""
    answer, names = evaluated.answers.confusion, evaluated.scored.class_names
    note = (
        f"<p class=note>Detections with a score of at least {answer.min_score:.3g}, on objects "
        f"with an IoU of at least {answer.min_iou:.3g}. Columns: what is annotated; rows: what is "
        "detected. The stronger the colour, the greater the share of the column. Last column: "
        "detections on nothing; last row: missed objects.</p>"
    )
    matrix = answer.matrix
    shares = matrix / np.maximum(matrix.sum(axis=0), 1)
    shown = [*(visible(name, 24) for name in names), "background"]
    if len(names) <= _MAX_NUMBERS:
        drawn = _matrix_table(matrix, shares, shown)
    elif len(names) <= _MAX_MATRIX:
        drawn = f"<div class=scroll tabindex=0>{svg_charts.matrix_svg(matrix, shares, shown)}</div>"
    else:
        drawn = "<p class=note>confusion_matrix.json has all of it.</p>"
    rows = [
        (markup(annotated), f"<td class=text>{markup(found)}</td>", count(times), percent(share))
        for annotated, found, times, share in swaps(evaluated)
    ]
    titles = ("annotated", " taken for", "times", "of its objects")
    pairs = (
        f"<h3>Most frequent mix-ups</h3>{page_parts.table(titles, rows, kind='')}" if rows else ""
    )
    # Side by side as long as the matrix is small.
    kind = "charts" if len(names) <= 4 else "stack"
    content = f"{note}<div class={kind}><div>{drawn}</div><div>{pairs}</div></div>"
    return section("confusion", "Confusion", content)


def _matrix_table(matrix: np.ndarray, shares: np.ndarray, names: Sequence[str]) -> str:
    upright = len(names) > 8
    heads = [markup(name, 24) for name in names]
    rows = []
    for row, name in enumerate(heads):
        cells = [
            f"<td{' class=deep' if shares[row, column] > 0.5 else ''} "
            f"style='--v:{shares[row, column]:.2f}'>{count(int(value)) if value else ''}</td>"
            for column, value in enumerate(matrix[row])
        ]
        rows.append([name, *cells])
    titles = [f"<span class=upright>{head}</span>" if upright else head for head in heads]
    return page_parts.table(
        ["detected ↓ annotated →", *titles],
        rows,
        kind=f"matrix{' tight' if len(names) > 12 else ''}",
    )


def errors(evaluated: EvaluatedSet) -> str:
    """What each kind of error costs."""
    split = evaluated.answers.errors
    if np.isnan(split.ap):
        return section("errors", "Errors", "<p class=note>No object counts: no errors.</p>")
    most = max([1e-9, *(float(np.nan_to_num(split.costs[kind])) for kind in ERROR_KINDS)])
    rows = []
    for kind in ERROR_KINDS:
        cost = or_none(split.costs[kind])
        meaning = ERROR_MEANINGS[kind].format(min_iou=split.min_iou)
        share = None if cost is None else cost / most
        rows.append(
            [
                ERROR_TITLES[kind],
                page_parts.bar_cell(cost, number(cost), share),
                count(int(split.counts[kind])),
                f"<td class='text long'>{meaning}</td>",
            ]
        )
    text = (
        f"<p class=note>By TIDE's definitions, of AP {number(or_none(split.ap))} at IoU "
        f"{split.min_iou:g}. A cost is the AP that mending this kind alone would gain; costs do "
        "not add up. Counts are of detections at any score.</p>"
    )
    sums = (
        f"<p style='margin-top:14px'>Mending all that is false would gain "
        f"{number(or_none(split.false_positive_cost))}, all that is missed "
        f"{number(or_none(split.false_negative_cost))}.</p>"
    )
    table = page_parts.table(("error", "cost", "number", " what it is"), rows)
    content = text + table + sums + _anchorless(evaluated)
    return section("errors", "Errors", content)


def _anchorless(evaluated: EvaluatedSet) -> str:
    """How many objects have no anchor, and where most of them are."""
    rows = [row for row in class_rows(evaluated) if row.num_anchorless]
    if not rows:
        return ""
    total = sum(row.num_anchorless or 0 for row in rows)
    most = max(rows, key=lambda row: row.num_anchorless or 0)
    share = total / len(evaluated.scored.objects.labels)
    return (
        f"<p>{plural(total, 'object')} ({percent(share)}) without an anchor of an IoU of 0.5, "
        f"{count(most.num_anchorless or 0)} of them {markup(most.name, 40)}. More "
        "<code>--aspect_ratios</code> or other <code>--anchor_scales</code> give them one.</p>"
    )


def calibration(evaluated: EvaluatedSet) -> str:
    """Whether scores mean what they say."""
    scores = evaluated.answers.calibration
    if evaluated.scored.objects.ignored.all() or not scores.counts.sum():
        content = "<p class=note>There are no detections, or no objects to compare them with.</p>"
    else:
        content = (
            f"<p>Expected calibration error <strong>{number(or_none(scores.error))}</strong>. "
            f"{_calibration_text(scores)}</p>"
            "<div class=charts><figure>"
            f"{svg_charts.calibration_svg(scores)}<figcaption>Of the detections with a score of "
            f"at least {scores.min_score:.2g}: the share that is right at IoU "
            f"{scores.min_iou:g}. On the dotted line, a score of 0.8 means that 8 of 10 are "
            "right.</figcaption></figure></div>"
        )
    return section("calibration", "Calibration", content)


def _calibration_text(calibration: Calibration) -> str:
    known = calibration.counts > 0
    gaps = (calibration.mean_score - calibration.precision)[known]
    gap = float((gaps * calibration.counts[known]).sum() / calibration.counts.sum())
    if abs(gap) < 0.02:
        return "On the whole, scores mean what they say."
    what = "more sure than they are right" if gap > 0 else "right more often than they are sure"
    return f"On the whole, detections are {what}: scores are off by {abs(gap):.2f}."


def doubts(evaluated: EvaluatedSet, gallery: Gallery) -> str:
    """Where annotations may be wrong."""
    counts: dict[str, int] = {}
    for doubt in evaluated.answers.doubts:
        counts[doubt.kind] = counts.get(doubt.kind, 0) + 1
    if not counts:
        content = "<p class=note>Nothing suggests that an annotation is wrong.</p>"
        return section("doubts", "Doubts", content)
    parts = [
        "<p class=note>Places where the annotation may be wrong, rather than the model; all of "
        "them are in <code>suspects.csv</code>.</p>"
    ]
    parts += _doubt_kinds(evaluated, gallery, counts)
    return section("doubts", "Doubts", "".join(parts))


def _doubt_kinds(
    evaluated: EvaluatedSet, gallery: Gallery, counts: Mapping[str, int]
) -> Iterator[str]:
    for number_of_kind, kind in enumerate(list(counts)[:_MAX_KINDS]):
        title = _DOUBT_TITLES.get(kind, markup(kind))
        yield f"<h3>{title} <span class=quiet>{count(counts[kind])}</span></h3>"
        figures = []
        for place, (doubt, drawn) in enumerate(gallery.doubts.get(kind, [])[:_MAX_DOUBTS]):
            where, why = doubt_caption(doubt, evaluated)
            figures.append(
                page_parts.picture(
                    f"doubt-{number_of_kind}-{place}",
                    jpeg(drawn, _DOUBT_BYTES),
                    where,
                    size=drawn.size,
                    caption=f"<strong>{markup(where, 160)}</strong><br>{markup(why, 300)}",
                )
            )
        yield f"<div class=pictures>{''.join(figures)}</div>" if figures else ""
