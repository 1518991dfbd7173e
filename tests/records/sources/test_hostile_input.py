"""Files that mean harm: each is refused in one line, quickly, and within a memory bound."""

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ImageOptions
from ssd_tfrecord.records.images.stored_image import read_image
from ssd_tfrecord.records.sources import coco, voc
from ssd_tfrecord.records.sources.voc_files import voc_xml

ROOT = pathlib.Path(__file__).parents[3]
BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
OBJECT = f"<object><name>dog</name>{BOX}</object>"
LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 20))
BOMB = f'<!DOCTYPE a [<!ENTITY l0 "lol">{LAUGHS}]><annotation><object><name>&l19;</name></object>'
QUADRATIC = f'<!DOCTYPE a [<!ENTITY q "{"q" * 50000}">]><annotation>{"&q;" * 50000}'
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "{}">]><annotation><object><name>&x;</name></object>'

XML = {
    "billion laughs": (BOMB + "</annotation>", "DOCTYPE|Maximum entity"),
    "quadratic blow-up": (QUADRATIC + "</annotation>", "DOCTYPE|Maximum entity"),
    "local entity": (OUTSIDE.format("file:///etc/passwd") + "</annotation>", "has a DOCTYPE: "),
    "pipe as entity": (OUTSIDE.format("file:///dev/zero") + "</annotation>", "has a DOCTYPE: "),
    "remote entity": (OUTSIDE.format("http://127.0.0.1:9/") + "</annotation>", "has a DOCTYPE: "),
    "remote DTD": ('<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><annotation/>', "a DOCTYPE: "),
    "parameter entity": (
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd">%p;]><annotation/>',
        "DOCTYPE|not well-formed XML",
    ),
    "deep nesting": ("<a>" * 100_000, "not well-formed XML: Excessive depth"),
    "deep nesting, closed": ("<a>" * 1000 + "</a>" * 1000, "not well-formed XML: Excessive depth"),
    "too large": (
        f"<annotation>{OBJECT * 50000}</annotation>",
        "must be a file of at most 4194304",
    ),
    "many attributes": (f"<annotation {'a ' * 9}/>", "not well-formed XML: "),
    "another root": (f"<{'a' * 40000}/>", r"root is <aaa.*\.\.\..*>: must be VOC's <annotation>"),
    "half a character": ("<annotation>\ud800</annotation>", "not well-formed XML: "),
    "null character": ("<annotation>\0</annotation>", "not well-formed XML: "),
    "unknown encoding": (
        "<?xml version='1.0' encoding='x'?><annotation/>",
        "not well-formed XML: ",
    ),
    "nothing": ("", "not well-formed XML: "),
    "a tag twice": (
        f"<annotation>{OBJECT.replace('<ymax>', '<ymax/><ymax>')}</annotation>",
        r"object 1: has 2 <ymax>: must be one",
    ),
    "a long tag": (
        f"<annotation><{'o' * 40000}>{OBJECT}</{'o' * 40000}></annotation>",
        r"<object> in <o{50}>: must be <object>, directly inside",
    ),
}
# What is no fault of the file, but the business of --bad_boxes, --unknown_classes or a note.
ODD_XML = {
    "a long number": OBJECT.replace(">9<", ">" + "x" * 40000 + "<"),
    "a long name": OBJECT.replace("dog", "n" * 40000).replace(">9<", "><"),
    "a long flag": OBJECT.replace("<bnd", f"<difficult>{'1' * 40000}</difficult><bnd"),
    "a long angle": OBJECT.replace(
        "</object>",
        "<attributes><attribute><name>rotation</name><value>"
        f"{'9' * 40000}</value></attribute></attributes></object>",
    ),
    "many odd flags": OBJECT.replace("<bnd", "<difficult>x</difficult><bnd") * 9000,
    "many vertices": "<object><polygon>" + "<x>1</x><y>2</y>" * 90_000 + "</polygon></object>",
    "polygons in polygons": "<object>"
    + "<polygon>" * 200
    + "<x>1</x><y>2</y>" * 9
    + "</polygon>" * 200
    + "</object>",
    "many attributes": OBJECT.replace(
        "</object>", f"<attributes>{'<attribute/>' * 90_000}</attributes></object>"
    ),
    "a huge size": "<size><width>1e308</width><height>9e999</height></size>" + OBJECT,
    "a size of many digits": f"<size><width>{'9' * 9999}</width><height>1</height></size>",
    "a long file name": f"<filename>{'a/' * 100_000}1.jpg</filename>" + OBJECT,
    "a file name of accents": "<filename>e" + "\u0301\u0316" * 100_000 + "</filename>" + OBJECT,
    "an encoded file name": f"<filename>{'%2e%2e%2f' * 50_000}</filename>" + OBJECT,
}


