"""The top of a page: how good, at which threshold, what costs most, and the worst images."""

import re

from ssd_tfrecord.evaluation.evaluated_set import EvaluatedSet
from ssd_tfrecord.evaluation.report.class_rows import class_rows
from ssd_tfrecord.evaluation.report.gallery import Gallery, tally
from ssd_tfrecord.evaluation.report.outside_text import markup
from ssd_tfrecord.evaluation.report.pages import page_parts
from ssd_tfrecord.evaluation.report.pages.page_parts import count, number, percent, plural
from ssd_tfrecord.evaluation.report.picture_bytes import jpeg
from ssd_tfrecord.evaluation.report.verdict import ERROR_TITLES, costliest_errors

# Pictures on the page, and bytes of each: see ``page``.
_MAX_WORST, _WORST_BYTES = 12, 110_000


def answer(evaluated: EvaluatedSet, gallery: Gallery) -> str:
    """AP with its interval, the best threshold, the costliest errors and the worst images."""
    metrics, best = evaluated.metrics, evaluated.answers.curves.overall_best
    numbers = [
        ("AP .5:.95", number(metrics.get("coco_ap"))),
        ("AP .75", number(metrics.get("coco_ap75"))),
        ("precision", number(best.precision)),
        ("recall", number(best.recall)),
        ("F1", number(best.f1)),
    ]
    ap = (
        f"<div><p class=big>{number(metrics.get('voc12_map'))}</p>"
        f"<p>AP at IoU 0.5{_mean_of(evaluated)}</p>{_interval(evaluated)}</div>"
    )
    return (
        f"<section id=answer aria-label=answer><div class=answer>{ap}"
        f"<div>{page_parts.tiles(numbers)}{_threshold_text(evaluated)}</div></div>"
        f"{_costliest(evaluated)}{_worst(evaluated, gallery)}</section>"
    )


def _mean_of(evaluated: EvaluatedSet) -> str:
    counted = sum(row.metrics["voc12"] is not None for row in class_rows(evaluated))
    return f", mean of {counted} classes" if counted > 1 else ""


def _interval(evaluated: EvaluatedSet) -> str:
    value = evaluated.metrics.get("voc12_map")
    ends = evaluated.answers.intervals.get("voc12_map")
    if value is None or ends is None:
        return ""
    low, high = ends
    return (
        f"<div class=range aria-hidden=true><i style='left:{100 * low:.1f}%;"
        f"width:{100 * (high - low):.1f}%'></i><b style='left:{100 * value:.1f}%'></b></div>"
        "<div class=ends aria-hidden=true><span>0</span><span>1</span></div>"
        f"<p class=note>95 % interval {number(low)} to {number(high)}, from drawing the images "
        "anew</p>"
    )


def _threshold_text(evaluated: EvaluatedSet) -> str:
    best = evaluated.answers.curves.overall_best
    found, objects = len(evaluated.scored.found.labels), len(evaluated.scored.objects.labels)
    if not _num_positives(evaluated):
        text = (
            "No object counts here, so there is nothing to measure by: the set has "
            f"{plural(objects, 'object')}, {'all' if objects else 'none'} difficult or crowds."
            if objects
            else "No object is annotated in this set, so there is nothing to measure by."
        )
        return f"<p>{text}</p>"
    if not found:
        return "<p>There is no detection at all: nothing was found, at any score.</p>"
    if best.threshold is None or best.precision is None or best.recall is None:
        return "<p>No threshold is best: no detection is right.</p>"
    return (
        f"<p>The best score threshold is <strong>{number(best.threshold)}</strong>: "
        f"{percent(best.precision)} of the detections above it are right, and they find "
        f"{percent(best.recall)} of the objects. Each class has its own in the table; "
        "<code>detect --score_threshold=best</code> uses them.</p>"
    )


def _num_positives(evaluated: EvaluatedSet) -> int:
    return int((~evaluated.scored.objects.ignored).sum())


def _costliest(evaluated: EvaluatedSet) -> str:
    errors = costliest_errors(evaluated)
    if not errors:
        return ""
    items = []
    for error in errors:
        where = " and ".join(f"{markup(name, 40)} ({number(cost)})" for name, cost in error.where)
        items.append(
            f"<li><h3>{ERROR_TITLES[error.kind].capitalize()} "
            f"<span class=cost>{number(error.cost)}</span></h3>"
            f"<div class=meter><i style='width:{100 * error.cost / errors[0].cost:.0f}%'></i></div>"
            f"<p>These are {error.meaning}{f'; most in {where}' if where else ''}.</p>"
            f"<p class=quiet>{_with_code(error.advice)}</p></li>"
        )
    return (
        "<h2>What costs most</h2><p class=note>The AP at IoU 0.5 that mending all errors of that "
        f"kind would gain.</p><ol class=errors>{''.join(items)}</ol>"
    )


def _with_code(text: str) -> str:
    """Our own text, with flags and programs set as code."""
    return re.sub(r"(inspect )?--\w+(=\w+)?|class_swap|unannotated", r"<code>\g<0></code>", text)


def _worst(evaluated: EvaluatedSet, gallery: Gallery) -> str:
    if not len(evaluated.answers.worst.images):
        return ""
    head = "<h2>Worst images</h2>"
    if not gallery.worst:
        return f"{head}<p class=note>No pictures were drawn.</p>{_worst_table(evaluated)}"
    figures = []
    for place, (image, drawn) in enumerate(gallery.worst[:_MAX_WORST]):
        source_id, what = evaluated.scored.source_ids[image], tally(evaluated, place)
        figures.append(
            page_parts.picture(
                f"worst-{place}",
                jpeg(drawn, _WORST_BYTES),
                f"{source_id}: {what}",
                size=drawn.size,
                caption=f"<strong>{markup(source_id, 120)}</strong><br>{what}",
            )
        )
    return f"{head}{page_parts.box_key()}<div class=pictures>{''.join(figures)}</div>"


def _worst_table(evaluated: EvaluatedSet) -> str:
    worst = evaluated.answers.worst
    rows = [
        (
            markup(evaluated.scored.source_ids[image], 120),
            count(int(worst.missed[place])),
            count(int(worst.false[place])),
            number(worst.ap_lost[place], 4),
        )
        for place, image in enumerate(worst.images[:_MAX_WORST])
    ]
    return page_parts.table(("image", "missed", "false", "AP lost"), rows, kind="")
