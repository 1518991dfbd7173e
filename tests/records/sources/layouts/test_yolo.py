"""YOLO: lines of all kinds, paths that lead nowhere, and files that do not fit together."""

import math

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.layouts import recognition
from ssd_tfrecord.records.sources.layouts.layout import Policies


@pytest.fixture
def root(tmp_path, write_file):
    """A folder with a.jpg and b.jpg, two classes, and labels of both."""
    for stem, lines in (("a", "0 0.5 0.5 0.2 0.4\n1 0.25 0.5 0.5 1\n"), ("b", "1 .1 .1 .2 .2\n")):
        write_file(tmp_path / f"images/{stem}.jpg", b"x")
        write_file(tmp_path / f"labels/{stem}.txt", lines)
    write_file(tmp_path / "classes.txt", "cat\ndog\n")
    return tmp_path


def _read(root, **policies):
    (part,) = recognition.recognise(str(root), "yolo").parts
    return part.read(Policies(**policies))


def _boxes(sources):
    return {
        image.source_id: [
            (item.name, tuple(round(v, 6) for v in item.box)) for item in image.objects
        ]
        for image in sources.images
    }


def test_centre_and_size_become_edges(root):
    sources = _read(root)
    assert _boxes(sources) == {
        "images/a.jpg": [("cat", (0.3, 0.4, 0.7, 0.6)), ("dog", (0.0, 0.0, 1.0, 0.5))],
        "images/b.jpg": [("dog", (0.0, 0.0, 0.2, 0.2))],
    }
    assert sources.category_ids == {"cat": 0, "dog": 1}
    assert (sources.notes, len(sources.rejects)) == ((), 0)


@pytest.mark.parametrize(
    ("line", "box", "rejects"),
    [
        ("1 0.1 0.2 0.5 0.3 0.3 0.9", (0.2, 0.1, 0.9, 0.5), [("polygon", "enclosed")]),
        ("1 .1 .2 .5 .2 .5 .6 .1 .6", (0.2, 0.1, 0.6, 0.5), [("rotation", "enclosed")]),
        ("1 .3 .4 .2 .4 0.87", (0.2, 0.2, 0.6, 0.4), []),
        ("dog .3 .4 .2 .4", (0.2, 0.2, 0.6, 0.4), []),
        ("1.0 .3 .4 .2 .4", (0.2, 0.2, 0.6, 0.4), []),
        ("  1\t.3  .4 .2 .4  ", (0.2, 0.2, 0.6, 0.4), []),
        ("1 3e-1 .4 +.2 .4", (0.2, 0.2, 0.6, 0.4), []),
    ],
)
def test_lines_of_other_kinds(root, line, box, rejects):
    (root / "labels/b.txt").write_text(f"\n{line}\n")
    sources = _read(root)
    assert _boxes(sources)["images/b.jpg"] == [("dog", box)]
    assert [(item.reason, item.action) for item in sources.rejects] == rejects
    sixth = "lines with a sixth number, which is ignored: 1"
    noted = [f"{sixth} ({root}/labels/b.txt: line 2)"] if line.endswith("0.87") else []
    assert list(sources.notes) == noted


def test_keypoints_follow_the_box(root, write_file):
    write_file(root / "data.yaml", "train: images\nnames: [cat, dog]\nkpt_shape: [3, 2]\n")
    (root / "labels/b.txt").write_text("1 .3 .4 .2 .4 0.9 0.9 0.8 0.8 0.1 0.1\n")
    (root / "labels/a.txt").write_text("1 .3 .4 .2 .4\n")
    sources = _read(root)
    assert _boxes(sources)["images/b.jpg"] == [("dog", (0.2, 0.2, 0.6, 0.4))]
    assert _boxes(sources)["images/a.jpg"] == [("dog", (0.2, 0.2, 0.6, 0.4))]
    assert not sources.rejects


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1 .3 .4 .2", "has 4 columns: must be class cx cy"),
        ("1", "has 1 columns: must be class cx cy"),
        ("1 .3 .4 .2 x", r"'1 \.3 \.4 \.2 x': must be class cx cy"),
        ("1 .3 .4 .2 1_0", r"'1 \.3 \.4 \.2 1_0': must be class cx cy"),
        ("1 .3 .4 .2 .1 .1 .1 .1", "has 8 columns: must be class cx cy"),
        ("1 .3 .4 .2 .1 .1 nan", r"'1 \.3 .*nan': must have finite numbers"),
    ],
)
def test_a_line_that_is_none_is_an_object_without_a_box(root, line, problem):
    (root / "labels/b.txt").write_text(f"1 .3 .4 .2 .4\n{line}\n")
    sources = _read(root)
    good, bad = sources.images[1].objects
    assert (good.index, good.flaw) == (1, "")
    assert (bad.index, bad.name, bad.flaw) == (2, "dog", "not_finite")
    assert all(map(math.isnan, bad.box))
    with pytest.raises(InputError, match=rf"labels/b\.txt: line 2: {problem}.*--bad_boxes=drop$"):
        _read(root, bad_boxes="fail")


