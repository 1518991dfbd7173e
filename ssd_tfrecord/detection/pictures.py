"""Boxes drawn on pictures: detections, beside the ground truth if there is one."""

import colorsys
import io
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ssd_tfrecord.detection.detections import Detections, file_names, image_names
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.runs.run_files import write_bytes, written_aside

# Evaluation keeps scores down to 0.01; a picture with all of them would be unreadable.
MIN_SCORE = 0.3
# Smaller pictures are enlarged so that names can be read.
_MIN_SIDE = 400
_SHEET, _SUFFIX = "contact_sheet", ".jpg"
# Comment in every JPEG that is written; by it the next evaluation knows which ones it may delete.
_MARK = b"ssd_tfrecord.evaluate"
# (width, height) of the cells of a sheet: for detections beside ground truth, and for one image.
_PAIR, ALONE = (640, 260), (480, 360)
_BACKGROUND = (24, 24, 27)
_CAPTION = (228, 228, 231)

# Pillow measures no text of several lines, and draws no lone surrogate.
_UNDRAWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_RGB = tuple[int, int, int]


def draw_detections(
    image: Image.Image, detections: Detections, class_names: Sequence[str], min_score: float = 0.0
) -> Image.Image:
    """A copy of an RGB image with boxes, class names and scores.

    Args:
        image: of the size of ``detections``; a small one is enlarged.
        detections: of the image.
        class_names: of the labels 1, 2, ….
        min_score: detections with a lower score are not drawn.
    """
    shown = detections.scores >= min_score
    tags = [
        f"{class_names[label - 1]} {score:.2f}"
        for label, score in zip(detections.labels[shown], detections.scores[shown])
    ]
    return _draw(image, detections.boxes[shown], detections.labels[shown], tags)


def draw_ground_truth(
    image: Image.Image, truth: GroundTruth, class_names: Sequence[str]
) -> Image.Image:
    """A copy of an RGB image with its annotated objects; difficult and crowd are marked as such.

    Args:
        image: of the size of ``truth``; a small one is enlarged.
        truth: of the image.
        class_names: of the labels 1, 2, ….
    """
    marks = np.where(truth.crowd, " (crowd)", np.where(truth.difficult, " (difficult)", ""))
    tags = [f"{class_names[label - 1]}{mark}" for label, mark in zip(truth.labels, marks)]
    return _draw(image, truth.boxes, truth.labels, tags)


