"""labelme: shapes of all kinds, groups, images that are elsewhere, and files that are damaged."""

import json
import math

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.layouts import labelme, recognition
from ssd_tfrecord.records.sources.layouts.layout import Policies


def _shape(points, kind="rectangle", label="cat", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


SQUARE = _shape([[30, 20], [10, 5]])


@pytest.fixture
def root(tmp_path, write_file):
    """A folder with a.jpg, and a function that reads it with a.json of these shapes."""
    write_file(tmp_path / "a.jpg", b"x")

    def read(*shapes, content=None, **policies):
        usual = {"imagePath": "a.jpg", "imageHeight": 30, "imageWidth": 40, "shapes": shapes}
        write_file(tmp_path / "a.json", json.dumps({**usual, **(content or {})}))
        (part,) = recognition.recognise(str(tmp_path), "labelme").parts
        return part.read(Policies(**policies))

    read.folder = tmp_path
    return read


def test_a_rectangle_from_any_corner(root):
    (image,) = root(
        SQUARE, _shape([[10, 20], [30, 5]]), _shape([[1, 1], [1, 2], [3, 2], [3, 1]])
    ).images
    assert [item.box for item in image.objects] == [(5, 10, 20, 30)] * 2 + [(1, 1, 2, 3)]
    assert (image.source_id, image.size) == ("a.jpg", (40, 30))
    assert image.image_path == str(root.folder / "a.jpg")


@pytest.mark.parametrize(
    ("shape", "box", "reason"),
    [
        (_shape([[1, 2], [9, 4], [5, 8]], "polygon"), (2, 1, 8, 9), "polygon"),
        (_shape([[20, 15], [23, 19]], "circle"), (10, 15, 20, 25), "polygon"),
        (_shape([[5, 0], [10, 5], [5, 10], [0, 5]], "rotation"), (0, 0, 10, 10), "rotation"),
        (_shape([[1, 2], [9, 8]], "mask", mask="aGFsbG8="), (2, 1, 8, 9), None),
    ],
)
def test_shapes_that_become_boxes(root, shape, box, reason):
    sources = root(shape)
    assert sources.images[0].objects[0].box == box
    found = [(item.reason, item.action, item.object) for item in sources.rejects]
    assert found == ([(reason, "enclosed", 1)] if reason else [])


def test_an_old_file_has_polygons_without_saying_so(root):
    sources = root({"label": "cat", "points": [[1, 2], [9, 4], [5, 8]]})
    assert sources.images[0].objects[0].box == (2, 1, 8, 9)


@pytest.mark.parametrize("kind", ["point", "line", "linestrip", "points"])
def test_what_covers_nothing_is_skipped_and_counted(root, kind):
    sources = root(SQUARE, _shape([[1, 2]], kind), _shape([[3, 4]], kind))
    assert len(sources.images[0].objects) == 1
    found = [(item.reason, item.action, item.object) for item in sources.rejects]
    assert found == [(kind, "skipped", 2), (kind, "skipped", 3)]
    where = f"{root.folder}/a.json: shape 2"
    note = f"shapes of the kind '{kind}', which have no area, skipped: 2 ({where})"
    assert sources.notes == (note,)


def test_a_group_is_one_object(root):
    left = _shape([[1, 1], [2, 2], [1, 2]], "polygon", group_id=1)
    right = _shape([[8, 3], [9, 4], [8, 4]], "polygon", group_id=1)
    other = _shape([[8, 3], [9, 4], [8, 4]], "polygon", group_id=1, label="dog")
    alone = _shape([[8, 3], [9, 4], [8, 4]], "polygon", group_id=None)
    objects = root(left, right, other, alone, alone).images[0].objects
    assert [(item.name, item.box) for item in objects] == [
        ("cat", (1, 1, 4, 9)),
        ("dog", (3, 8, 4, 9)),
        ("cat", (3, 8, 4, 9)),
        ("cat", (3, 8, 4, 9)),
    ]


def test_difficult(root):
    objects = root(_shape([[1, 1], [2, 2]], difficult=True), SQUARE).images[0].objects
    assert [item.difficult for item in objects] == [True, False]


@pytest.mark.parametrize(
    "points",
    [
        [],
        [[1, 2]],
        [[1, 2], [3, 4], [5, 6]],
        [[1, 2], [3, "4"]],
        [[1, 2], [3, True]],
        [[1, 2], 3],
        None,
        "x",
        [[1, 2], [3, float("nan")]],
        [[1, 2], [3, 10**400]],
    ],
)
def test_a_rectangle_that_is_none(root, points):
    good, bad = root(SQUARE, _shape(points)).images[0].objects
    assert (good.flaw, bad.flaw, bad.name) == ("", "not_finite", "cat")
    assert all(map(math.isnan, bad.box))
    with pytest.raises(InputError, match=r"a\.json: shape 2: 'rectangle' with points .*must have"):
        root(SQUARE, _shape(points), bad_boxes="fail")


@pytest.mark.parametrize("shape", [_shape([[1, 2], [3, 4]], label=""), 7, None, [], {"points": []}])
def test_a_shape_without_a_label(root, shape):
    with pytest.raises(InputError, match=r"shape 2: no label: must have one; correct it, or pass"):
        root(SQUARE, shape)
    sources = root(SQUARE, shape, unknown_classes="drop")
    assert len(sources.images[0].objects) == 1
    assert [item.reason for item in sources.rejects] == ["unknown_class"]


def test_a_number_is_a_label(root):
    assert root(_shape([[1, 2], [3, 4]], label=7)).images[0].objects[0].name == "7"


@pytest.mark.parametrize("size", [(0, 0), (None, 30), ("40", 30), (-1, 30), (True, 30)])
def test_sizes_that_are_none(root, size):
    sources = root(SQUARE, content=dict(zip(("imageWidth", "imageHeight"), size)))
    assert sources.images[0].size is None


@pytest.mark.parametrize(
    "image_path", ["a.jpg", "..\\x\\a.jpg", "/home/me/a.jpg", "", None, 7, "../../../etc/passwd"]
)
def test_the_image_beside_the_json_is_found_whatever_is_written(root, image_path):
    sources = root(SQUARE, content={"imagePath": image_path})
    assert [image.image_path for image in sources.images] == [str(root.folder / "a.jpg")]


def test_a_copy_keeps_its_old_image_path(root, write_file):
    write_file(root.folder / "b.jpg", b"y")
    sources = root(SQUARE, content={"imagePath": "b.jpg"}, unannotated="negative")
    assert [len(image.objects) for image in sources.images] == [1, 0]
    note = "imagePath is of another image than the one called like the JSON: 1"
    assert sources.notes[0] == f"{note} ({root.folder}/a.json)"


def test_a_missing_image(root, write_file):
    write_file(root.folder / "sub/b.json", json.dumps({"shapes": [SQUARE], "imagePath": "c.jpg"}))
    with pytest.raises(InputError, match=r"sub/b\.json: image 'c\.jpg' does not exist; correct it"):
        root(SQUARE)
    sources = root(SQUARE, bad_images="drop")
    (reject,) = sources.rejects
    assert (reject.reason, reject.source_id, reject.num_objects) == ("missing_image", "sub/b", 1)
    assert sources.lost == {"cat": 1}
    write_file(root.folder / "c.jpg", b"z")
    sources = root(SQUARE)
    assert [image.source_id for image in sources.images] == ["a.jpg", "c.jpg"]


def test_images_without_json_are_skipped(root, write_file):
    write_file(root.folder / "b.jpg", b"y")
    sources = root(SQUARE)
    assert [(item.reason, item.source_id) for item in sources.rejects] == [("unannotated", "b.jpg")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"shapes": [', "cannot be read as JSON: Expecting value"),
        ('{"shapes": ' + "[" * 100_000, "cannot be read as JSON: "),
        ('{"imagePath": "a.jpg"}', "must be labelme's JSON: an object with a list of shapes"),
        ('{"shapes": {}}', "must be labelme's JSON: an object with a list of shapes"),
        (b'{"shapes": [], "x": "\xff"}', "must be text in UTF-8"),
    ],
)
def test_damaged_files(root, write_file, text, problem):
    write_file(root.folder / "a.json", text)
    (part,) = recognition.recognise(str(root.folder)).parts
    with pytest.raises(InputError, match=rf"a\.json: {problem}"):
        part.read(Policies())


def test_a_file_that_is_too_large(root, monkeypatch, write_file):
    monkeypatch.setattr(labelme, "MAX_BYTES", 100)
    with pytest.raises(InputError, match=r"a\.json: must be a file of at most 100 bytes"):
        root(SQUARE)
