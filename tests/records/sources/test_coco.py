"""COCO instances JSON: boxes, ids, crowds, and the line that each fault gives."""

import json

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.coco import read_instances

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

    def call(policies=None, **changes):
        content = {**CONTENT, **changes}
        kept = {key: value for key, value in content.items() if value is not None}
        (tmp_path / "i.json").write_text(json.dumps(kept))
        return read_instances(str(tmp_path / "i.json"), str(tmp_path), **(policies or {}))

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


@pytest.mark.parametrize("spelling", ["missing", "null"])
def test_a_json_without_annotations_comes_without_objects_and_says_so(read, tmp_path, spelling):
    sources = read(annotations=None)
    if spelling == "null":
        (tmp_path / "i.json").write_text(json.dumps({**CONTENT, "annotations": None}))
        sources = read_instances(str(tmp_path / "i.json"), str(tmp_path))
    assert [image.objects for image in sources.images] == [(), ()]
    assert sources.notes[0].endswith(
        "i.json: has no annotations; its images are converted without objects"
    )


def _annotation(**changes):
    return {"annotations": [{**CONTENT["annotations"][0], **changes}]}


def _image(**changes):
    return {"images": [{**CONTENT["images"][0], **changes}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": None}, r"i\.json: no 'categories' list: must be an instances JSON"),
        ({"images": {}}, r"i\.json: no 'images' list: must be an instances JSON: images"),
        ({"annotations": [3]}, r"i\.json: no 'annotations' list: must be an instances JSON"),
        (
            {"annotations": [{"image_id": 42, "category_id": 3}]},
            r"i\.json: annotation '\?': no 'bbox': must be an instances JSON",
        ),
        ({"images": [{"file_name": "a.jpg"}]}, r"i\.json: images: no 'id'"),
        ({"images": CONTENT["images"] * 2}, r"i\.json: duplicate image id 42; ids must be unique"),
        (
            {"images": [{"id": 42, "file_name": "c.jpg"}]},
            r"i\.json: image 42: 'c\.jpg' is not in ",
        ),
        (
            {"images": [{"id": 42, "file_name": "../a.jpg"}]},
            r"i\.json: image 42: '\.\./a\.jpg' must be a path inside ",
        ),
        ({"images": [{"id": 42}]}, r"i\.json: image 42: no 'file_name'"),
        (_image(file_name=5), r"i\.json: image 42: file_name 5: must be a string$"),
        (_image(id=[42]), r"i\.json: images: id \[42\]: must be a whole number or a string$"),
        (_image(width="20"), r"i\.json: image 42: width '20': must be a number$"),
        (_image(height=True), r"i\.json: image 42: height True: must be a number$"),
        (
            {"images": [CONTENT["images"][1], {"id": "7", "file_name": "b.jpg"}]},
            r"i\.json: duplicate image id 7; ids must be unique$",
        ),
        (
            _annotation(image_id=1),
            r"i\.json: annotation 1: image_id 1 is not an image of the JSON; correct it, or",
        ),
        (_annotation(image_id=None), r"i\.json: annotation 1: no 'image_id'"),
        (
            _annotation(image_id=[42]),
            r"i\.json: annotation 1: image_id \[42\]: must be a whole numb",
        ),
        (_annotation(category_id=[3]), r"annotation 1: category_id \[3\]: must be a whole number$"),
        (_annotation(category_id=True), r"annotation 1: category_id True: must be a whole number$"),
        (_annotation(category_id=1), r"annotation 1: category_id 1 is not a category of the JSON"),
        (_annotation(bbox=[1, 2, 3]), r"annotation 1: bbox \[1, 2, 3\]: must be \[x, y, width"),
        (_annotation(bbox="1234"), r"annotation 1: bbox '1234': must be \[x, y, width, height\]"),
        (_annotation(bbox=[1, 2, 3, True]), r"annotation 1: bbox \[.*True\]: must be \[x, y"),
        (_annotation(id=2**63), r"annotation 9223372036854775808: id must be a 64-bit integer"),
        (
            _image(width=float("nan")),
            r"i\.json: image 42: size \(nan, 48\): must be numbers of pix",
        ),
        (_image(height=10**400), r"i\.json: image 42: size \(64, 10*\.\.\.0*\): must be numbers"),
        (
            _image(file_name="\ud800.jpg"),
            r"i\.json: image 42: file_name '\\ud800\.jpg': must be a str",
        ),
        (_annotation(area=float("nan")), r"annotation 1: area nan: must be a number of pixels"),
        (_annotation(area="big"), r"annotation 1: area 'big': must be a number of pixels"),
        (_annotation(area=-1.5), r"annotation 1: area -1\.5: must be a number of pixels"),
        (_annotation(area=False), r"annotation 1: area False: must be a number of pixels"),
        (_annotation(iscrowd=2), r"annotation 1: iscrowd 2: must be 0 or 1"),
        (
            {"categories": CONTENT["categories"] * 2},
            r"i\.json: category 'brush': duplicate id 90; ids and names must be unique$",
        ),
        (
            {"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "cat"}]},
            r"i\.json: category 'cat': duplicate name; ids and names must be unique$",
        ),
        ({"categories": [{"id": 3, "name": " "}]}, r"category ' ': name must not be blank"),
        ({"annotations": [None]}, r"i\.json: no 'annotations' list: must be an instances JSON"),
        ({"images": [{"id": 42, "file_name": ""}]}, r"i\.json: image 42: '' is not in "),
        ({"images": [{"id": 42, "file_name": "."}]}, r"i\.json: image 42: '\.' is not in "),
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
        read({"bad_boxes": "fail"}, **changes)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("given", "crowd"), [(None, False), (False, False), (True, True), (1.0, True)]
)
def test_spellings_of_iscrowd(read, given, crowd):
    assert read(**_annotation(iscrowd=given)).images[0].objects[0].crowd is crowd


def test_a_byte_order_mark_is_skipped(read, tmp_path):
    expected = read()
    path = tmp_path / "i.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert list(read_instances(str(path), str(tmp_path)).images) == list(expected.images)


@pytest.mark.parametrize(("size", "known"), [((0, 0), None), ((64.0, 48.0), (64, 48))])
def test_a_size_of_0_is_unknown_and_a_whole_float_is_one(read, size, known):
    sources = read(**_image(width=size[0], height=size[1]))
    assert sources.images[0].size == known


def test_ids_of_images_may_be_strings(read):
    sources = read(**_image(id="b-1"), **_annotation(image_id="b-1"))
    assert sources.images[0].source_id == "b-1"
    assert len(sources.images[0].objects) == 1


def test_annotation_ids_are_kept_where_they_are_numbers(read):
    assert [item.annotation_id for item in read().images[0].objects] == [1, 2, 3]
    assert read(**_annotation(id="a1")).images[0].objects[0].annotation_id == -1


@pytest.mark.parametrize(
    "bbox", [[1, 2, 3, float("nan")], [1, 2, float("inf"), 4], [1, 2, 3, 10**400]]
)
def test_a_box_that_is_not_finite_is_named(read, bbox):
    assert read(**_annotation(bbox=bbox)).images[0].objects[0].flaw == "not_finite"


@pytest.mark.parametrize("bad_boxes", ["drop", "clip"])
def test_annotations_of_unknown_images_are_dropped_and_named(read, bad_boxes):
    items = [*CONTENT["annotations"], {**CONTENT["annotations"][0], "id": 9, "image_id": 8}]
    sources = read({"bad_boxes": bad_boxes}, annotations=items)
    assert [len(image.objects) for image in sources.images] == [3, 0]
    (reject,) = sources.rejects
    assert reject.file.endswith("i.json: annotation 9")
    assert (reject.source_id, reject.reason, reject.action) == ("8", "unknown_image", "dropped")
    assert reject.object == -1  # counts as an object, not as an image


def test_annotations_of_unknown_categories_are_dropped_and_named(read):
    items = [*CONTENT["annotations"], {**CONTENT["annotations"][0], "id": 9, "category_id": 8}]
    sources = read({"unknown_classes": "drop"}, annotations=items)
    assert [len(image.objects) for image in sources.images] == [3, 0]
    (reject,) = sources.rejects
    assert (reject.source_id, reject.object) == ("42", 4)
    assert (reject.reason, reject.action) == ("unknown_class", "dropped")
    assert reject.detail == "category_id 8"


@pytest.mark.parametrize("bad_images", ["drop", "repair"])
def test_missing_images_are_dropped_and_named(read, bad_images):
    images = [*CONTENT["images"], {"id": 5, "file_name": "c.jpg"}]
    sources = read({"bad_images": bad_images}, images=images)
    assert [image.source_id for image in sources.images] == ["42", "7"]
    (reject,) = sources.rejects
    assert (reject.source_id, reject.reason, reject.action) == ("5", "missing_image", "dropped")
    assert (reject.detail, reject.num_objects) == ("looked for c.jpg", 0)


def test_file_names_have_folders_spaces_and_any_letters(read, tmp_path):
    (tmp_path / "val 2017").mkdir()
    (tmp_path / "val 2017/größe ✓.JPG").touch()
    image = {"images": [{"id": 42, "file_name": "val 2017/größe ✓.JPG"}]}
    sources = read(**image)
    assert sources.images[0].image_path == str(tmp_path / "val 2017/größe ✓.JPG")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"annotations": [{"image_id": 42, "segments_info": [], "file_name": "42.png"}]},
            r"i\.json: must be an instances JSON: .*; this is a panoptic file$",
        ),
        (
            {"annotations": [{"id": 1, "image_id": 42, "caption": "x"}], "categories": None},
            r"i\.json: must be an instances JSON: .*; this is a captions file$",
        ),
    ],
)
def test_cocos_other_files_are_named(read, content, message):
    with pytest.raises(InputError, match=message):
        read(**content)


