"""Boxes with tags drawn on images, and sheets of such pictures with captions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ssd_tfrecord.evaluation.report.outside_text import visible

RGB: TypeAlias = tuple[int, int, int]

# Okabe and Ito 2008: told apart whatever one's colour vision; what is missed is dashed, too.
TRUE, FALSE, MISSED = (0, 158, 115), (213, 94, 0), (86, 180, 233)
_RIM = (20, 20, 20)
PAPER, INK = (24, 24, 27), (228, 228, 231)
# The part of an image that is shown enlarged: so many times the box, but at least so many pixels.
_AROUND, _MIN_PIXELS = 3.0, 48


@dataclass(frozen=True)
class Mark:
    """A box to draw, in pixels of the image as [ymin, xmin, ymax, xmax], and what stands on it."""

    box: np.ndarray
    color: RGB
    tag: str
    dashed: bool = False


def draw_marks(image: Image.Image, marks: Sequence[Mark], size: tuple[int, int]) -> Image.Image:
    """An RGB image with boxes and their tags, resized to fit.

    Args:
        image: of any size.
        marks: with boxes in its pixels; later ones lie above earlier ones.
        size: (width, height) that it must fit into; small images are enlarged.
    """
    scale = min(size[0] / image.width, size[1] / image.height)
    width, height = (max(1, round(side * scale)) for side in image.size)
    # Drawn after resizing, so that lines and letters are sharp.
    picture = image.resize((width, height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    line = max(2, min(width, height) // 160)
    scales = np.array([height / image.height, width / image.width] * 2)
    # - 1: a rectangle includes its last pixel, which would lie outside the picture.
    limits = np.array([height - 1, width - 1] * 2)
    corners = [np.clip(np.round(m.box * scales), 0, limits).astype(int).tolist() for m in marks]
    for mark, (ymin, xmin, ymax, xmax) in zip(marks, corners):
        if mark.dashed:
            # Dark between the dashes, which shows on any background.
            draw.rectangle((xmin, ymin, xmax, ymax), outline=_RIM, width=line)
            _draw_dashes(draw, (xmin, ymin, xmax, ymax), mark.color, line)
        else:
            draw.rectangle((xmin, ymin, xmax, ymax), outline=mark.color, width=line)
    # After all boxes, so that none crosses a tag.
    taken: list[tuple[int, int, int, int]] = []
    for mark, box in zip(marks, corners):
        if mark.tag:
            _draw_tag(draw, box, mark, (width, height), taken)
    return picture


def enlarged(
    image: Image.Image, marks: Sequence[Mark], box: np.ndarray
) -> tuple[Image.Image, list[Mark]]:
    """The part of an image around a box [ymin, xmin, ymax, xmax] in pixels, and the marks in it."""
    whole = np.array([image.height, image.width])
    side = np.minimum(max(_AROUND * (box[2:] - box[:2]).max(), _MIN_PIXELS), whole)
    # Moved into the image where it would reach beyond it.
    begin = np.clip((box[:2] + box[2:] - side) / 2, 0, whole - side).astype(int)
    end = np.minimum(begin + np.ceil(side).astype(int), whole)
    part = image.crop((begin[1], begin[0], end[1], end[0]))
    return part, [replace(mark, box=mark.box - np.tile(begin, 2)) for mark in marks]


def captioned_sheet(
    pictures: Sequence[tuple[Image.Image, Sequence[str]]],
    *,
    columns: int,
    cell: tuple[int, int],
    heading: Sequence[tuple[str, RGB]] = (),
) -> Image.Image:
    """Pictures with captions below them, row by row.

    Args:
        pictures: (picture that fits into a cell, its texts: each begins on a line of its own).
        columns: at most so many pictures in a row.
        cell: (width, height) of a picture, in pixels.
        heading: (text, colour) of what stands at the top, such as a legend.
    """
    letters, gap, lines = 14, 10, 3
    font = _font(letters)
    caption = lines * (letters + 4) + 6
    columns = max(1, min(columns, len(pictures)))
    # Rounded up.
    rows, top = -(-len(pictures) // columns), (letters + 2 * gap if heading else 0)
    width, height = columns * (cell[0] + gap) + gap, rows * (cell[1] + caption + gap) + gap + top
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    x = gap
    for text, color in heading:
        draw.rectangle((x, gap, x + letters, gap + letters), fill=color)
        draw.text((x + letters + 6, gap - 2), text, fill=INK, font=font)
        x += letters + 30 + int(draw.textlength(text, font=font))
    for index, (picture, texts) in enumerate(pictures):
        x = gap + index % columns * (cell[0] + gap)
        y = gap + top + index // columns * (cell[1] + caption + gap)
        sheet.paste(picture, (x, y + cell[1] - picture.height))
        for number, line in enumerate(_wrapped(draw, texts, font, cell[0])[:lines]):
            place = (x, y + cell[1] + 4 + number * (letters + 4))
            draw.text(place, line, fill=INK, font=font)
    return sheet


def placeholder(size: tuple[int, int]) -> Image.Image:
    """What is shown instead of an image that cannot be read."""
    picture = Image.new("RGB", size, (39, 39, 42))
    center = (size[0] // 2, size[1] // 2)
    text = "this image cannot be read"
    ImageDraw.Draw(picture).text(center, text, fill=INK, font=_font(16), anchor="mm")
    return picture


def _wrapped(
    draw: ImageDraw.ImageDraw, texts: Sequence[str], font: ImageFont.FreeTypeFont, width: int
) -> list[str]:
    """The lines of texts that are at most so many pixels wide, as far as their words are."""
    lines = []
    for text in texts:
        line = ""
        for word in visible(text, 400).split():
            longer = f"{line} {word}".strip()
            if line and draw.textlength(longer, font=font) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


def _draw_dashes(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], color: RGB, line: int
) -> None:
    left, top, right, bottom = box
    dash, period = 4 * line, 7 * line
    for x in range(left, right + 1, period):
        end = min(x + dash, right)
        draw.rectangle((x, top, end, top + line - 1), fill=color)
        draw.rectangle((x, max(top, bottom - line + 1), end, bottom), fill=color)
    for y in range(top, bottom + 1, period):
        end = min(y + dash, bottom)
        draw.rectangle((left, y, left + line - 1, end), fill=color)
        draw.rectangle((max(left, right - line + 1), y, right, end), fill=color)


def _draw_tag(
    draw: ImageDraw.ImageDraw,
    box: Sequence[int],
    mark: Mark,
    size: tuple[int, int],
    taken: list[tuple[int, int, int, int]],
) -> None:
    """Draws a tag at a corner of its box where no other tag is; above it, if all are taken."""
    letters = max(12, min(size) // 30)
    font, pad = _font(letters), max(2, letters // 6)
    tag = visible(mark.tag)
    width = int(draw.textlength(tag, font=font)) + 2 * pad
    height = letters + 2 * pad
    ymin, xmin, ymax, xmax = box
    places = [(xmin, ymin - height), (xmin, ymax), (xmax - width, ymin - height), (xmin, ymin)]
    # Moved onto the picture.
    places = [
        (max(0, min(x, size[0] - width)), max(0, min(y, size[1] - height))) for x, y in places
    ]
    areas = [(x, y, x + width, y + height) for x, y in places]
    area = next((one for one in areas if not any(_meet(one, other) for other in taken)), areas[0])
    taken.append(area)
    draw.rectangle(area, fill=mark.color)
    # Luma of BT.601: black letters on light colours, white on dark ones.
    red, green, blue = mark.color
    ink = (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
    middle = area[1] + height // 2
    draw.text((area[0] + pad, middle), tag, fill=ink, font=font, anchor="lm")


def _meet(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _font(size: int) -> ImageFont.FreeTypeFont:
    # Given a size, Pillow always returns its TrueType font, never the old bitmap font.
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size=size))
