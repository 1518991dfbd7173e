"""Objects of VOC XML that are no upright rectangles: turned ones, polygons, masks; deleted ones."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.voc_files.voc_xml import ODD_ROTATION, VocFile, parse_voc_xml

BOX = "<bndbox><xmin>3</xmin><ymin>5</ymin><xmax>9</xmax><ymax>11</ymax></bndbox>"


def _parse(tmp_path, body, pixel_origin=1):
    path = tmp_path / "1.xml"
    path.write_text(f"<annotation>{body}</annotation>")
    return parse_voc_xml(str(path), pixel_origin)


def _object(fields):
    return f"<object><name>dog</name>{fields}</object>"


LABELME = "<pt><x>{}</x><y>{}</y></pt>"


@pytest.mark.parametrize(
    "polygon",
    [
        "<x1>3</x1><y1>7</y1><x2>9</x2><y2>5</y2><x3>6</x3><y3>11</y3>",
        "<username>x1</username>" + "".join(LABELME.format(*p) for p in ((9, 7), (3, 5), (4, 11))),
        "<point><x>9</x><y>11</y></point><point><x>3</x><y>5</y></point>",
    ],
)
def test_without_a_box_that_around_the_polygon_counts(tmp_path, polygon):
    content = _parse(tmp_path, _object(f"<bndbox/><polygon>{polygon}</polygon>"))
    (item,), (reject,) = content.objects, content.rejects
    # As of BOX.
    assert (item.box, item.flaw) == ((4.0, 2.0, 11.0, 9.0), "")
    assert (reject.reason, reject.action, reject.object) == ("polygon", "enclosed", 1)
    assert (reject.name, reject.box) == ("dog", item.box)
    assert reject.detail in ("of 3 points", "of 2 points")
    assert content.odd == {}


def test_several_polygons_are_one_object(tmp_path):
    parts = ("<x1>3</x1><y1>5</y1><x2>4</x2><y2>6</y2>", "<x1>9</x1><y1>11</y1>")
    body = "".join(f"<polygon>{part}</polygon>" for part in parts)
    assert _parse(tmp_path, _object(body)).objects[0].box == (4.0, 2.0, 11.0, 9.0)


def test_beside_a_box_a_polygon_does_not_count(tmp_path):
    polygon = "<polygon><x1>1</x1><y1>1</y1><x2>99</x2><y2>99</y2></polygon>"
    content = _parse(tmp_path, _object(polygon + BOX))
    assert (content.objects[0].box, content.rejects) == ((4.0, 2.0, 11.0, 9.0), ())


def test_the_box_of_a_mask(tmp_path):
    body = f"<segm><username/>{BOX.replace('bndbox', 'box')}<mask>1.png</mask></segm>"
    content = _parse(tmp_path, _object(body))
    assert content.objects[0].box == (4.0, 2.0, 11.0, 9.0)
    assert (content.rejects[0].reason, content.rejects[0].action) == ("mask", "enclosed")


def test_an_object_that_its_tool_has_deleted_is_left_out(tmp_path):
    body = _object("<deleted>1</deleted>" + BOX) + _object("<deleted>0</deleted>" + BOX)
    content = _parse(tmp_path, body)
    assert [item.index for item in content.objects] == [2]
    (reject,) = content.rejects
    assert (reject.object, reject.reason, reject.action) == (1, "deleted", "dropped")


def _turned(degrees, box="<xmin>41</xmin><ymin>21</ymin><xmax>120</xmax><ymax>80</ymax>"):
    attributes = (
        "<attribute><name>color</name><value>7</value></attribute>"
        f"<attribute><name>rotation</name><value>{degrees}</value></attribute>"
    )
    return _object(f"<bndbox>{box}</bndbox><attributes>{attributes}</attributes>")


@pytest.mark.parametrize(
    ("degrees", "box"),
    [
        ("45.0", (50 - 49.4975, 80 - 49.4975, 50 + 49.4975, 80 + 49.4975)),
        ("-45", (50 - 49.4975, 80 - 49.4975, 50 + 49.4975, 80 + 49.4975)),
        ("90", (10, 50, 90, 110)),
        # 80 x 60, turned by 30 degrees: 80 cos + 60 sin wide, 60 cos + 80 sin high.
        ("30", (50 - 45.9808, 80 - 49.6410, 50 + 45.9808, 80 + 49.6410)),
    ],
)
def test_around_a_turned_rectangle(tmp_path, degrees, box):
    content = _parse(tmp_path, _turned(degrees))
    (item,), (reject,) = content.objects, content.rejects
    assert item.box == pytest.approx(box, abs=1e-4)
    assert (reject.reason, reject.action, reject.box) == ("rotation", "enclosed", item.box)
    assert reject.detail == f"turned by {float(degrees):g} degrees"


@pytest.mark.parametrize("degrees", ["0", "0.0", "", "180", "-360", "inf", "nan", "a", "1e400"])
def test_a_rectangle_that_is_not_turned(tmp_path, degrees):
    content = _parse(tmp_path, _turned(degrees))
    assert content.objects[0].box == (20.0, 40.0, 80.0, 120.0)
    assert content.rejects == ()
    is_odd = degrees in ("", "inf", "nan", "a", "1e400")
    assert content.odd == ({ODD_ROTATION: (1, repr(degrees))} if is_odd else {})


def test_other_attributes_turn_nothing(tmp_path):
    for attributes in ("rotation=30", "<attribute/>", "<rotation>30</rotation>"):
        content = _parse(tmp_path, _object(BOX + f"<attributes>{attributes}</attributes>"))
        assert content == VocFile("", None, content.objects)
        assert content.objects[0].box == (4.0, 2.0, 11.0, 9.0)


def test_corners_in_the_wrong_order_are_left_as_they_are(tmp_path):
    box = "<xmin>120</xmin><ymin>21</ymin><xmax>41</xmax><ymax>80</ymax>"
    content = _parse(tmp_path, _turned("30", box))
    (item,) = content.objects
    assert (item.flaw, item.box, content.rejects) == ("inverted", (20.0, 119.0, 80.0, 41.0), ())


FUZZED = settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,
    # The folder holds one file, which each example overwrites.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SIDES = st.integers(1, 300)


@FUZZED
@given(
    corner=st.tuples(SIDES, SIDES),
    size=st.tuples(SIDES, SIDES),
    degrees=st.floats(-720, 720).filter(lambda turn: turn % 180),
)
def test_the_corners_of_a_turned_rectangle_touch_its_box(tmp_path, corner, size, degrees):
    (x, y), (width, height) = corner, size
    edges = {"xmin": x, "ymin": y, "xmax": x + width, "ymax": y + height}
    box = "".join(f"<{tag}>{edge}</{tag}>" for tag, edge in edges.items())
    (item,) = _parse(tmp_path, _turned(repr(degrees), box), pixel_origin=0).objects
    turn = math.radians(degrees)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    signs = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
    corners = signs * [width / 2, height / 2] @ matrix.T + [x + width / 2, y + height / 2]
    np.testing.assert_allclose(item.box[1::-1], corners.min(0), atol=1e-6)
    np.testing.assert_allclose(item.box[:1:-1], corners.max(0), atol=1e-6)


TEXTS = st.sampled_from(["", "1", "7.5", "-2", "nan", "inf", "1e400", "x", "<b/>", "9" * 400])
POINTS = st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from(["", "1", "2"]), TEXTS))


@FUZZED
@given(
    points=POINTS,
    turn=TEXTS,
    box=st.sampled_from(["", "<bndbox/>", BOX]),
    more=st.sampled_from(["", "<deleted>1</deleted>", "<segm><box><xmin>1</xmin></box></segm>"]),
)
def test_each_object_is_read_or_listed_whatever_its_shape(tmp_path, points, turn, box, more):
    polygon = "".join(f"<{axis}{end}>{text}</{axis}{end}>" for axis, end, text in points)
    rotation = f"<attribute><name>rotation</name><value>{turn}</value></attribute>"
    body = f"{box}<polygon>{polygon}</polygon><attributes>{rotation}</attributes>{more}"
    try:
        content = _parse(tmp_path, _object(body))
    except InputError as error:
        assert "must be one" in str(error)
        return
    dropped = [reject for reject in content.rejects if reject.action == "dropped"]
    assert len(content.objects) + len(dropped) == 1
    assert len(content.rejects) <= 1
    for item in content.objects:
        assert item.flaw or all(map(math.isfinite, item.box))
        assert all(reject.box == item.box for reject in content.rejects)
        is_own = box == BOX and not content.rejects
        assert not is_own or item.box == (4.0, 2.0, 11.0, 9.0)