def _refused(message, call):
    start = time.process_time()
    with pytest.raises(InputError, match=message) as error:
        call()
    assert time.process_time() - start < 1
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


@pytest.mark.parametrize("kind", XML)
def test_hostile_xml(tmp_path, kind):
    text, message = XML[kind]
    (tmp_path / "1.xml").write_bytes(text.encode(errors="surrogatepass"))
    error = _refused(
        rf"1\.xml: .*({message})", lambda: voc_xml.parse_voc_xml(str(tmp_path / "1.xml"), 1)
    )
    assert "root:" not in error


@pytest.mark.parametrize("kind", ODD_XML)
def test_odd_xml_is_taken_quickly_and_told_in_short(folder, kind):
    (folder / "images/1.jpg").write_bytes(b"x")
    text = f"<annotation>{ODD_XML[kind]}</annotation>"
    (folder / "xml/1.xml").write_text(text, encoding="utf-8")
    start = time.process_time()
    sources = voc.read_folder(str(folder / "xml"), str(folder / "images"))
    assert time.process_time() - start < 3
    assert [image.image_path for image in sources.images] == [str(folder / "images/1.jpg")]
    assert all(len(note) < 400 and "\n" not in note for note in sources.notes)


@pytest.fixture
def folder(tmp_path):
    """Folders xml and images, and a file outside of them that no name may reach."""
    (tmp_path / "xml").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"\xff\xd8\xff secret")
    return tmp_path


NAMES = {
    "upward": "../secret.jpg",
    "upward by a folder": "a/../../secret.jpg",
    "upward with backslashes": "..\\secret.jpg",
    "passwd": "../../etc/passwd",
    "absolute": "/etc/passwd",
    "home": "/proc/self/environ",
    "UNC": "\\\\server\\share\\a.jpg",
}


def _write(folder, name):
    """xml/1.xml and i.json, which say that their image is ``name``."""
    box = OBJECT.replace("<object>", f"<filename>{name}</filename><object>")
    (folder / "xml/1.xml").write_text(f"<annotation>{box}</annotation>")
    content = {"images": [{"id": 1, "file_name": name}], "annotations": [], "categories": []}
    (folder / "i.json").write_text(json.dumps(content))


def _read_both(folder, **options):
    """The sources of xml/1.xml and of i.json."""
    return (
        voc.read_folder(str(folder / "xml"), str(folder / "images"), **options),
        coco.read_instances(str(folder / "i.json"), str(folder / "images"), **options),
    )


def _refused_by_both(folder, message):
    for read, file in (
        (lambda: voc.read_folder(str(folder / "xml"), str(folder / "images")), r"xml/1\.xml"),
        (
            lambda: coco.read_instances(str(folder / "i.json"), str(folder / "images")),
            r"i\.json: image 1",
        ),
    ):
        _refused(rf"{file}: {message}", read)


@pytest.mark.parametrize("kind", NAMES)
def test_names_that_leave_the_folder_of_images_are_not_there(folder, kind):
    _write(folder, NAMES[kind])
    _refused_by_both(folder, ".* in .*images; add .*--bad_images=drop$")
    for sources in _read_both(folder, bad_images="drop"):
        assert len(sources.images) == 0
        assert [reject.reason for reject in sources.rejects] == ["missing_image"]


