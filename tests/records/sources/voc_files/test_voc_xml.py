"""VOC XML: pixels, optional tags, hostile files, and the line that each fault gives."""

import math

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.voc_files.voc_xml import ODD_BOX, ODD_SIZE, parse_voc_xml

BOX = "<bndbox><xmin>3</xmin><ymin>5</ymin><xmax>9</xmax><ymax>11</ymax></bndbox>"


def _parse(tmp_path, body, pixel_origin=1):
    path = tmp_path / "1.xml"
    path.write_text(body if body.startswith("<?") else f"<annotation>{body}</annotation>")
    return parse_voc_xml(str(path), pixel_origin)


def _object(fields, name="<name>dog</name>"):
    return f"<object>{name}{fields}</object>"


def test_pixels_from_1_with_both_ends_inside_become_edges(tmp_path):
    (item,) = _parse(tmp_path, _object(BOX)).objects
    assert item.box == (4.0, 2.0, 11.0, 9.0)


def test_pixel_origin_0_keeps_the_numbers(tmp_path):
    (item,) = _parse(tmp_path, _object(BOX), pixel_origin=0).objects
    assert item.box == (5.0, 3.0, 11.0, 9.0)


def test_tags_in_any_order_and_float_coordinates(tmp_path):
    body = "<object><bndbox><ymax> 11.5\n</ymax><xmin>3e0</xmin><xmax>9</xmax><ymin>5</ymin>"
    (item,) = _parse(tmp_path, body + "</bndbox><pose/><name> dog\n</name></object>").objects
    assert item.box == (4.0, 2.0, 11.5, 9.0)
    assert item.name == "dog"


def test_only_name_and_bndbox_are_needed(tmp_path):
    content = _parse(tmp_path, _object(BOX))
    (item,) = content.objects
    assert (content.filename, content.size) == ("", None)
    assert (item.difficult, item.truncated, item.crowd, item.pose) == (False, False, False, "")


def test_optional_tags_are_read(tmp_path):
    flags = "<difficult>1</difficult><truncated>1</truncated><pose>Left</pose>"
    size = "<filename>1.jpg</filename><size><width>64</width><height>48</height></size>"
    content = _parse(tmp_path, size + _object(flags + BOX))
    (item,) = content.objects
    assert (content.filename, content.size) == ("1.jpg", (64, 48))
    assert (item.difficult, item.truncated, item.pose) == (True, True, "Left")


@pytest.mark.parametrize(
    "size",
    [
        "<size/>",
        "<size><width/><height/></size>",
        "<size><width>0</width><height>0</height></size>",
    ],
)
def test_empty_tags_are_as_missing_ones(tmp_path, size):
    content = _parse(tmp_path, size + _object("<difficult/><truncated> </truncated>" + BOX))
    assert content.size is None
    assert (content.objects[0].difficult, content.objects[0].truncated) == (False, False)


def test_boxes_of_parts_are_not_objects(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    assert len(_parse(tmp_path, _object(part + BOX)).objects) == 1


@pytest.mark.parametrize("kind", ["<!-- 7 -->", "<?x 7?>", "<![CDATA[]]>"])
def test_what_is_no_text_cuts_none(tmp_path, kind):
    box = BOX.replace("11", f"1{kind}1").replace("9", f"{kind}9")
    (item,) = _parse(tmp_path, _object(box, f"<name>do{kind}g</name>")).objects
    assert (item.name, item.box) == ("dog", (4.0, 2.0, 11.0, 9.0))


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "gb18030"])
def test_declared_encodings_are_read(tmp_path, encoding):
    body = _object(BOX, "<name>größe</name>")
    text = f'<?xml version="1.0" encoding="{encoding}"?><annotation>{body}</annotation>'
    (tmp_path / "1.xml").write_bytes(text.encode(encoding))
    assert parse_voc_xml(str(tmp_path / "1.xml"), 1).objects[0].name == "größe"


def test_no_objects(tmp_path):
    assert _parse(tmp_path, "<segmented>0</segmented>").objects == ()


