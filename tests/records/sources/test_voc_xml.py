"""VOC XML: pixels, optional tags, hostile files, and the line that each fault gives."""

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.voc_xml import parse_voc_xml

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
        (_object(BOX, name=""), r"1\.xml: object 1: no <name>: each object needs <name>"),
        (_object(BOX, name="<name/>"), r"1\.xml: object 1: no <name>: each object needs"),
        (_object(""), r"1\.xml: object 1 \('dog'\): no <bndbox>: each object needs"),
        (
            _object(BOX) + _object(BOX.replace("9", "wide")),
            r"1\.xml: object 2 \('dog'\): xmax is 'wide': must be a number of pixels",
        ),
        (_object(BOX.replace("<ymin>5</ymin>", "")), r"ymin is '': must be a number of pixels"),
        (_object("<difficult>2</difficult>" + BOX), r"difficult is '2': must be 0, 1 or absent"),
        (_object("<truncated>x</truncated>" + BOX), r"truncated is 'x': must be 0, 1 or absent"),
        ("<size><width>a</width><height>1</height></size>", r"1\.xml: size: width is 'a': must"),
        (
            _object(BOX + BOX.replace("3", "4")),
            r"1\.xml: object 1: has 2 <bndbox>: must be one$",
        ),
        (_object(BOX, name="<name>a</name><name>b</name>"), r"object 1: has 2 <name>: must be one"),
        (
            _object(BOX.replace("</xmin>", "</xmin><xmin>4</xmin>")),
            r"object 1 \('dog'\): has 2 <xmin>: must be one",
        ),
        (_object(BOX.replace("9", "1<b/>9")), r"xmax is '1<b>': must be a number of pixels"),
        (
            f"<objects>{_object(BOX)}</objects>",
            r"1\.xml: <object> in <objects>: must be <object>, directly inside <annotation>",
        ),
        (
            _object(BOX).replace("object", "Object"),
            r"1\.xml: <Object> in <annotation>: must be <object>, directly inside <annotation>",
        ),
        ("<object>", r"1\.xml: not well-formed XML: Opening and ending tag mismatch"),
        ("<?xml version='1.0'?><kitti/>", r"1\.xml: root is <kitti>: must be VOC's <annotation>"),
    ],
)
def test_a_fault_is_one_line_that_names_file_and_object(tmp_path, body, message):
    with pytest.raises(InputError, match=message) as error:
        _parse(tmp_path, body)
    assert "\n" not in str(error.value)


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
