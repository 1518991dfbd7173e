"""COCO instances JSON: boxes, ids, crowds, and the line that each fault gives."""

import gzip
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
        ({"annotations": [None]}, r"i\.json: no 'annotations' list: must be an instances JSON"),
        (
            {"images": [{"file_name": "a.jpg"}]},
            r"i\.json: image: no usable id; add it, or",
        ),
        (_image(id=[42]), r"i\.json: image: no usable id; add it, or pass --bad_images=drop"),
        ({"images": CONTENT["images"] * 2}, r"i\.json: duplicate image id 42; ids must be unique"),
        (
            {"images": [CONTENT["images"][1], {"id": "7", "file_name": "b.jpg"}]},
            r"i\.json: duplicate image id 7; ids must be unique$",
        ),
        (
            {"images": [{"id": 42, "file_name": "c.jpg"}]},
            r"i\.json: image 42: 'c\.jpg' is not in .*; add it, or pass --bad_images=drop$",
        ),
        ({"images": [{"id": 42, "file_name": "."}]}, r"i\.json: image 42: '\.' is not in "),
        (_image(file_name="\ud800.jpg"), r"image 42: '\\\\ud800\.jpg' is not in "),
        ({"images": [{"id": 42}]}, r"i\.json: image 42: no file_name; add it, or"),
        (_image(file_name=5), r"i\.json: image 42: no file_name; add it, or"),
        (_image(file_name=""), r"i\.json: image 42: no file_name; add it, or"),
        (
            _annotation(image_id=1),
            r"i\.json: annotation 1: image_id 1 is not an image of the JSON; correct it, or",
        ),
        (_annotation(image_id=None), r"i\.json: annotation 1: image_id None is not an image of"),
        (_annotation(image_id=[42]), r"i\.json: annotation 1: image_id \[42\] is not an image of"),
        (_annotation(category_id=[3]), r"annotation 1: category_id \[3\] is not a category of"),
        (_annotation(category_id=True), r"annotation 1: category_id True is not a category of"),
        (_annotation(category_id=1), r"annotation 1: category_id 1 is not a category of the JSON"),
    ],
)
def test_a_fault_is_one_line_that_names_it(read, changes, message):
    with pytest.raises(InputError, match=message) as error:
        read({"bad_boxes": "fail"}, **changes)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("given", "crowd"),
    [(None, False), (False, False), (True, True), (1.0, True), ("1", True), ("false", False)],
)
def test_spellings_of_iscrowd(read, given, crowd):
    sources = read(**_annotation(iscrowd=given))
    assert sources.images[0].objects[0].crowd is crowd
    assert list(sources.rejects) == []


@pytest.mark.parametrize("given", [2, -1, "yes", [], 0.5])
def test_another_iscrowd_is_0_and_named(read, given):
    sources = read(**_annotation(iscrowd=given))
    assert sources.images[0].objects[0].crowd is False
    (reject,) = sources.rejects
    assert (reject.reason, reject.action, reject.object) == ("bad_iscrowd", "kept", 1)
    assert reject.detail == f"iscrowd {given!r}: 0 is used"


@pytest.mark.parametrize("given", [float("nan"), "big", -1.5, False, 10**400, []])
def test_another_area_is_that_of_the_box_and_named(read, given):
    sources = read(**_annotation(area=given))
    assert sources.images[0].objects[0].area is None
    (reject,) = sources.rejects
    assert (reject.source_id, reject.object, reject.name) == ("42", 1, "brush")
    assert (reject.reason, reject.action) == ("bad_area", "kept")


@pytest.mark.parametrize(
    "size",
    [(0, 0), (-1, -1), ("64", "48"), (float("nan"), 48), (64, 10**400), (64, True), ([], 48)],
)
def test_a_size_that_is_none_is_unknown(read, size):
    assert read(**_image(width=size[0], height=size[1])).images[0].size is None


@pytest.mark.parametrize(
    "bbox", [None, [], [1, 2, 3], "1234", ["1", "2", "3", "4"], [1, 2, 3, True]]
)
def test_an_unusable_bbox_is_a_flaw_of_its_object(read, bbox):
    (item,) = read(**_annotation(bbox=bbox, segmentation=[])).images[0].objects
    assert item.flaw == "not_finite"


