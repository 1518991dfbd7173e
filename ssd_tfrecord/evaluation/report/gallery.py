"""The images that an evaluation shows: the worst ones, and where annotations may be wrong."""

import itertools
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from ssd_tfrecord.evaluation.analysis.answers import Doubt
from ssd_tfrecord.evaluation.evaluated_set import EvaluatedSet
from ssd_tfrecord.evaluation.report import picture_bytes
from ssd_tfrecord.evaluation.report.doubt_list import classes_of, kinds_of
from ssd_tfrecord.evaluation.report.marked_pictures import (
    FALSE,
    MISSED,
    PAPER,
    TRUE,
    Mark,
    captioned_sheet,
    draw_marks,
    enlarged,
    placeholder,
)
from ssd_tfrecord.evaluation.report.outside_text import visible
from ssd_tfrecord.runs.run_files import write_bytes

LEGEND = (("right", TRUE), ("false", FALSE), ("missed (dashed)", MISSED))
WORST_FILE = "worst_images.jpg"
# (width, height) of a picture, and how many stand in a row of a sheet.
_SCENE, _SCENES_IN_ROW = (720, 480), 2
_PANEL, _PANELS_IN_ROW = (560, 340), 3
# Doubts of a kind that are drawn, the first ones.
MAX_DOUBTS = 24
# A box whose longer side is below this share of the image is shown again, enlarged.
_SMALL = 0.25
# A sheet is larger than a picture of a page, and may be.
_MAX_SHEET_BYTES = 20_000_000


@dataclass
class Gallery:
    """What is drawn: [(image, picture)] of the worst ones, and {kind: [(doubt, picture)]}."""

    worst: list[tuple[int, Image.Image]] = field(default_factory=list)
    doubts: dict[str, list[tuple[Doubt, Image.Image]]] = field(default_factory=dict)


def draw_gallery(evaluated: EvaluatedSet, num_worst: int) -> Gallery:
    """Draws the worst images, and the first doubts of each kind; reads each image once.

    Args:
        evaluated: the set; without ``read_images``, the gallery is empty.
        num_worst: number of worst images, at most; 0: no doubts, either.
    """
    if evaluated.read_images is None or not num_worst:
        return Gallery()
    worst = [int(image) for image in evaluated.answers.worst.images[:num_worst]]
    kinds = kinds_of(evaluated.answers.doubts)
    doubts = [doubt for items in kinds.values() for doubt in items[:MAX_DOUBTS]]
    scenes: dict[int, Image.Image] = {}
    panels: dict[int, Image.Image] = {}
    wanted = sorted({*worst, *(doubt.image for doubt in doubts)})
    for image, pixels in zip(wanted, evaluated.read_images(wanted)):
        if image in worst:
            scenes[image] = draw_scene(pixels, scene_marks(evaluated, image))
        for number, doubt in enumerate(doubts):
            if doubt.image == image:
                panels[number] = _draw_doubt(pixels, doubt_marks(doubt, evaluated))
    gallery = Gallery([(image, scenes[image]) for image in worst if image in scenes])
    for number in sorted(panels):
        item = (doubts[number], panels[number])
        gallery.doubts.setdefault(doubts[number].kind, []).append(item)
    return gallery


def write_sheets(
    folder: pathlib.Path, evaluated: EvaluatedSet, gallery: Gallery
) -> list[pathlib.Path]:
    """Writes worst_images.jpg and suspects-KIND.png; removes those of an earlier call.

    Args:
        folder: must exist.
        evaluated: the set.
        gallery: of it.

    Returns:
        The paths of the sheets that there are.
    """
    for path in itertools.chain([folder / WORST_FILE], folder.glob("suspects-*.png")):
        path.unlink(missing_ok=True)
    paths = []
    if gallery.worst:
        scenes = [
            (picture, [evaluated.scored.source_ids[image], tally(evaluated, number)])
            for number, (image, picture) in enumerate(gallery.worst)
        ]
        sheet = captioned_sheet(scenes, columns=_SCENES_IN_ROW, cell=_SCENE, heading=LEGEND)
        paths.append(folder / WORST_FILE)
        write_bytes(paths[-1], picture_bytes.jpeg(sheet, _MAX_SHEET_BYTES))
    for kind, items in gallery.doubts.items():
        panels = [(picture, doubt_caption(doubt, evaluated)) for doubt, picture in items]
        sheet = captioned_sheet(panels, columns=_PANELS_IN_ROW, cell=_PANEL)
        paths.append(folder / f"suspects-{kind}.png")
        write_bytes(paths[-1], picture_bytes.png(sheet))
    return paths


