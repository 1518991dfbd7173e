"""COCO instances JSON: boxes, ids, crowds, and the line that each fault gives."""

import json

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.coco import read_instances

CONTENT = {
    "images": [
        {"id": 42, "file_name": "b.jpg", "width": 64, "height": 48},
        {"id": 7, "file_name": "a.jpg"},
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 42,
            "category_id": 90,
            "bbox": [1.5, 2.25, 10.5, 20.0],
            "area": 99.125,
            "iscrowd": 1,
            "segmentation": {"counts": [1, 2], "size": [48, 64]},
        },
        {"id": 2, "image_id": 42, "category_id": 3, "bbox": [0, 0, 0.0, 5], "area": 0},
        {"id": 3, "image_id": 42, "category_id": 3, "bbox": [4, 5, 6, 7]},
    ],
    "categories": [{"id": 90, "name": "brush"}, {"id": 3, "name": "car"}],
}


@pytest.fixture
def read(tmp_path):
    """Reads CONTENT with some of its lists replaced, beside images a.jpg and b.jpg."""
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()

    def call(**changes):
        content = {**CONTENT, **changes}
        kept = {key: value for key, value in content.items() if value is not None}
        (tmp_path / "i.json").write_text(json.dumps(kept))
        return read_instances(str(tmp_path / "i.json"), str(tmp_path))

    return call


def test_images_objects_and_ids_are_read(read, tmp_path):
    sources = read()
    first, second = sources.images
    assert (first.source_id, first.size, first.image_path) == (
        "42",
        (64, 48),
        str(tmp_path / "b.jpg"),
    )
    assert (second.source_id, second.size, second.objects) == ("7", None, ())
    crowd, _, car = first.objects
    assert crowd.box == (2.25, 1.5, 22.25, 12.0)
    assert (crowd.name, crowd.crowd, crowd.area, crowd.index) == ("brush", True, 99.125, 1)
    assert (car.name, car.crowd, car.area, car.index) == ("car", False, None, 3)
    assert list(sources.category_ids.items()) == [("car", 3), ("brush", 90)]
    assert sources.pixel_origin == 0


def test_a_box_without_area_is_named(read):
    assert [item.flaw for item in read().images[0].objects] == ["", "zero_area", ""]


def test_a_json_without_annotations_comes_without_objects_and_says_so(read):
    sources = read(annotations=None)
    assert [image.objects for image in sources.images] == [(), ()]
    assert sources.notes[0].endswith("i.json: has no annotations: converted without objects")


def _annotation(**changes):
    return {"annotations": [{**CONTENT["annotations"][0], **changes}]}


