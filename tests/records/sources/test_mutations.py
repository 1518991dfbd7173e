"""Any mutation of a valid XML or JSON gives a correct record or an error of one line.

SSD_TFRECORD_FUZZ_CASES sets the cases of each test.
"""

import copy
import json
import os
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from PIL import Image

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import BoxOptions, ImageOptions
from ssd_tfrecord.records import rejects, schema
from ssd_tfrecord.records.images.stored_image import read_image
from ssd_tfrecord.records.rejects import DroppedImage
from ssd_tfrecord.records.sources import coco, labels, plausibility, voc
from ssd_tfrecord.records.sources.source_set import SourceImage, reject_image
from ssd_tfrecord.records.sources.survey import survey
from ssd_tfrecord.records.statistics import Statistics
from ssd_tfrecord.records.writing.box_repair import fit
from ssd_tfrecord.records.writing.ceilings import Ceiling

CASES = int(os.environ.get("SSD_TFRECORD_FUZZ_CASES", "200"))
# A case may take five seconds; nothing is kept between runs, so that each tries the same.
FUZZED = settings(
    max_examples=CASES, deadline=timedelta(seconds=5), database=None, derandomize=True
)

XML = b"""<annotation><folder>VOC</folder><filename>1.jpg</filename>
<size><width>40</width><height>30</height><depth>3</depth></size><segmented>0</segmented>
<object><name>dog</name><pose>Left</pose><truncated>0</truncated><occluded>1</occluded>
<bndbox><xmin>3</xmin><ymin>5</ymin><xmax>9</xmax><ymax>30</ymax></bndbox>
<difficult>1</difficult><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>
<object><name>cat</name><bndbox><xmin>1.5</xmin><ymin>2</ymin><xmax>41</xmax><ymax>9</ymax></bndbox>
</object></annotation>"""
CONTENT = {
    "info": {"year": 2017},
    "images": [
        {"id": 1, "file_name": "1.jpg", "width": 40, "height": 30, "license": 1},
        {"id": 2, "file_name": "2.jpg", "width": 40, "height": 30},
    ],
    "annotations": [
        {
            **{"id": 7, "image_id": 1, "category_id": 3, "bbox": [1.5, 2, 10, 20], "area": 99.5},
            **{"iscrowd": 0, "segmentation": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]},
        },
        {
            **{"id": 8, "image_id": 2, "category_id": 90, "bbox": [0, 0, 40, 30], "area": 1200},
            **{"iscrowd": 1, "segmentation": {"counts": [1, 2], "size": [30, 40]}},
        },
    ],
    "categories": [{"id": 3, "name": "cat"}, {"id": 90, "name": "dog", "supercategory": "animal"}],
}
JSON = json.dumps(CONTENT).encode()

# What stands in numbers' and names' places in the world, and what would do harm.
ODD_TEXTS = st.sampled_from(
    [
        *("", " ", "0", "-1", "1", "2", "41", "1e3", "1e400", "-inf", "nan", "0x1F", "1,5", "1_0"),
        *(
            "1.jpg",
            "2.jpg",
            "1",
            "../1.jpg",
            "/etc/passwd",
            "a/1.jpg",
            "\u0661",
            "größe",
            "\U0001f600",
        ),
        *("9" * 5000, "Unspecified", "true", "dog", "9007199254740993", "\n", "a\nb", "\u202e"),
    ]
) | st.text(max_size=8)
ODD_NUMBERS = (
    st.sampled_from(
        [0, -0.0, 1, -1, 30, 40, 41, 0.5, 1e-9, 1e308, 2**53 + 1, 2**63, -(2**63), 10**400]
    )
    | st.floats()
    | st.integers()
)
ODD_VALUES = st.one_of(
    ODD_TEXTS,
    ODD_NUMBERS,
    st.none(),
    st.booleans(),
    st.just("\ud800"),
    st.lists(ODD_NUMBERS, max_size=5),
    st.dictionaries(st.sampled_from(["id", "counts", "x"]), ODD_NUMBERS, max_size=2),
)
POLICIES = st.fixed_dictionaries(
    {
        "bad_images": st.sampled_from(["fail", "drop", "repair"]),
        "bad_boxes": st.sampled_from(["fail", "drop", "clip"]),
        "unknown_classes": st.sampled_from(["fail", "drop"]),
        "classes": st.sampled_from(["auto", "default", "voc", "coco"]),
        "exif": st.sampled_from(["apply", "ignore", "fail"]),
    }
)