@pytest.mark.parametrize(
    ("line", "flaw"),
    [
        ("1 nan .4 .2 .4", "not_finite"),
        ("1 .3 .4 0 .4", "zero_area"),
        ("1 .3 .4 -.2 .4", "inverted"),
    ],
)
def test_boxes_that_make_no_sense_are_flawed(root, line, flaw):
    (root / "labels/b.txt").write_text(line)
    assert _read(root).images[1].objects[0].flaw == flaw


@pytest.mark.parametrize("word", ["2", "-1", "1.5", "horse", "nan", "inf", "1e400", "٣"])
def test_a_class_that_is_not_listed(root, word):
    (root / "labels/b.txt").write_text(f"{word} .3 .4 .2 .4\n1 .3 .4 .2 .4\n")
    match = r"b\.txt: line 1: class '.*': must be one of 0 to 1, as in classes\.txt; correct it, or"
    with pytest.raises(InputError, match=match):
        _read(root)
    sources = _read(root, unknown_classes="drop")
    assert [item.name for item in sources.images[1].objects] == ["dog"]
    (reject,) = sources.rejects
    assert (reject.reason, reject.action, reject.object) == ("unknown_class", "dropped", 1)


def test_an_empty_label_file_is_an_image_without_objects(root):
    (root / "labels/b.txt").write_text("\n")
    assert _boxes(_read(root))["images/b.jpg"] == []


def test_a_missing_label_file_is_a_background_unless_said_otherwise(root):
    (root / "labels/b.txt").unlink()
    sources = _read(root)
    assert _boxes(sources)["images/b.jpg"] == []
    text = f"images without a label file: 1, converted without objects ({root}/images/b.jpg)"
    assert sources.notes == (text,)
    sources = _read(root, unannotated="skip")
    assert list(_boxes(sources)) == ["images/a.jpg"]
    assert [(item.reason, item.action) for item in sources.rejects] == [("unannotated", "dropped")]
    with pytest.raises(InputError, match=r"b\.jpg: has no label file; add one, or pass --unannot"):
        _read(root, unannotated="fail")


def test_a_label_file_without_its_image(root):
    (root / "images/b.jpg").unlink()
    with pytest.raises(
        InputError, match=r"labels/b\.txt: has no image; correct it, or pass --bad_i"
    ):
        _read(root)
    sources = _read(root, bad_images="drop")
    (reject,) = sources.rejects
    assert (reject.source_id, reject.num_objects) == ("labels/b.txt", 1)
    assert sources.lost == {"dog": 1}


def test_no_label_file_at_all(root):
    for stem in "ab":
        (root / f"labels/{stem}.txt").rename(root / f"labels/{stem}{stem}.txt")
        (root / f"images/{stem}{stem}.jpg").write_bytes(b"x")
    write = "train: train\nval: images\nnames: [cat, dog]\n"
    (root / "train").mkdir()
    (root / "train/c.jpg").write_bytes(b"x")
    (root / "data.yaml").write_text(write)
    train, val = recognition.recognise(str(root), "yolo").parts
    assert len(val.read(Policies()).images) == 4
    with pytest.raises(InputError, match=r"none of 1 image, such as 'train/c\.jpg', has a label"):
        train.read(Policies())