@pytest.mark.parametrize("pixel_origin", [0, 1])
@pytest.mark.parametrize(
    ("xmax", "reason"), [("3", "zero_area"), ("2", "inverted")], ids=["zero area", "inverted"]
)
def test_a_box_that_covers_nothing_is_named_by_the_files_own_numbers(
    tmp_path, pixel_origin, xmax, reason
):
    bad = BOX.replace("<xmax>9", f"<xmax>{xmax}")
    content = _parse(tmp_path, _object(BOX) + _object(bad), pixel_origin)
    assert [(item.index, item.flaw) for item in content.objects] == [(1, ""), (2, reason)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            _object(BOX + BOX.replace("3", "4")),
            r"1\.xml: object 1: has 2 <bndbox>: must be one$",
        ),
        (_object(BOX, name="<name>a</name><name>b</name>"), r"object 1: has 2 <name>: must be one"),
        (
            _object(BOX.replace("</xmin>", "</xmin><xmin>4</xmin>")),
            r"1\.xml: object 1: has 2 <xmin>: must be one$",
        ),
        (
            f"<objects>{_object(BOX)}</objects>",
            r"1\.xml: <object> in <objects>: must be <object>, directly inside <annotation>",
        ),
        (
            _object(BOX).replace("object", "Object"),
            r"1\.xml: <Object> in <annotation>: must be <object>, directly inside <annotation>",
        ),
        (
            # One that is as it should be does not excuse the other.
            _object(BOX) + _object(BOX).replace("object", "OBJECT"),
            r"1\.xml: <OBJECT> in <annotation>: must be <object>, directly inside <annotation>",
        ),
        (
            _object(BOX) + f"<objects>{_object(BOX)}</objects>",
            r"1\.xml: <object> in <objects>: must be <object>, directly inside <annotation>",
        ),
        (
            _object(BOX + _object(BOX)),
            r"1\.xml: <object> in <object>: must be <object>, directly inside <annotation>",
        ),
        ("<object>", r"1\.xml: not well-formed XML: Opening and ending tag mismatch"),
        ("<?xml version='1.0'?><kitti/>", r"1\.xml: root is <kitti>: must be VOC's <annotation>"),
    ],
)
def test_a_fault_is_one_line_that_names_file_and_object(tmp_path, body, message):
    with pytest.raises(InputError, match=message) as error:
        _parse(tmp_path, body)
    assert "\n" not in str(error.value)


def test_an_empty_list_of_objects_is_none(tmp_path):
    assert _parse(tmp_path, "<objects/>").objects == ()
    assert len(_parse(tmp_path, "<objects/>" + _object(BOX)).objects) == 1


@pytest.mark.parametrize(
    ("text", "value", "is_odd"),
    [
        ("0", False, False),
        (" 1\n", True, False),
        ("True", True, False),
        ("yes", True, False),
        ("FALSE", False, False),
        ("no", False, False),
        ("1.0", True, False),
        ("0.0", False, False),
        ("Unspecified", False, True),
        ("unspecified", False, True),
        ("0.0597", False, True),
        ("0.5", True, True),
        ("2", True, True),
        ("-1", False, True),
        ("nan", False, True),
        ("x" * 999, False, True),
        ("<b/>1", False, True),
    ],
)
def test_flags_as_other_tools_write_them(tmp_path, text, value, is_odd):
    tags = ("difficult", "truncated", "occluded")
    content = _parse(tmp_path, _object("".join(f"<{tag}>{text}</{tag}>" for tag in tags) + BOX))
    (item,) = content.objects
    assert (item.difficult, item.truncated, item.occluded) == (value,) * 3
    kinds = [f"{tag} of {{objects}} is not 0 or 1 ({{first}}): taken as {value:d}" for tag in tags]
    assert list(content.odd) == (kinds if is_odd else [])
    assert all(len(first) < 40 for _, first in content.odd.values())


def test_odd_values_are_counted_with_the_first(tmp_path):
    body = _object("<difficult>Unspecified</difficult><pose>7</pose>" + BOX)
    content = _parse(tmp_path, body + body.replace("Unspec", "") + body.replace("Uns", "0.9"))
    assert content.odd == {
        "difficult of {objects} is not 0 or 1 ({first}): taken as 0": (3, "'Unspecified'")
    }
    assert content.objects[0].pose == "7"