@pytest.mark.parametrize("kind", NAMES)
def test_names_that_leave_the_folder_of_images_are_looked_for_in_it(folder, kind):
    name = NAMES[kind]
    _write(folder, name)
    last = name.replace("\\", "/").rpartition("/")[2]
    (folder / "images/sub").mkdir()
    (folder / f"images/sub/{last.removesuffix('.jpg')}.jpg").write_bytes(b"x")
    for sources in _read_both(folder):
        (image,) = sources.images
        assert image.image_path == str(folder / f"images/sub/{last.removesuffix('.jpg')}.jpg")


@pytest.mark.parametrize("link", ["file", "folder"])
def test_links_out_of_the_folder_of_images_are_not_there(folder, link):
    if link == "file":
        (folder / "images/1.jpg").symlink_to(folder / "secret.jpg")
        name = "1.jpg"
    else:
        (folder / "images/up").symlink_to(folder)
        name = "up/secret.jpg"
    _write(folder, name)
    _refused_by_both(folder, ".* in .*images; add .*--bad_images=drop")
    (image,) = voc.read_folder(str(folder / "xml"), str(folder / "images"), links="follow").images
    assert image.image_path == str(folder / "images" / name)


def test_links_inside_the_folder_and_a_link_to_it_are_followed(folder):
    (folder / "images/a").mkdir()
    (folder / "images/a/real.jpg").write_bytes(b"x")
    (folder / "images/1.jpg").symlink_to("a/real.jpg")
    (folder / "link").symlink_to("images")
    (folder / "xml/1.xml").write_text("<annotation><filename>1.jpg</filename></annotation>")
    (image,) = voc.read_folder(str(folder / "xml"), str(folder / "link")).images
    assert image.image_path == str(folder / "link/1.jpg")


def test_a_link_that_goes_round_is_not_followed(folder):
    (folder / "images/1.jpg").symlink_to("1.jpg")
    (folder / "xml/1.xml").write_text("<annotation><filename>1.jpg</filename></annotation>")
    (image,) = voc.read_folder(str(folder / "xml"), str(folder / "images")).images
    _refused(
        r"images/1\.jpg'?: cannot be read: .*Too many levels of symbolic links",
        lambda: read_image(image, ImageOptions()),
    )


def test_pipes_are_not_waited_for(folder):
    os.mkfifo(folder / "xml/1.xml")
    _refused(
        r"xml/1\.xml: must be a file of at most",
        lambda: voc.read_folder(str(folder / "xml"), str(folder / "images")),
    )
    os.mkfifo(folder / "i.json")
    _refused(
        r"--annotations=.*i\.json: must be a file",
        lambda: coco.read_instances(str(folder / "i.json"), str(folder / "images")),
    )


ENTRY = '{"id": 1, "file_name": "1.jpg", "width": %s, "height": 9}'
ANNOTATION = '{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]%s}'
WHOLE = (
    '{"images": [' + ENTRY % 9 + '], "categories": [{"id": 1, "name": "dog"}], "annotations": [%s]}'
)
JSON = {
    "an id of NaN": (WHOLE.replace('"id": 1,', '"id": NaN,') % "", "image: no usable id; add it"),
    "a null character": (
        WHOLE.replace("1.jpg", "\\u0000.jpg") % "",
        r"image 1: '\\x00\.jpg' is not in .*images; add it",
    ),
    "gzip": ("\x1f\udc8b\x08", "cannot be read as JSON: damaged gzip file: "),
    "deep nesting": ("[" * 1_000_000, "not a JSON object: "),
    "deep nesting of objects": ('{"a":' * 200_000, "cannot be read as JSON: "),
    "an endless integer": (WHOLE % ('{"id": 1' + "0" * 5000 + "}"), "4300 digits|no 'image_id'"),
    "a key twice": (
        WHOLE % ANNOTATION % ', "image_id": 2',
        "cannot be read as JSON: duplicate key 'image_id'",
    ),
    "a list twice": (
        '{"images": [], "images": [], "categories": []}',
        "duplicate key 'images'",
    ),
    "many keys, one twice": (
        '{"info": {' + "".join(f'"{i}": 0, ' for i in range(50_000)) + '"49999": 0}}',
        "cannot be read as JSON: duplicate key '49999' in an object",
    ),
    "no UTF-8": (
        WHOLE.replace("dog", "d\udcffg") % "",
        "i.json: not valid JSON: byte 0xff: must be text in UTF-8$",
    ),
    "UTF-16": ("\ufeff{}".encode("utf-16").decode("latin-1"), "not a JSON object: "),
    "a long name": (WHOLE.replace("1.jpg", "n" * 100_000) % "", r"image 1: '?nnn.*\.\.\.|name too"),
    "cut off": (WHOLE[:60], "cannot be read as JSON: "),
    "another language": ("<annotation/>", "not a JSON object: "),
    "nothing": ("", "not a JSON object: "),
    "a number": ("7", "not a JSON object: "),
}