def _image(**changes):
    return {"images": [{**CONTENT["images"][0], **changes}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": None}, r"i\.json: no list of 'categories': must be an instances JSON"),
        ({"images": {}}, r"i\.json: no list of 'images': must be an instances JSON: images"),
        ({"annotations": [3]}, r"i\.json: no list of 'annotations': must be an instances JSON"),
        (
            {"annotations": [{"image_id": 42, "segments_info": [], "category_id": 3}]},
            r"i\.json: annotation \?: no 'bbox': must be an instances JSON",
        ),
        ({"images": [{"file_name": "a.jpg"}]}, r"i\.json: images: no 'id'"),
        ({"images": CONTENT["images"] * 2}, r"i\.json: image id 42 is there twice: must be once"),
        (
            {"images": [{"id": 42, "file_name": "c.jpg"}]},
            r"i\.json: image 42: 'c\.jpg' is not in ",
        ),
        (
            {"images": [{"id": 42, "file_name": "../a.jpg"}]},
            r"i\.json: image 42: '\.\./a\.jpg' must be a name inside ",
        ),
        ({"images": [{"id": 42}]}, r"i\.json: image 42: no 'file_name'"),
        (_image(file_name=5), r"i\.json: image 42: file_name 5: must be a string$"),
        (_image(id=[42]), r"i\.json: images: id \[42\]: must be a whole number or a string$"),
        (_image(width="20"), r"i\.json: image 42: width '20': must be a number$"),
        (_image(height=True), r"i\.json: image 42: height True: must be a number$"),
        (
            {"images": [CONTENT["images"][1], {"id": "7", "file_name": "b.jpg"}]},
            r"i\.json: image id 7 is there twice: must be once$",
        ),
        (_annotation(image_id=1), r"i\.json: annotation 1: image_id 1 is no image of the JSON"),
        (_annotation(image_id=None), r"i\.json: annotation 1: no 'image_id'"),
        (
            _annotation(image_id=[42]),
            r"i\.json: annotation 1: image_id \[42\]: must be a whole numb",
        ),
        (_annotation(category_id=[3]), r"annotation 1: category_id \[3\]: must be a whole number$"),
        (_annotation(category_id=True), r"annotation 1: category_id True: must be a whole number$"),
        (_annotation(category_id=1), r"annotation 1: category_id 1 is no category of the JSON"),
        (_annotation(bbox=[1, 2, 3]), r"annotation 1: bbox \[1, 2, 3\]: must be \[x, y, width"),
        (_annotation(bbox=[1, 2, 3, float("nan")]), r"annotation 1: bbox .*nan\]: must be \[x"),
        (_annotation(bbox="1234"), r"annotation 1: bbox '1234': must be \[x, y, width, height\]"),
        (_annotation(bbox=[1, 2, 3, True]), r"annotation 1: bbox \[.*True\]: must be \[x, y"),
        (_annotation(bbox=[1, 2, 3, 10**400]), r"annotation 1: bbox .*0\.\.\.0+\]: must be \[x, y"),
        (_annotation(area="big"), r"annotation 1: area 'big': must be a number of pixels"),
        (_annotation(area=-1.5), r"annotation 1: area -1\.5: must be a number of pixels"),
        (_annotation(area=False), r"annotation 1: area False: must be a number of pixels"),
        (_annotation(iscrowd=2), r"annotation 1: iscrowd 2: must be 0 or 1"),
        ({"categories": CONTENT["categories"] * 2}, r"categories: must have each id and each name"),
        (
            {"categories": [{"id": "3", "name": "car"}]},
            r"i\.json: category 'car': id '3': must be a whole number$",
        ),
        (
            {"categories": [{"id": True, "name": "car"}]},
            r"category 'car': id True: must be a whole",
        ),
        (
            {"categories": [{"id": [3], "name": "car"}]},
            r"category 'car': id \[3\]: must be a whole",
        ),
        ({"categories": [{"id": 3, "name": ["car"]}]}, r"\['car'\]: name \['car'\]: must be a str"),
        ({"categories": [{"id": 3}]}, r"i\.json: category '\?': no 'name'"),
    ],
)
def test_a_fault_is_one_line_that_names_it(read, changes, message):
    with pytest.raises(InputError, match=message) as error:
        read(**changes)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_byte_order_mark_is_skipped(read, tmp_path):
    expected = read()
    path = tmp_path / "i.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_instances(str(path), str(tmp_path)) == expected


@pytest.mark.parametrize(("size", "known"), [((0, 0), None), ((64.0, 48.0), (64, 48))])
def test_a_size_of_0_is_unknown_and_a_whole_float_is_one(read, size, known):
    sources = read(**_image(width=size[0], height=size[1]))
    assert sources.images[0].size == known


def test_ids_of_images_may_be_strings(read):
    sources = read(**_image(id="b-1"), **_annotation(image_id="b-1"))
    assert sources.images[0].source_id == "b-1"
    assert len(sources.images[0].objects) == 1


def test_no_json(tmp_path):
    (tmp_path / "i.json").write_text('{"images": [')
    with pytest.raises(InputError, match=r"i\.json: no JSON: Expecting value"):
        read_instances(str(tmp_path / "i.json"), str(tmp_path))


def test_a_missing_json_or_folder(tmp_path):
    with pytest.raises(InputError, match=r"--annotations=.*none\.json: cannot be read: No such"):
        read_instances(str(tmp_path / "none.json"), str(tmp_path))
    with pytest.raises(InputError, match="--images_dir=none: must be a folder"):
        read_instances(str(tmp_path / "none.json"), "none")