@pytest.mark.parametrize(
    ("width", "height", "size", "is_odd"),
    [
        ("640.0", " 480", (640, 480), False),
        ("640", "", None, False),
        ("0", "480", None, False),
        ("0.0", "x", None, False),
        ("-1", "-1", None, True),
        ("wide", "480", None, True),
        ("inf", "480", None, True),
        ("480", "nan", None, True),
        ("0.5", "480", None, True),
        ("1e300", "480", None, True),
    ],
)
def test_a_size_that_is_none_is_unknown(tmp_path, width, height, size, is_odd):
    tags = f"<size><width>{width}</width><height>{height}</height></size>"
    content = _parse(tmp_path, tags + _object(BOX))
    assert content.size == size
    wanted = {ODD_SIZE: (1, repr(f"{width}x{height.strip()}"))} if is_odd else {}
    assert content.odd == wanted


@pytest.mark.parametrize(
    ("fields", "odd"),
    [
        ("", "no <bndbox>"),
        ("<bndbox/>", "no <bndbox>"),
        ("<bndbox><x>1</x></bndbox>", "ymin is ''"),
        (BOX.replace("<ymin>5</ymin>", ""), "ymin is ''"),
        (BOX.replace("9", "wide"), "xmax is 'wide'"),
        (BOX.replace("9", "1<b/>9"), "xmax is '1<b>'"),
        (BOX.replace("9", "1,5"), "xmax is '1,5'"),
        (BOX.replace("9", "nan"), "xmax is 'nan'"),
        (BOX.replace("9", "inf"), None),
        (BOX.replace("9", "inf").replace("5", "-inf"), None),
        (BOX.replace("9", "1e99"), None),
        ("<polygon/>", "no <bndbox>"),
        ("<polygon><pt><x>1</x><y>2</y></pt></polygon>", "no <bndbox>"),
        ("<polygon><x1>1</x1><y1>2</y1><x2>3</x2></polygon>", "no <bndbox>"),
        ("<polygon><x1>1</x1><y1>2</y1><x2>3</x2><y2>a</y2></polygon>", "no <bndbox>"),
        ("<segm><box><xmin>1</xmin></box></segm>", "ymin is ''"),
    ],
)
def test_a_box_that_is_none_is_the_business_of_bad_boxes(tmp_path, fields, odd):
    content = _parse(tmp_path, _object(BOX) + _object(fields))
    assert [item.flaw for item in content.objects] == ["", "not_finite"]
    assert content.objects[1].name == "dog"
    assert content.odd == ({ODD_BOX: (1, odd)} if odd else {})


def test_edges_that_are_there_are_kept_beside_the_missing_one(tmp_path):
    (item,) = _parse(tmp_path, _object(BOX.replace("<xmax>9</xmax>", ""))).objects
    assert item.box[:3] == (4.0, 2.0, 11.0)
    assert math.isnan(item.box[3])


@pytest.mark.parametrize("name", ["", "<name/>", "<name> </name>"])
def test_an_object_without_a_name_has_no_class(tmp_path, name):
    (item,) = _parse(tmp_path, _object(BOX, name=name)).objects
    assert (item.name, item.flaw) == ("", "")


def test_names_come_in_one_form(tmp_path):
    names = ("<name>dog </name>", "<name>Gro\u0308\u00dfe</name>")
    content = _parse(tmp_path, "".join(_object(BOX, name=name) for name in names))
    assert [item.name for item in content.objects] == ["dog", "Gr\u00f6\u00dfe"]


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE annotation [<!ENTITY x "dog">]>',
        '<!DOCTYPE annotation SYSTEM "http://127.0.0.1:1/voc.dtd">',
    ],
)
def test_entities_and_dtds_are_refused(tmp_path, doctype):
    entity = _object(BOX, name="<name>&x;</name>") if "ENTITY" in doctype else _object(BOX)
    body = f"<?xml version='1.0'?>{doctype}<annotation>{entity}</annotation>"
    with pytest.raises(InputError, match=r"1\.xml: has a DOCTYPE: entities and DTDs are not read"):
        _parse(tmp_path, body)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.xml: cannot be read: No such file"):
        parse_voc_xml(str(tmp_path / "none.xml"), 1)