def test_without_a_bbox_the_box_surrounds_polygons_or_mask(read):
    polygons = [[10, 5, 20.5, 5, 20, 30], [8, 7, 9, 8, 9, 7]]
    sources = read(**_annotation(bbox=[], segmentation=polygons))
    assert sources.images[0].objects[0].box == (5.0, 8.0, 30.0, 20.5)
    (reject,) = sources.rejects
    assert (reject.reason, reject.action, reject.detail) == ("polygon", "enclosed", "bbox []")
    # 5 rows: one pixel in the column 0, rows 3 and 4 of column 1 and the first of column 2.
    mask = {"size": [5, 4], "counts": [2, 1, 5, 3, 9]}
    sources = read(**_annotation(bbox=None, segmentation=mask))
    assert sources.images[0].objects[0].box == (0.0, 0.0, 5.0, 3.0)


def test_a_turned_box_becomes_the_upright_one_around_it(read):
    item = {"bbox": [40, 20, 80, 60], "attributes": {"occluded": False, "rotation": 45.0}}
    sources = read(**_annotation(**item))
    # Half a side is (80 + 60) / 2 of cos 45°; the centre is (80, 50).
    expected = [50 - 49.4975, 80 - 49.4975, 50 + 49.4975, 80 + 49.4975]
    assert sources.images[0].objects[0].box == pytest.approx(expected, abs=1e-4)
    (reject,) = sources.rejects
    assert (reject.reason, reject.action) == ("rotation", "enclosed")
    assert reject.detail == "turned by 45 degrees"


@pytest.mark.parametrize("rotation", [0, 180.0, -360, "north", None, float("nan"), True])
def test_other_rotations_change_nothing(read, rotation):
    sources = read(**_annotation(attributes={"rotation": rotation}))
    assert sources.images[0].objects[0].box == (2.25, 1.5, 22.25, 12.0)
    assert list(sources.rejects) == []


def test_one_file_under_two_ids_is_one_image(read):
    images = [*CONTENT["images"], {"id": 9, "file_name": "b.jpg"}]
    items = [{**CONTENT["annotations"][2], "id": 5, "image_id": 9}, *CONTENT["annotations"]]
    sources = read(images=images, annotations=items)
    assert [image.source_id for image in sources.images] == ["42", "7"]
    objects = sources.images[0].objects
    assert [item.annotation_id for item in objects] == [1, 2, 3, 5]
    assert [item.index for item in objects] == [1, 2, 3, 4]
    (note,) = sources.notes
    assert "image files that are listed under several ids: 1; each is one image" in note


def test_a_gzipped_json_is_read(read, tmp_path):
    expected = list(read().images)
    packed = gzip.compress((tmp_path / "i.json").read_bytes())
    (tmp_path / "i.json").write_bytes(packed)
    found = read_instances(str(tmp_path / "i.json"), str(tmp_path))
    assert list(found.images) == expected
    (tmp_path / "i.json").write_bytes(packed[:-20])
    with pytest.raises(InputError, match=r"i\.json: cannot be read as JSON: damaged gzip file"):
        read_instances(str(tmp_path / "i.json"), str(tmp_path))


def test_a_bomb_is_not_unpacked(tmp_path):
    with gzip.open(tmp_path / "i.json", "wb") as file:
        file.write(b"{" + b" " * 2**27)
    with pytest.raises(InputError, match="unpacks to more than 200 times its size"):
        read_instances(str(tmp_path / "i.json"), str(tmp_path))


def test_an_image_is_found_by_its_name_wherever_it_was(read, tmp_path):
    (tmp_path / "val").mkdir()
    (tmp_path / "val/c.jpg").touch()
    images = [
        {"id": 42, "file_name": r"..\..\label-studio\upload\4\b.jpg"},
        {"id": 7, "coco_url": "http://images.org/val2017/a.jpg"},
        {"id": 8, "file_name": "/data/c.jpg"},
    ]
    sources = read(images=images)
    paths = [image.image_path for image in sources.images]
    assert paths == [str(tmp_path / name) for name in ("b.jpg", "a.jpg", "val/c.jpg")]
    assert any("2 of 3 images" in note for note in sources.notes)


def test_a_link_out_of_the_folder_is_missing_unless_links_are_followed(read, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-blob"
    outside.touch()
    (tmp_path / "b.jpg").unlink()
    (tmp_path / "b.jpg").symlink_to(outside)
    with pytest.raises(InputError, match=r"'b\.jpg' is not in .*; links that .*--links=follow"):
        read()
    sources = read({"bad_images": "drop"})
    assert any("links not followed: 1 (" in note for note in sources.notes)
    assert sources.lost == {"brush": 1, "car": 2}
    assert len(read({"links": "follow"}).images) == 2


def test_whether_ids_are_numbers_is_said(read):
    assert read().origin["image_ids"] == "integer"
    images = [{"id": "42", "file_name": "b.jpg"}]
    assert read(images=images, annotations=[]).origin["image_ids"] == "string"


def test_ids_may_be_of_different_kinds(read):
    """Of images and annotations: 7, 7.0 and "7" are one; of categories as well."""
    items = [
        {**CONTENT["annotations"][2], "image_id": "42"},
        {**CONTENT["annotations"][2], "image_id": 42.0, "category_id": "3"},
    ]
    assert len(read(annotations=items).images[0].objects) == 2


@pytest.mark.parametrize(
    ("categories", "expected", "note"),
    [
        # Roboflow's root, of another name and of the same.
        (
            [{"id": 0, "name": "pets"}, {"id": 3, "name": "car", "supercategory": "pets"}],
            {"car": 3},
            "left out categories that have no annotation: pets (0)",
        ),
        (
            [{"id": 0, "name": "car"}, {"id": 3, "name": "car", "supercategory": "car"}],
            {"car": 3},
            "left out categories that have no annotation: car (0)",
        ),
        ([{"id": 3, "name": "car"}, {"id": 3, "name": "car"}], {"car": 3}, ""),
        ([{"id": 3, "name": "car"}, {"id": 4, "name": "bus"}], {"car": 3, "bus": 4}, ""),
        ([{"id": 3, "name": "car", "supercategory": "car"}], {"car": 3}, ""),
        ([{"id": 3, "name": " caf\u0065\u0301 "}], {"caf\u00e9": 3}, ""),
        (
            [{"id": 3, "name": "car"}, {"id": 5, "name": " "}, {"name": "x"}],
            {"car": 3},
            "left out categories without an id or a name: ' ', 'x'",
        ),
    ],
)
def test_only_categories_that_matter_are_classes(read, categories, expected, note):
    sources = read(categories=categories, annotations=CONTENT["annotations"][2:])
    assert sources.category_ids == expected
    assert [text.partition("i.json: ")[2] for text in sources.notes] == [note] * bool(note)


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        (
            [{"id": 3, "name": "car"}, {"id": 90, "name": "car"}],
            "category car: duplicate name;",
        ),
        (
            [{"id": 3, "name": "car"}, {"id": 3, "name": "bus"}, {"id": 90, "name": "x"}],
            "category bus: duplicate id 3; ids and names of categories that have annotations must",
        ),
    ],
)
def test_two_used_categories_may_not_share_an_id_or_a_name(read, categories, message):
    with pytest.raises(InputError, match=message):
        read(categories=categories)


def test_a_byte_order_mark_is_skipped(read, tmp_path):
    expected = read()
    path = tmp_path / "i.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert list(read_instances(str(path), str(tmp_path)).images) == list(expected.images)


def test_a_size_in_floats_is_one(read):
    assert read(**_image(width=64.0, height=48.0)).images[0].size == (64, 48)


def test_ids_of_images_may_be_strings(read):
    sources = read(**_image(id="b-1"), **_annotation(image_id="b-1"))
    assert sources.images[0].source_id == "b-1"
    assert len(sources.images[0].objects) == 1


def test_annotation_ids_are_kept_where_they_are_numbers(read):
    assert [item.annotation_id for item in read().images[0].objects] == [1, 2, 3]
    for other in ("a1", 2**63, True, None, [1]):
        assert read(**_annotation(id=other)).images[0].objects[0].annotation_id == -1


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
    assert (reject.detail, reject.num_objects) == (
        "'c.jpg' is not in " + sources.origin["images_dir"],
        0,
    )


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
