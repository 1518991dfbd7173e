"""Boxes on pictures, looked up pixel by pixel."""

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.evaluation.report.marked_pictures import (
    FALSE,
    MISSED,
    TRUE,
    Mark,
    captioned_sheet,
    draw_marks,
    enlarged,
    placeholder,
)

GREY = (128, 128, 128)


def _grey(width=100, height=80):
    return Image.new("RGB", (width, height), GREY)


def test_a_box_lies_where_it_is_whatever_the_scale():
    box = np.array([10.0, 20, 60, 90])
    for scale in (1, 4):
        drawn = draw_marks(_grey(), [Mark(box, TRUE, "")], (100 * scale, 80 * scale))
        assert drawn.size == (100 * scale, 80 * scale)
        assert drawn.getpixel((20 * scale, 30 * scale)) == TRUE
        assert drawn.getpixel((90 * scale, 30 * scale)) == TRUE
        assert drawn.getpixel((50 * scale, 10 * scale)) == TRUE
        assert drawn.getpixel((50 * scale, 30 * scale)) == GREY
        assert drawn.getpixel((15 * scale, 30 * scale)) == GREY


def test_what_is_missed_is_dashed():
    drawn = draw_marks(
        _grey(), [Mark(np.array([10.0, 10, 70, 90]), MISSED, "", dashed=True)], (400, 320)
    )
    row = [drawn.getpixel((x, 40)) for x in range(40, 360)]
    assert row.count(MISSED) > 100 and len(row) - row.count(MISSED) > 60
    assert GREY not in row


def test_later_boxes_lie_above_earlier_ones():
    box = np.array([10.0, 10, 70, 90])
    drawn = draw_marks(_grey(), [Mark(box, TRUE, ""), Mark(box, FALSE, "")], (100, 80))
    assert drawn.getpixel((10, 40)) == FALSE


@pytest.mark.parametrize(
    "box", [[0, 0, 80, 100], [-20, -20, 300, 300], [79.9, 99.9, 80, 100], [40, 50, 40, 50]]
)
def test_boxes_at_the_edges(box):
    mark = Mark(np.array(box, float), FALSE, "a rather long name 0.99")
    drawn = draw_marks(_grey(), [mark], (300, 240))
    assert FALSE in [color for _, color in drawn.getcolors(10**6)]


def test_tags_keep_apart():
    boxes = [np.array([30.0, 30, 60, 60])] * 3
    marks = [Mark(box, color, "cat") for box, color in zip(boxes, (FALSE, MISSED, TRUE))]
    drawn = draw_marks(_grey(), marks, (400, 320))
    pixels = np.array(drawn)
    for color in (FALSE, MISSED):
        # More than a line of the box: the tag is to be seen.
        assert (pixels == color).all(axis=-1).sum() > 250


def test_the_enlarged_part_holds_the_box():
    image = Image.fromarray(
        np.arange(100 * 120 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 120, 3)
    )
    box = np.array([90.0, 100, 96, 110])
    part, (mark,) = enlarged(image, [Mark(box, TRUE, "cat")], box)
    assert part.size == (48, 48)
    ymin, xmin, ymax, xmax = mark.box
    assert 0 <= ymin < ymax <= 48 and 0 <= xmin < xmax <= 48
    assert part.getpixel((int(xmin), int(ymin))) == image.getpixel((100, 90))


def test_a_sheet_has_room_for_all_pictures():
    pictures = [
        (_grey(40, 30), [f"{i}", "a text of many words that is long " * 5]) for i in range(5)
    ]
    sheet = captioned_sheet(pictures, columns=2, cell=(40, 30), heading=[("right", TRUE)])
    greys = (np.array(sheet) == GREY).all(axis=-1).sum()
    assert greys == 5 * 40 * 30
    assert sheet.getpixel((12, 12)) == TRUE
    assert captioned_sheet(pictures[:1], columns=4, cell=(40, 30)).width == 60


def test_names_of_strangers_are_drawn(hostile):
    names = hostile.scored.class_names
    sheet = captioned_sheet([(_grey(), [name, name]) for name in names], columns=3, cell=(100, 80))
    marks = [Mark(np.array([10.0, 10, 40, 40]), TRUE, name) for name in names]
    assert draw_marks(_grey(), marks, (100, 80)).size == (100, 80)
    assert sheet.width > 300


def test_placeholder():
    assert placeholder((300, 200)).size == (300, 200)