# What is taken as unknown, or as it is.
ODD_JSON = {
    "a huge size": WHOLE.replace(": 9}", ": 1e999}", 1) % "",
    "a size of NaN": WHOLE.replace(": 9,", ": NaN,", 1) % "",
    "an area of infinity": WHOLE % ANNOTATION % ', "area": Infinity',
    "half a character": WHOLE.replace("dog", "\\ud83d") % "",
}


@pytest.mark.parametrize("kind", ODD_JSON)
def test_odd_json_is_taken(folder, kind):
    (folder / "images/1.jpg").write_bytes(b"x")
    (folder / "i.json").write_text(ODD_JSON[kind])
    sources = coco.read_instances(str(folder / "i.json"), str(folder / "images"))
    assert [image.source_id for image in sources.images] == ["1"]
    assert all(note.isprintable() for note in sources.notes)


@pytest.mark.parametrize("kind", JSON)
def test_hostile_json(folder, kind):
    text, message = JSON[kind]
    (folder / "images/1.jpg").write_bytes(b"x")
    (folder / "i.json").write_bytes(text.encode(errors="surrogateescape"))
    _refused(message, lambda: coco.read_instances(str(folder / "i.json"), str(folder / "images")))


def test_a_byte_order_mark_and_huge_boxes_are_no_harm(folder):
    (folder / "images/1.jpg").write_bytes(b"x")
    text = WHOLE % ANNOTATION.replace("3, 4", "1e999, NaN") % ""
    (folder / "i.json").write_text("\ufeff" + text, encoding="utf-8")
    (image,) = coco.read_instances(str(folder / "i.json"), str(folder / "images")).images
    assert image.objects[0].flaw == "not_finite"
    (folder / "xml/1.xml").write_text("\ufeff<annotation/>", encoding="utf-8")
    assert voc_xml.parse_voc_xml(str(folder / "xml/1.xml"), 1).objects == ()


MEASURED = """
import resource, sys
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources import coco
from ssd_tfrecord.records.sources.voc_files import voc_xml
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[2:]:
    try:
        if path.endswith("xml"):
            voc_xml.parse_voc_xml(path, 1)
        else:
            coco.read_instances(path, sys.argv[1])
    except InputError as error:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_hostile_files_take_little_memory(folder):
    files = []
    odd = [f"<annotation>{text}</annotation>" for text in ODD_XML.values()]
    for number, text in enumerate([*(text for text, _ in XML.values()), *odd]):
        files.append(folder / f"xml/{number}.xml")
        files[-1].write_bytes(text.encode(errors="surrogatepass"))
    # The most elements that a file of the largest size can have.
    (folder / "xml/wide.xml").write_bytes(b"<annotation>" + b"<a/>" * (2**20 - 7) + b"</kitti>")
    files.append(folder / "xml/wide.xml")
    # One value, whose parts would take 1.5 GB.
    (folder / "wide.json").write_text('{"info": {"a": [' + "[]," * 20_000_000 + "0]}}")
    files.append(folder / "wide.json")
    for number, (text, _) in enumerate(JSON.values()):
        files.append(folder / f"{number}.json")
        files[-1].write_bytes(text.encode(errors="surrogateescape"))
    (folder / "images/1.jpg").write_bytes(b"x")
    result = subprocess.run(
        [sys.executable, "-c", MEASURED, str(folder / "images"), *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert int(result.stdout) < 256 * 1024  # KiB
