"""report.html: one page that opens with the answer, and needs no network.

Its pictures are at most 12 of 110 kB and 24 of 60, which is 3.7 MB as text; the rest is below 1 MB.
"""

from ssd_tfrecord.evaluation.evaluated_set import EvaluatedSet
from ssd_tfrecord.evaluation.report.gallery import Gallery
from ssd_tfrecord.evaluation.report.outside_text import markup
from ssd_tfrecord.evaluation.report.pages import page_answer, page_details, page_parts
from ssd_tfrecord.evaluation.report.pages.page_parts import NONE, count, plural, section

_READING = (
    "<p>A detection is right if it lies on an object of its class with an IoU (common area divided "
    "by joint area) of at least 0.5, and no surer detection has that object. "
    "<strong>Precision</strong> is the share of detections that are right, "
    "<strong>recall</strong> the share of objects that are found, <strong>F1</strong> their "
    "harmonic mean; all three depend on the score from which a detection counts.</p>"
    "<p><strong>AP</strong> is the area under the curve of precision over recall, for all "
    "thresholds at once, averaged over classes. AP .5:.95 is its mean over IoUs from 0.5 to 0.95, "
    "as COCO has it: it also asks how tight the boxes are. <strong>AR</strong> is the recall with "
    "100 detections an image, likewise averaged.</p>"
    "<p>The <strong>95 % interval</strong> comes from drawing the images anew, again and again "
    "(bootstrap). Two models on the same images are compared better by <code>evaluate "
    "--compare</code>, whose intervals are those of the difference.</p>"
    "<p>Difficult objects and crowds need not be found, and a detection on them is neither right "
    f"nor false. A dash ({NONE}) means that no object counts.</p>"
)


def render(evaluated: EvaluatedSet, gallery: Gallery) -> str:
    """The page as HTML, below 5 MB.

    Args:
        evaluated: the set.
        gallery: of it; its first pictures are shown.
    """
    sections = [
        page_answer.answer(evaluated, gallery),
        page_details.classes(evaluated),
        page_details.curves(evaluated),
        page_details.confusion(evaluated),
        page_details.errors(evaluated),
        page_details.calibration(evaluated),
        page_details.doubts(evaluated, gallery),
        section("facts", "What was measured", page_parts.facts(evaluated.facts.items())),
        section("reading", "How to read this", _READING),
    ]
    return page_parts.document(
        f"{evaluated.name}: evaluation",
        _header(evaluated),
        sections,
        "All numbers as files: <code>metrics.json</code>, <code>per_class.csv</code>, "
        "<code>curves.json</code>, <code>thresholds.json</code>, "
        "<code>confusion_matrix.json</code>, <code>errors.json</code>, "
        "<code>calibration.json</code>, <code>suspects.csv</code>.",
    )


def _header(evaluated: EvaluatedSet) -> str:
    scored, step = evaluated.scored, evaluated.metrics.get("step")
    parts = [
        plural(scored.num_images, "image"),
        plural(len(scored.objects.labels), "object"),
        plural(len(scored.found.labels), "detection"),
        f"{count(scored.num_classes)} class{'' if scored.num_classes == 1 else 'es'}",
    ]
    if step is not None:
        parts.append(f"step {count(int(step))}")
    links = " ".join(
        f"<a href='#{name}'>{title}</a>"
        for name, title in (
            *(("classes", "Classes"), ("curves", "Curves"), ("confusion", "Confusion")),
            *(("errors", "Errors"), ("calibration", "Calibration"), ("doubts", "Doubts")),
            *(("facts", "What was measured"), ("reading", "How to read this")),
        )
    )
    return (
        f"<h1>{markup(evaluated.name, 120)}</h1><p class=quiet>{' · '.join(parts)}</p>"
        f"<nav>{links}</nav>"
    )