def tally(evaluated: EvaluatedSet, number: int) -> str:
    """What is wrong in the worst image ``number``, counted from 0."""
    worst = evaluated.answers.worst
    missed, false, lost = worst.missed[number], worst.false[number], worst.ap_lost[number]
    return f"{missed} missed, {false} false; costs {lost:.4f} AP"


def doubt_caption(doubt: Doubt, evaluated: EvaluatedSet) -> list[str]:
    """Where a doubt is, and why."""
    name, other = classes_of(doubt, evaluated)
    what = f"{name}, detected as {other}" if other else name
    return [f"{evaluated.scored.source_ids[doubt.image]}: {what}", doubt.explanation]


def scene_marks(evaluated: EvaluatedSet, image: int) -> list[Mark]:
    """What is right, false and missed in one image, at the best threshold of each class."""
    scored, answers = evaluated.scored, evaluated.answers
    names = [visible(name, 24) for name in scored.class_names]
    marks = []
    first, last = np.searchsorted(scored.objects.image, [image, image + 1])
    for i in range(first, last):
        if answers.missed[i]:
            name = names[scored.objects.labels[i] - 1]
            marks.append(Mark(scored.objects.boxes[i], MISSED, name, dashed=True))
    first, last = np.searchsorted(scored.found.image, [image, image + 1])
    for i in range(first, last):
        if answers.true[i] or answers.false[i]:
            color = TRUE if answers.true[i] else FALSE
            tag = f"{names[scored.found.labels[i] - 1]} {scored.found.scores[i]:.2f}"
            marks.append(Mark(scored.found.boxes[i], color, tag))
    # What is wrong lies above what is right, which needs no name.
    right = [Mark(mark.box, mark.color, "") for mark in marks if mark.color == TRUE]
    return [*right, *(mark for mark in marks if mark.color != TRUE)]


def doubt_marks(doubt: Doubt, evaluated: EvaluatedSet) -> list[Mark]:
    """The object of a doubt, dashed, and its detection."""
    scored, marks = evaluated.scored, []
    names = [visible(name, 24) for name in scored.class_names]
    if doubt.object >= 0:
        name = names[scored.objects.labels[doubt.object] - 1]
        marks.append(Mark(scored.objects.boxes[doubt.object], MISSED, name, dashed=True))
    if doubt.found >= 0:
        tag = (
            f"{names[scored.found.labels[doubt.found] - 1]} {scored.found.scores[doubt.found]:.2f}"
        )
        marks.append(Mark(scored.found.boxes[doubt.found], FALSE, tag))
    return marks


def draw_scene(image: Image.Image | None, marks: Sequence[Mark]) -> Image.Image:
    """An image with its marks, in the size of a sheet's pictures; a placeholder for None."""
    return placeholder(_SCENE) if image is None else draw_marks(image, marks, _SCENE)


def _draw_doubt(image: Image.Image | None, marks: Sequence[Mark]) -> Image.Image:
    """The image of a doubt with its boxes, and beside it the place enlarged if that is small."""
    if image is None:
        return placeholder(_PANEL)
    gap, pictures = 4, [(image, marks)]
    if marks:
        boxes = np.stack([mark.box for mark in marks])
        box = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
        if ((box[2:] - box[:2]) / [image.height, image.width]).max() < _SMALL:
            pictures.append(enlarged(image, marks, box))
    width = (_PANEL[0] - gap * (len(pictures) - 1)) // len(pictures)
    parts = [draw_marks(one, its_marks, (width, _PANEL[1])) for one, its_marks in pictures]
    # No larger than they need: what is around them would be dark on a light page.
    size = (sum(part.width + gap for part in parts) - gap, max(part.height for part in parts))
    panel, x = Image.new("RGB", size, PAPER), 0
    for part in parts:
        panel.paste(part, (x, (size[1] - part.height) // 2))
        x += part.width + gap
    return panel