def test_test_images_without_labels_are_left_out(root, write_file):
    write_file(root / "test/images/t.jpg", b"x")
    write_file(
        root / "data.yaml", "train: images\nval: nowhere\ntest: test/images\nnames: [a, b]\n"
    )
    finding = recognition.recognise(str(root))
    assert [part.name for part in finding.parts] == ["train"]
    assert finding.notes == (
        f"{root}/data.yaml: val: 'nowhere' is not in {root}: left out",
        f"{root}: test (1 image): left out, as there are no labels for them",
    )


def test_class_names_are_needed(root):
    (root / "classes.txt").unlink()
    with pytest.raises(InputError, match=r"has YOLO labels but no class names; add a classes\.txt"):
        _read(root)


def test_files_of_class_names_must_agree(root, write_file):
    write_file(root / "labels/classes.txt", "cat\ndog\n")
    assert len(_read(root).images) == 2
    write_file(root / "labels/classes.txt", "dog\ncat\n")
    with pytest.raises(InputError, match=r"labels/classes\.txt: its class names are not those of"):
        _read(root)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("cat\ncat \n", "duplicate class 'cat'; must name each class once"),
        ("cat\n\ndog\n", "class 1 has no name; must name each class once"),
        ("\n", "has no class names"),
        (b"\xff\xfe\0", "must be text in UTF-8"),
    ],
)
def test_faulty_class_names(root, write_file, names, problem):
    write_file(root / "classes.txt", names)
    with pytest.raises(InputError, match=rf"classes\.txt: {problem}"):
        _read(root)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("names: [no, yes]", {"no": 0, "yes": 1}),
        ("names: {0: 1, 7: 2024-01-01}", {"1": 0, "2024-01-01": 7}),
        ("names:\n- ' cat '\n- 007", {"cat": 0, "007": 1}),
        ("names:\n  1: dog\n  0: cat\nnc: 2", {"cat": 0, "dog": 1}),
    ],
)
def test_names_of_a_yaml_are_taken_as_they_are_written(root, write_file, text, ids):
    write_file(root / "data.yaml", f"train: images\n{text}\n")
    (part,) = recognition.recognise(str(root)).parts
    sources = part.read(Policies(unknown_classes="drop"))
    assert sources.category_ids == ids
    assert list(sources.category_ids) == [
        name for name, _ in sorted(ids.items(), key=lambda i: i[1])
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("names: [a, b", "cannot be read as YAML: "),
        ("names: &a [x, *a]", "has an anchor or alias, which are not read: write it out"),
        ("names: cat", "names: must be a list of names, or id: name for each class"),
        ("names: {a: cat}", "names: 'a': must be a number with a name"),
        ("names: {0: [cat]}", "names: '0': must be a number with a name"),
        ("names: {0: cat, 0: dog}", "cannot be read as YAML: has a duplicate key"),
        ("names: [cat, cat]", "duplicate class 'cat'; must name each class once"),
        ("names: {? [a] : b}", "cannot be read as YAML: a key must be text"),
        ("names: " + "[" * 500_000, "is nested too deeply: must have at most 20 levels"),
        ("- " * 500_000, "is nested too deeply: must have at most 20 levels"),
        ("names: [a, b]\nval: {a: b}", "val: must be a path or a list of paths"),
        ("names: !!python/object/apply:os.system ['false']\n ", None),
        ("names: [" + "x, " * 400_000 + "]", "must be a file of at most 1048576 bytes"),
    ],
)
def test_faulty_yaml(root, write_file, text, problem):
    write_file(root / "data.yaml", f"train: images\n{text}\n")
    if problem is None:
        # A list like any other: nothing is ever called.
        (part,) = recognition.recognise(str(root)).parts
        assert part.read(Policies(unknown_classes="drop")).category_ids == {"false": 0}
        return
    with pytest.raises(InputError, match=rf"data\.yaml: {problem}") as caught:
        recognition.recognise(str(root))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_yaml_that_is_not_ours_is_passed_over(root, write_file):
    write_file(root / "a.yaml", "x: [")
    write_file(root / "hyp.yaml", "lr0: 0.01\nnames_of: x\n")
    assert recognition.recognise(str(root)).what == "YOLO labels (2 names in classes.txt)"