@st.composite
def changed_bytes(draw, content):
    """``content`` with a few slices removed, repeated, moved or replaced."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        stop = draw(st.integers(start, min(len(content), start + 40)))
        other = draw(st.integers(0, len(content)))
        new = draw(
            st.binary(max_size=6)
            | st.sampled_from(
                [b"", b"\0", b"<", b"&x;", b'"', b"[", b"{", b"\xef\xbb\xbf", b"\xff"]
            )
            | st.just(content[other : other + 30])
        )
        content = content[:start] + new + content[stop:]
    return content


@st.composite
def changed_xml(draw):
    """The XML with elements removed, repeated, moved, renamed, or of other text."""
    root = etree.fromstring(XML)
    for _ in range(draw(st.integers(1, 4))):
        elements = list(root.iter())
        element = elements[draw(st.integers(0, len(elements) - 1))]
        parent = element.getparent()
        kind = draw(st.sampled_from(["text", "text", "text", "remove", "repeat", "move", "tag"]))
        if kind == "text":
            text = draw(ODD_TEXTS)
            element.text = "".join(letter for letter in text if letter.isprintable())
        elif kind == "tag":
            element.tag = draw(st.sampled_from(["object", "name", "bndbox", "xmin", "size", "x"]))
        elif parent is not None and kind == "remove":
            parent.remove(element)
        elif parent is not None and kind == "repeat":
            parent.append(copy.deepcopy(element))
        elif parent is not None:
            elements[draw(st.integers(0, len(elements) - 1))].append(copy.deepcopy(element))
    return etree.tostring(root, encoding=draw(st.sampled_from(["utf-8", "utf-16", "us-ascii"])))


def _places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items if isinstance(value, (dict, list)) else ():
        if isinstance(item, (dict, list)):
            yield from _places(item, (*path, key))
        else:
            yield (*path, key)


@st.composite
def changed_json(draw):
    """The JSON with values replaced, removed or repeated, at any depth."""
    content = copy.deepcopy(CONTENT)
    for _ in range(draw(st.integers(1, 4))):
        if not isinstance(content, (dict, list)):
            break
        places = list(_places(content))
        *path, key = places[draw(st.integers(0, len(places) - 1))] or (None,)
        if key is None:
            continue
        parent = content
        for step in path:
            parent = parent[step]
        kind = draw(st.sampled_from(["replace", "replace", "remove", "repeat"]))
        if kind == "replace":
            parent[key] = draw(ODD_VALUES)
        elif kind == "remove":
            del parent[key]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
    return json.dumps(content).encode(errors="surrogatepass")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """images/1.jpg and 2.jpg of 40x30 pixels, an empty folder xml."""
    folder = tmp_path_factory.mktemp("mutations")
    for name in ("images", "xml"):
        (folder / name).mkdir()
    for name in ("1.jpg", "2.jpg"):
        Image.new("RGB", (40, 30), (90, 120, 60)).save(folder / "images" / name)
    return folder


def _check_records(read, policies, num_given):
    """Reads and makes every record, as the converter does; errors must be InputErrors of a line.

    Without an error, a source with ``num_given`` objects must not become a set without any.
    """
    boxes = BoxOptions(bad_boxes=policies["bad_boxes"], unknown_classes=policies["unknown_classes"])
    images = ImageOptions(bad_images=policies["bad_images"], exif=policies["exif"])
    try:
        sources = read()
        surveyed = survey(sources)
        ceiling = Ceiling(sources, surveyed, max_dropped=100)
        ceiling.check_reader()
        plausibility.check(sources, surveyed, images, boxes)
        classes = labels.choose_classes(
            policies["classes"], sources, boxes.unknown_classes, surveyed=surveyed
        )
        numbered = {item.name: item.id for item in classes}
        rejects.to_lines(sources.rejects)
        statistics = Statistics(numbered)
        statistics.add_rejects(sources.rejects)
        for source in sources.images:
            statistics.add_rejects(_check_record(source, images, boxes, numbered, statistics))
        ceiling.check(statistics, [])
        assert statistics.total("objects") or not num_given
    except InputError as error:
        assert min(str(error)) >= " "
        assert len(str(error)) < 2500


def _check_record(source, images, boxes, numbered, statistics):
    try:
        image = read_image(source, images)
    except DroppedImage as error:
        dropped = [reject_image(source, error.reason)]
        rejects.to_lines(dropped)
        return dropped
    annotation, rejected = fit(source, image, numbered, boxes)
    rejects.to_lines(rejected)
    record = schema.parse_example(schema.to_example(annotation, image.encoded))
    found = record["boxes"].numpy()
    assert found.shape == (len(annotation.objects), 4)
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()
    assert (found[:, :2] < found[:, 2:]).all()
    assert np.isin(record["labels"], list(numbered.values())).all()
    assert np.isfinite(record["area"]).all() and (record["area"].numpy() >= 0).all()
    assert (record["height"], record["width"]) == (30, 40)
    dropped = {item.object for item in rejected if item.action == "dropped"}
    assert len(annotation.objects) + len(dropped) == len(source.objects)
    statistics.add(annotation)
    return rejected


def _num_in_xml(content):
    try:
        return len(etree.fromstring(content).findall("object"))
    except (etree.XMLSyntaxError, ValueError):
        return 0


def _num_in_json(content):
    try:
        given = json.loads(content.decode("utf-8-sig")).get("annotations")
        return len(given) if isinstance(given, list) else 0
    except (ValueError, AttributeError, RecursionError):
        return 0


def _read_voc(folder, content, policies, unannotated):
    (folder / "xml/1.xml").write_bytes(content)
    _check_records(
        lambda: voc.read_folder(
            str(folder / "xml"),
            str(folder / "images"),
            unannotated=unannotated,
            bad_images=policies["bad_images"],
        ),
        policies,
        _num_in_xml(content),
    )


def _read_coco(folder, content, policies):
    (folder / "i.json").write_bytes(content)
    _check_records(
        lambda: coco.read_instances(
            str(folder / "i.json"),
            str(folder / "images"),
            bad_images=policies["bad_images"],
            bad_boxes=policies["bad_boxes"],
            unknown_classes=policies["unknown_classes"],
        ),
        policies,
        _num_in_json(content),
    )


UNANNOTATED = st.sampled_from(["skip", "negative", "fail"])


@FUZZED
@given(content=changed_bytes(XML), policies=POLICIES, unannotated=UNANNOTATED)
def test_changed_bytes_of_xml(folder, content, policies, unannotated):
    _read_voc(folder, content, policies, unannotated)


@FUZZED
@given(content=changed_xml(), policies=POLICIES, unannotated=UNANNOTATED)
def test_changed_elements_of_xml(folder, content, policies, unannotated):
    _read_voc(folder, content, policies, unannotated)


@FUZZED
@given(content=changed_bytes(JSON), policies=POLICIES)
def test_changed_bytes_of_json(folder, content, policies):
    _read_coco(folder, content, policies)


@FUZZED
@given(content=changed_json(), policies=POLICIES)
def test_changed_values_of_json(folder, content, policies):
    _read_coco(folder, content, policies)


@FUZZED
@given(content=st.data())
def test_changed_bytes_of_images(folder, content):
    encoded = (folder / "images/1.jpg").read_bytes()
    path = folder / "changed.jpg"
    path.write_bytes(content.draw(changed_bytes(encoded)))
    source = SourceImage("1", str(path), "1.xml")
    for bad_images in ("fail", "drop", "repair"):
        try:
            image = read_image(source, ImageOptions(bad_images=bad_images))
        except InputError as error:
            assert bad_images == "fail"
            assert "\n" not in str(error)
        except DroppedImage:
            assert bad_images != "fail"
        else:
            window = [0, 0, image.height, image.width]
            schema.tf.io.decode_and_crop_jpeg(image.encoded, window, channels=3)


def test_what_is_not_changed_is_taken(folder):
    (folder / "xml/1.xml").write_bytes(XML)
    (source,) = voc.read_folder(str(folder / "xml"), str(folder / "images")).images
    assert [item.name for item in source.objects] == ["dog", "cat"]
    (folder / "i.json").write_bytes(JSON)
    sources = coco.read_instances(str(folder / "i.json"), str(folder / "images"))
    assert [len(image.objects) for image in sources.images] == [1, 1]
