"""Boxes around what is not an upright rectangle: turned rectangles, polygons, masks."""

import math
from collections.abc import Iterable, Sequence

Box = tuple[float, float, float, float]

# A run-length code of that many runs is no object's mask: COCO's longest has some ten thousand.
_MAX_RUNS = 2**20


def around_turned(box: Box, degrees: float) -> Box:
    """The upright box around a rectangle that is turned about its centre.

    Args:
        box: [ymin, xmin, ymax, xmax] before the turn.
        degrees: of the turn; in which direction does not matter to the result.
    """
    ymin, xmin, ymax, xmax = box
    sine, cosine = abs(math.sin(math.radians(degrees))), abs(math.cos(math.radians(degrees)))
    height, width = abs(ymax - ymin), abs(xmax - xmin)
    # Of each corner the projection on an axis; the farthest is the sum of both sides' parts.
    half_height = (height * cosine + width * sine) / 2
    half_width = (width * cosine + height * sine) / 2
    y, x = (ymin + ymax) / 2, (xmin + xmax) / 2
    return y - half_height, x - half_width, y + half_height, x + half_width


def around_points(points: Iterable[tuple[float, float]]) -> Box | None:
    """The box around points (x, y), or None if there are fewer than two or one is not finite."""
    found = list(points)
    if len(found) < 2 or not all(math.isfinite(x) and math.isfinite(y) for x, y in found):
        return None
    xs, ys = zip(*found)
    return float(min(ys)), float(min(xs)), float(max(ys)), float(max(xs))


def around_runs(counts: Sequence[int], height: int, width: int) -> Box | None:
    """The box around a mask in COCO's run-length code: runs of 0 and 1 in turn, column by column.

    Args:
        counts: lengths of the runs, the first of zeros.
        height: of the mask, in pixels.
        width: of the mask, in pixels.

    Returns:
        None if the mask is empty or the runs do not fit into it.
    """
    position, box = 0, None
    ymin, xmin, ymax, xmax = height, width, 0, 0
    for index, count in enumerate(counts):
        if count < 0 or position + count > height * width:
            return None
        if index % 2 and count:
            last = position + count - 1
            xmin, xmax = min(xmin, position // height), max(xmax, last // height + 1)
            if position // height == last // height:
                ymin, ymax = min(ymin, position % height), max(ymax, last % height + 1)
            else:
                # It runs on into the next column: from the last row of one to the first of another.
                ymin, ymax = 0, height
            box = (float(ymin), float(xmin), float(ymax), float(xmax))
        position += count
    return box


def runs_of_text(text: str) -> list[int] | None:
    """The runs of COCO's compressed code (maskApi.c, rleFrString), or None if it is damaged.

    Each number is written in groups of five bits, the lowest first, plus 48 to be printable; the
    sixth bit says that more follow, the highest of the last group is the sign. From the third on it
    is the difference to the number two places before.
    """
    runs: list[int] = []
    position = 0
    while position < len(text):
        if len(runs) >= _MAX_RUNS:
            return None
        value = shift = 0
        while True:
            if position >= len(text) or shift > 35:
                return None
            group = ord(text[position]) - 48
            if not 0 <= group < 64:
                return None
            value |= (group & 31) << shift
            shift, position = shift + 5, position + 1
            if not group & 32:
                break
        if group & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs
