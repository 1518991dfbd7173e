"""COCO's JSON in folders of all kinds: which file is of which split, and where its images are."""

import gzip
import json

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.layouts import recognition
from ssd_tfrecord.records.sources.layouts.layout import Policies


def _content(*names, **more):
    images = [{"id": number, "file_name": name} for number, name in enumerate(names, 1)]
    box = {"category_id": 1, "bbox": [1, 2, 3, 4]}
    items = [{"id": image["id"], "image_id": image["id"], **box} for image in images]
    content = {"images": images, "annotations": items, "categories": [{"id": 1, "name": "cat"}]}
    return json.dumps({**content, **more})


@pytest.fixture
def read(tmp_path, write_file):
    """A function: {split: paths of images} of a folder with these files."""

    def make(files):
        for name, content in files.items():
            write_file(tmp_path / name, content)
        parts = recognition.recognise(str(tmp_path), "coco").parts
        found = {part.name: part.read(Policies()).images for part in parts}
        start = len(str(tmp_path)) + 1
        return {
            name: [item.image_path[start:] for item in images] for name, images in found.items()
        }

    make.folder = tmp_path
    return make


@pytest.mark.parametrize(
    ("annotations", "name", "image"),
    [
        ("annotations/instances_train2017.json", "1.jpg", "train2017/1.jpg"),
        ("annotations/instances_train2017.json", "1.jpg", "images/train2017/1.jpg"),
        ("annotations/instances_train.json", "images/1.jpg", "images/1.jpg"),
        ("annotations/train.json", "1.jpg", "images/1.jpg"),
        ("train/_annotations.coco.json", "1.jpg", "train/1.jpg"),
        ("train/labels.json", "1.jpg", "train/data/1.jpg"),
        ("coco/train.json", "a\\1.jpg", "images/a/1.jpg"),
    ],
)
def test_where_images_are(read, annotations, name, image):
    # Another image of this name is of another split.
    files = {annotations: _content(name), image: b"x", "test/1.jpg": b"y"}
    assert read(files) == {"train": [image]}


def test_names_without_splits_are_one_set(read):
    found = read({"result.json": _content("images/1.jpg"), "images/1.jpg": b"x"})
    assert found == {"": ["images/1.jpg"]}


def test_several_files_of_a_split_are_one_set(read):
    files = {"train_a.json": _content("1.jpg"), "train_b.json": _content("2.jpg")}
    images = {"1.jpg": b"x", "2.jpg": b"y"}
    assert read({**files, **images}) == {"train": ["1.jpg", "2.jpg"]}
    (part,) = recognition.recognise(str(read.folder)).parts
    # Both count from 1.
    ids = [image.source_id for image in part.read(Policies()).images]
    assert ids == ["train_a.json/1", "train_b.json/1"]


def test_an_image_in_two_files_of_a_split_is_an_error(read):
    with pytest.raises(InputError, match=r"1\.jpg: is annotated twice, in two of a\.json, b\.json"):
        read({"a.json": _content("1.jpg"), "b.json": _content("1.jpg"), "1.jpg": b"x"})


def test_gzipped_json(read):
    packed = gzip.compress(_content("1.jpg").encode())
    assert read({"val.json.gz": packed, "1.jpg": b"x"}) == {"val": ["1.jpg"]}


def test_other_json_of_coco_is_not_used_beside_instances(read):
    files = {"annotations/instances_val.json": _content("1.jpg"), "images/1.jpg": b"x"}
    keypoints = {"annotations/person_keypoints_val.json": _content("1.jpg")}
    assert read({**files, **keypoints}) == {"val": ["images/1.jpg"]}
    notes = recognition.recognise(str(read.folder)).notes
    assert notes == ("not used, as there are instances: annotations/person_keypoints_val.json",)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "[" * 100_000,
        b"\xff",
        json.dumps({"images": 7}),
        json.dumps({"images": [], "annotations": [{"image_id": 1, "caption": "a cat"}]}),
        json.dumps({"annotations": [{"image_id": 1, "segments_info": []}], "images": []}),
        json.dumps({"version": 1, "shapes": []}),
    ],
)
def test_json_of_other_kinds_is_not_recognised(read, content):
    with pytest.raises(InputError, match="nothing found"):
        read({"a.json": content, "1.jpg": b"x"})


def test_lists_in_any_order(read):
    content = json.loads(_content("1.jpg"))
    turned = json.dumps(dict(reversed(content.items())))
    assert read({"a.json": turned, "images/1.jpg": b"x"}) == {"": ["images/1.jpg"]}