def test_a_file_of_results_is_named(tmp_path):
    (tmp_path / "i.json").write_text('[{"image_id": 42, "bbox": [1, 2, 3, 4]}]')
    with pytest.raises(
        InputError, match=r"not a JSON object: must be .*; this is a list, as in a file of res"
    ):
        read_instances(str(tmp_path / "i.json"), str(tmp_path))


def test_crowds_as_rle_and_files_of_keypoints_are_read(read):
    crowd = {**CONTENT["annotations"][0], "segmentation": {"counts": "PQ3", "size": [48, 64]}}
    person = {**CONTENT["annotations"][2], "keypoints": [1, 2, 2], "num_keypoints": 1}
    found = read(annotations=[crowd, person]).images[0].objects
    assert [(item.crowd, item.box) for item in found] == [
        (True, (2.25, 1.5, 22.25, 12.0)),
        (False, (5.0, 4.0, 12.0, 10.0)),
    ]


def test_no_json(tmp_path):
    (tmp_path / "i.json").write_text('{"images": [')
    with pytest.raises(InputError, match=r"i\.json: cannot be read as JSON: Expecting value"):
        read_instances(str(tmp_path / "i.json"), str(tmp_path))


def test_a_missing_json_or_folder(tmp_path):
    with pytest.raises(InputError, match=r"--annotations=.*none\.json: cannot be read: No such"):
        read_instances(str(tmp_path / "none.json"), str(tmp_path))
    with pytest.raises(InputError, match="--images_dir=none: must be a folder"):
        read_instances(str(tmp_path / "none.json"), "none")