def side_by_side(
    left: Image.Image,
    right: Image.Image,
    captions: tuple[str, str] = ("detections", "ground truth"),
) -> Image.Image:
    """Two images of the same size beside each other, with a caption above each."""
    size = max(14, left.height // 30)
    font = _font(size)
    bar, gap = 2 * size, max(4, left.width // 100)
    canvas = Image.new("RGB", (2 * left.width + gap, left.height + bar), _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for image, caption, x in zip((left, right), captions, (0, left.width + gap)):
        canvas.paste(image, (x, bar))
        center = (x + left.width // 2, bar // 2)
        draw.text(center, caption, fill=_CAPTION, font=font, anchor="mm")
    return canvas


def contact_sheet(
    pictures: Sequence[Image.Image], columns: int = 2, cell: tuple[int, int] = _PAIR
) -> Image.Image:
    """One sheet of all pictures, each resized to fit its cell, row by row.

    Args:
        pictures: of any size.
        columns: number of cells per row.
        cell: (width, height) of a cell in pixels.
    """
    width, height = cell
    gap = 8
    # Rounded up.
    rows = -(-len(pictures) // columns)
    size = (columns * (width + gap) + gap, rows * (height + gap) + gap)
    sheet = Image.new("RGB", size, _BACKGROUND)
    for index, picture in enumerate(pictures):
        scale = min(width / picture.width, height / picture.height)
        small = picture.resize(
            (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))),
            Image.Resampling.LANCZOS,
        )
        x = gap + index % columns * (width + gap) + (width - small.width) // 2
        y = gap + index // columns * (height + gap) + (height - small.height) // 2
        sheet.paste(small, (x, y))
    return sheet


def beside_truth(
    read_images: Callable[[Sequence[int]], Iterator[Image.Image | None]],
    ground_truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    class_names: Sequence[str],
    count: int,
) -> list[tuple[str, Image.Image]]:
    """Detections of ``count`` images spread evenly over a set, beside the ground truth.

    Of a set without annotations, the pictures show the detections only.

    Args:
        read_images: indices -> their images, in RGB; None for one that cannot be had, which is
            left out.
        ground_truths: of every image.
        detections: of every image, in the same order; those of at least ``MIN_SCORE`` are drawn.
        class_names: of the labels 1, 2, ….
        count: number of pictures; at most one per image.

    Returns:
        A list of (source_id, picture).
    """
    indices = spread(len(ground_truths), count)
    is_annotated = any(len(truth.labels) for truth in ground_truths)
    pictures = []
    for index, image in zip(indices, read_images(indices)):
        if image is None:
            continue
        picture = draw_detections(image, detections[index], class_names, MIN_SCORE)
        if is_annotated:
            truth = draw_ground_truth(image, ground_truths[index], class_names)
            picture = side_by_side(picture, truth)
        pictures.append((ground_truths[index].source_id, picture))
    return pictures


def write_pictures(
    folder: str | os.PathLike[str], pictures: Sequence[tuple[str, Image.Image]]
) -> None:
    """Writes each picture as a JPEG, and contact_sheet.jpg of all of them.

    JPEGs in ``folder`` that an earlier call wrote are deleted. Any other JPEG and any link stays as
    it is, and a picture that would have its name is called NAME-2.jpg.

    Args:
        folder: created if it does not exist.
        pictures: list of (source_id, picture).

    Raises:
        OSError: a picture cannot be written.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    for path in sorted(folder.iterdir()):
        if not (written_aside(path.name) or path.name).lower().endswith(_SUFFIX):
            continue
        if _is_ours(path):
            path.unlink()
        else:
            taken.append(path.stem)
    # The sheet's name comes first, so that no image is given it; before it, what is there.
    names = image_names([_SHEET, *(source_id for source_id, _ in pictures)])
    sheet, *names = file_names([*taken, *names])[len(taken) :]
    for name, (_, picture) in zip(names, pictures):
        _write_jpeg(folder / f"{name}{_SUFFIX}", picture)
    _write_jpeg(folder / f"{sheet}{_SUFFIX}", contact_sheet([picture for _, picture in pictures]))


def _write_jpeg(path: pathlib.Path, picture: Image.Image) -> None:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=90, comment=_MARK)
    write_bytes(path, content.getvalue())


def _is_ours(path: pathlib.Path) -> bool:
    # A folder may hold the user's own JPEGs too, even ones that cannot be opened.
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            return image.info.get("comment") == _MARK
    except OSError:
        return False


def spread(total: int, count: int) -> list[int]:
    """At most ``count`` distinct indices, spread evenly over 0 … ``total`` - 1."""
    count = min(total, count)
    return [index * total // count for index in range(count)]


def _font(size: int) -> ImageFont.FreeTypeFont:
    # Given a size, Pillow always returns its TrueType font, never the old bitmap font.
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size=size))


def _draw(
    image: Image.Image, boxes: np.ndarray, labels: np.ndarray, tags: Sequence[str]
) -> Image.Image:
    """A copy of ``image`` with a box and a tag for each row, the first row on top."""
    scale = max(1.0, _MIN_SIDE / max(image.size))
    picture = image.resize((round(image.width * scale), round(image.height * scale)))
    draw = ImageDraw.Draw(picture)
    side = min(picture.size)
    line = max(2, side // 160)
    font = _font(max(12, side // 28))
    # - 1: a rectangle includes its last pixel, which would lie outside the picture.
    corners = np.round(boxes * np.tile([picture.height - 1, picture.width - 1], 2)).astype(int)
    rows = list(zip(corners.tolist(), labels, tags))[::-1]
    for (ymin, xmin, ymax, xmax), label, _ in rows:
        draw.rectangle((xmin, ymin, xmax, ymax), outline=class_color(label), width=line)
    # After all boxes, so that none crosses a tag.
    for (ymin, xmin, *_), label, tag in rows:
        _draw_tag(draw, (ymin, xmin), tag, class_color(label), font)
    return picture


def _draw_tag(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    tag: str,
    color: _RGB,
    font: ImageFont.FreeTypeFont,
) -> None:
    """Draws a tag above the box, or inside at its top if there is no room above.

    It is moved to the left as far as needed to stay on the picture. ``corner`` is the box's
    (ymin, xmin) in pixels.
    """
    size = int(font.size)
    pad = max(2, size // 6)
    tag = _UNDRAWN.sub(" ", tag)
    width = int(draw.textlength(tag, font=font)) + 2 * pad
    height = size + 2 * pad
    ymin, xmin = corner
    x = max(0, min(xmin, draw.im.size[0] - width))
    y = ymin - height if ymin >= height else ymin
    draw.rectangle((x, y, x + width, y + height), fill=color)
    # Luma of BT.601; black text on light colours, white on dark ones.
    bright = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140
    ink = (0, 0, 0) if bright else (255, 255, 255)
    draw.text((x + pad, y + height // 2), tag, fill=ink, font=font, anchor="lm")


def class_color(label: int) -> _RGB:
    """RGB of a class: hues a golden section apart, in three shades, so that neighbours differ."""
    # 0.618… is the golden section, whose multiples stay far apart modulo 1.
    hue = (int(label) * 0.618034) % 1.0
    saturation, value = ((0.85, 0.95), (0.6, 1.0), (0.95, 0.7))[int(label) // 13 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