def test_the_first_of_several_yaml_is_used_and_the_others_named(root, write_file):
    write_file(root / "data.yaml", "train: images\nnames: [cat, dog]\nnc: 3")
    write_file(root / "own.yaml", "train: images\nnames: [a, b]\n")
    finding = recognition.recognise(str(root))
    assert finding.notes == (
        f"{root}/own.yaml: not used, as data.yaml is",
        f"{root}/data.yaml: nc is 3, but it has 2 names",
    )
    assert finding.parts[0].read(Policies()).category_ids == {"cat": 0, "dog": 1}


@pytest.mark.parametrize(("number", "said"), [("02", 0), ("\u00b2", 1), ("9" * 5000, 1)])
def test_a_number_of_classes_that_is_odd(root, write_file, number, said):
    write_file(root / "data.yaml", f"train: images\nnames: [cat, dog]\nnc: {number}")
    notes = recognition.recognise(str(root)).notes
    assert list(notes) == [f"{root}/data.yaml: nc is {number[:20]}, but it has 2 names"] * said


def test_one_image_in_two_splits(root, write_file):
    write_file(root / "data.yaml", "train: images\nval: images\nnames: [a, b]\n")
    with pytest.raises(
        InputError, match=r"images/a\.jpg: is in both train and val; must be in only"
    ):
        recognition.recognise(str(root))


def test_a_yaml_whose_training_images_are_elsewhere(root, write_file):
    write_file(root / "data.yaml", "train: /data/train\nval: images\nnames: [a, b]\n")
    with pytest.raises(
        InputError, match=r"data\.yaml: train: '/data/train' is not in .*; must be a"
    ):
        recognition.recognise(str(root))


def test_lists_of_images(root, write_file):
    write_file(root / "data.yaml", "path: x\ntrain: train.txt\nval: [val.txt]\nnames: [cat, dog]\n")
    write_file(root / "train.txt", "./images/a.jpg\n")
    write_file(root / "val.txt", "/home/me/own/images/b.jpg\nimages/missing.jpg\n")
    train, val = recognition.recognise(str(root)).parts
    assert list(_boxes(train.read(Policies()))) == ["images/a.jpg"]
    with pytest.raises(InputError, match=r"data\.yaml: image 'images/missing\.jpg' does not exist"):
        val.read(Policies())
    sources = val.read(Policies(bad_images="drop"))
    assert list(_boxes(sources)) == ["images/b.jpg"]
    assert [item.source_id for item in sources.rejects] == ["images/missing.jpg"]
    write_file(root / "val.txt", "images/b.jpg\n../images/b.jpg\n")
    with pytest.raises(InputError, match=r"val\.txt: 'images/b\.jpg' is listed twice"):
        recognition.recognise(str(root))


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images/train", "labels/train"),
        ("train_images", "train_labels"),
        ("JPEGImages", "labels"),
        ("a/images/b/images", "a/images/b/labels"),
        ("img", "label"),
        ("all", "all"),
    ],
)
def test_folders_of_labels(tmp_path, write_file, images, labels):
    write_file(tmp_path / images / "x.y.jpg", b"x")
    write_file(tmp_path / labels / "x.y.txt", "0 .5 .5 .2 .2\n")
    write_file(tmp_path / "classes.txt", "cat\n")
    assert len(_read(tmp_path).images[0].objects) == 1


def test_several_workers_read_the_same(root, write_file):
    for number in range(200):
        write_file(root / f"images/{number}.jpg", b"x")
        write_file(root / f"labels/{number}.txt", f"1 .5 .5 .{number + 1} .5\n")
    alone, several = (_read(root, workers=workers) for workers in (1, 2))
    assert tuple(alone.images) == tuple(several.images)
    assert len(alone.images) == 202


def test_a_label_file_that_is_too_large(root):
    (root / "labels/b.txt").write_text("1 .3 .4 .2 .4\n" * 310_000)
    with pytest.raises(InputError, match=r"b\.txt: must be a file of at most 4194304 bytes"):
        _read(root)
