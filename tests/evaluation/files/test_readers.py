"""Detections of other tools, read back: rows worked by hand, round trips, and what is refused."""

import json

import numpy as np
import pytest

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.files.detection_formats import recognise
from ssd_tfrecord.evaluation.files.readers import read_detections, read_numbers
from ssd_tfrecord.evaluation.files.writers import write_detections
from ssd_tfrecord.evaluation.metrics import compute_metrics
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.runs.checkpoint_files import write_classes

NAMES = ("cat", "traffic light")
# Two images of 100 x 200 pixels.
KINDS = ("coco", "voc", "cartucho", "yolo")


def _truth(source_id, height=100, width=200):
    none = np.zeros(0)
    return GroundTruth(
        source_id,
        height,
        width,
        np.zeros([0, 4], np.float32),
        np.int32(none),
        none > 0,
        none > 0,
        np.float32(none),
    )


@pytest.fixture
def two_images(make_set):
    truths = [_truth("VOC2007/000001"), _truth("VOC2007/000002")]
    return make_set(truths, NAMES, (17, 90), image_ids=[5, 7], files=["000001.jpg", "000002.jpg"])


def _fill(folder, kind, rows=None):
    """The same detection in each tool's words: rows 11 to 60 and columns 51 to 100 as VOC counts.

    Of image 000002 and of class traffic light, with a score of 0.75.
    """
    name, row = {
        "coco": (
            "results.json",
            '[{"image_id": 7, "category_id": 90, "bbox": [50, 10, 50, 50], "score": 0.75}]',
        ),
        "voc": ("comp4_det_test_traffic light.txt", "000002 0.75 51 11 100 60\n"),
        "cartucho": ("detection-results/000002.txt", "traffic light 0.75 51 11 100 60\n"),
        "yolo": ("labels/000002.txt", "1 0.375 0.35 0.25 0.5 0.75\n"),
    }[kind]
    (folder / name).parent.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text(row if rows is None else rows)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_tool_says_the_same(two_images, tmp_path, kind):
    folder = _fill(tmp_path, kind)
    assert recognise(str(folder)) == kind
    read = read_detections(str(folder), kind, two_images)
    first, second = read.detections
    assert first.source_id == "VOC2007/000001" and first.boxes.shape == (0, 4)
    assert (second.source_id, second.height, second.width) == ("VOC2007/000002", 100, 200)
    np.testing.assert_array_equal(second.boxes, np.float32([[0.1, 0.25, 0.6, 0.5]]))
    assert [read.class_names[label - 1] for label in second.labels] == ["traffic light"]
    assert second.scores.tolist() == [0.75] and second.scores.dtype == np.float32
    assert second.labels.dtype == np.int32 and second.boxes.dtype == np.float32
    # Where there are numbers, all classes are known; where there are names, those that occur.
    assert read.class_names == (NAMES if kind in ("coco", "yolo") else NAMES[1:])
    assert (read.dropped, read.notes) == ({}, ())


@pytest.mark.parametrize("kind", KINDS)
def test_detections_keep_their_order_if_scores_are_equal(two_images, tmp_path, kind):
    scores = (0.25, 0.5, 0.25, 0.5)
    form = {
        "coco": '{{"image_id": 7, "category_id": 90, "bbox": [{}, 0, 9, 9], "score": {}}}',
        "voc": "000002 {1} {0} 1 190 9",
        "cartucho": "cat {1} {0} 1 190 9",
        "yolo": "0 0.{0}5 0.5 0.1 0.5 {1}",
    }[kind]
    lines = [form.format(10 * place, score) for place, score in enumerate(scores, 1)]
    text = f"[{','.join(lines)}]" if kind == "coco" else "\n".join(lines)
    read = read_detections(str(_fill(tmp_path, kind, text)), kind, two_images)
    found = read.detections[1]
    assert found.scores.tolist() == [0.5, 0.5, 0.25, 0.25]
    left = found.boxes[:, 1].tolist()
    assert left[0] < left[1] and left[2] < left[3]


@pytest.mark.parametrize("kind", ["coco", "voc", "cartucho"])
@pytest.mark.parametrize(
    ("names", "source_ids"),
    [
        (("dog", "cat", "bird"), [f"VOC2007/{number:06}" for number in range(30)]),
        (("w/o helmet", "w_o helmet", "Dog_1"), [str(number) for number in range(30)]),
        (("Dog", "dog", "行人"), ["s/cam 0", "s/cam_0", "s/cam-0", "é", "e\u0301"] * 2),
        (("a b", "a_b", "light"), ["a/b", "c/b", "a_b", "b", ".b", "b.", "B"]),
    ],
    ids=["plain", "numbers", "twins", "odd"],
)
def test_what_was_written_is_read_back(
    make_set, make_scene, assert_read_back, tmp_path, kind, names, source_ids
):
    """To the bit: whole pixels and thousandths are what a box is compared by."""
    rng = np.random.default_rng(1)
    scenes = [make_scene(rng, source_id, height=97, width=333) for source_id in source_ids]
    truths, found = [truth for truth, _ in scenes], [image for _, image in scenes]
    annotated = make_set(truths, names, (4, 9, 2), name="a_b c")
    write_detections(kind, tmp_path, annotated, found)
    assert recognise(str(tmp_path)) == kind
    read = read_detections(str(tmp_path), kind, annotated)
    assert read.class_names == names and not read.dropped
    assert_read_back(found, read.detections)
    ids = (4, 9, 2)
    assert compute_metrics(truths, read.detections, names, ids) == compute_metrics(
        truths, found, names, ids
    )


@pytest.mark.parametrize(
    "key",
    ["VOC2007/000002", "000002", "000002.jpg", "000002.png", "JPEGImages/000002.jpg", "d/000002"],
)
def test_images_are_found_by_any_name_of_theirs(two_images, tmp_path, key):
    path = tmp_path / "comp4_det_val_cat.txt"
    path.write_text(f"{key} 0.5 1 1 20 20\n")
    read = read_detections(str(tmp_path), "voc", two_images)
    assert [len(image.labels) for image in read.detections] == [0, 1]


@pytest.mark.parametrize("key", [7, 7.0, "7", "000002.jpg", "VOC2007/000002"])
def test_results_name_images_by_id_or_file(two_images, tmp_path, key):
    row = {"image_id": key, "category_id": 17, "bbox": [0, 0, 20, 20], "score": 0.5}
    (tmp_path / "r.json").write_text(json.dumps([row]))
    read = read_detections(str(tmp_path / "r.json"), "coco", two_images)
    assert [len(image.labels) for image in read.detections] == [0, 1]


def test_an_image_id_is_not_taken_for_the_name_of_another(make_set, tmp_path):
    """One set's id is another image's file."""
    truths = [_truth("a"), _truth("b")]
    annotated = make_set(truths, NAMES, image_ids=[1, 2], files=["2.jpg", "1.jpg"])
    row = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20], "score": 0.5}
    (tmp_path / "r.json").write_text(json.dumps([row]))
    (tmp_path / "1.txt").write_text("0 0.5 0.5 0.1 0.1 0.5\n")
    read = read_detections(str(tmp_path / "r.json"), "coco", annotated)
    assert [len(image.labels) for image in read.detections] == [1, 0]
    read = read_detections(str(tmp_path), "yolo", annotated)
    assert [len(image.labels) for image in read.detections] == [0, 1]


def test_other_images_are_counted_and_named(two_images, tmp_path):
    lines = ["000002 0.5 1 1 9 9", "000009 0.5 1 1 9 9", "000009 0.4 1 1 9 9", "8 0.5 1 1 9 9"]
    (tmp_path / "comp4_det_val_cat.txt").write_text("\n".join(lines))
    read = read_detections(str(tmp_path), "voc", two_images)
    assert read.dropped == {"of no image of the set": 3}
    assert read.notes == (
        "3 detections are left out: their images are not in the set: '000009', '8'",
    )


def test_results_of_another_set_are_an_error_with_both_kinds_of_ids(make_set, tmp_path):
    """The set has the id 000001, the results 1."""
    annotated = make_set([_truth("000001")], NAMES, image_ids=["000001"])
    row = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20], "score": 0.5}
    (tmp_path / "r.json").write_text(json.dumps([row]))
    with pytest.raises(InputError) as error:
        read_detections(str(tmp_path / "r.json"), "coco", annotated)
    assert str(error.value) == (
        f"{tmp_path / 'r.json'}: none of its 1 images is in the set: they are called '1', but the "
        "set has '000001'; must be image ids, or names of images"
    )


BAD = {
    "coco": (
        '{"image_id": 7, "category_id": 90, "bbox": [50, 10, 50], "score": 0.75}',
        '{"image_id": 7, "category_id": 90, "bbox": [50, 10, -50, 5], "score": 0.75}',
        '{"image_id": 7, "category_id": 90, "bbox": [50, 10, 50, 5], "score": 75}',
    ),
    "voc": ("000002 0.75 51 11 100", "000002 0.75 51 61 100 9", "000002 nan 51 11 100 60"),
    "cartucho": ("0.75 51 11 100 60", "cat 0.75 51 11 inf 60", "cat -0.1 51 11 100 60"),
    "yolo": ("1 0.3 0.3 0.2 0.5", "1 0.3 0.3 -0.2 0.5 0.75", "1 0.3 0.3 0.2 0.5 1.5"),
}
GOOD = {
    "coco": '{"image_id": 7, "category_id": 90, "bbox": [50, 10, 50, 50], "score": 0.75}',
    "voc": "000002 0.75 51 11 100 60",
    "cartucho": "cat 0.75 51 11 100 60",
    "yolo": "1 0.375 0.35 0.25 0.5 0.75",
}


def _text(kind, rows):
    return f"[{', '.join(rows)}]" if kind == "coco" else "\n".join(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_faulty_row_is_left_out_and_counted(two_images, tmp_path, kind):
    folder = _fill(tmp_path, kind, _text(kind, [GOOD[kind], *BAD[kind], GOOD[kind], GOOD[kind]]))
    read = read_detections(str(folder), kind, two_images)
    assert len(read.detections[1].labels) == 3
    assert read.dropped == dict.fromkeys(
        ("not of this form", "impossible box", "score beyond 0 to 1"), 1
    )
    place = {"coco": "entry 2", **dict.fromkeys(("voc", "cartucho", "yolo"), "line 2")}[kind]
    assert len(read.notes) == 3 and place in read.notes[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_most_rows_faulty_is_an_error_that_says_where_and_what(two_images, tmp_path, kind, which):
    folder = _fill(tmp_path, kind, _text(kind, [GOOD[kind], BAD[kind][which], BAD[kind][which]]))
    with pytest.raises(InputError) as error:
        read_detections(str(folder), kind, two_images)
    message = str(error.value)
    assert ": entry 2: " in message if kind == "coco" else ": line 2: " in message
    assert "must be " in message and message.endswith("2 of 3 rows cannot be used")
    assert "\n" not in message


def test_fractions_in_files_of_pixels_are_an_error(two_images, tmp_path):
    row = {"image_id": 7, "category_id": 90, "bbox": [0.1, 0.1, 0.5, 0.5], "score": 0.75}
    (tmp_path / "r.json").write_text(json.dumps([row] * 3))
    with pytest.raises(InputError, match="all 3 boxes lie within 0 to 1: they look like fractions"):
        read_detections(str(tmp_path / "r.json"), "coco", two_images)


def test_boxes_are_not_clipped_but_corners_for_sides_are_told(two_images, tmp_path):
    """The tools of these files do not clip, and so would have other IoUs."""
    row = {"image_id": 7, "category_id": 90, "bbox": [150, 80, 190, 95], "score": 0.75}
    (tmp_path / "r.json").write_text(json.dumps([row]))
    read = read_detections(str(tmp_path / "r.json"), "coco", two_images)
    np.testing.assert_allclose(read.detections[1].boxes, [[0.8, 0.75, 1.75, 1.7]], atol=1e-6)
    assert read.notes == (
        "1 of 1 boxes reach beyond their image by more than a tenth; COCO's are x, y, width, "
        "height",
    )


@pytest.mark.parametrize("wrapped", [True, False], ids=["object", "list"])
def test_detections_json_of_detect_is_read(two_images, tmp_path, wrapped):
    entries = [
        {"image": "x/000001.jpg", "error": "cannot be read"},
        {
            "image": "x/000002.jpg",
            "width": 200,
            "height": 100,
            "detections": [{"label": "traffic light", "score": 0.75, "box": [50, 10, 100, 60]}],
        },
    ]
    content = {"run": "runs/a", "images": entries} if wrapped else entries
    (tmp_path / "detections.json").write_text(json.dumps(content, indent=1))
    read = read_detections(str(tmp_path / "detections.json"), "coco", two_images)
    assert read.class_names == ("traffic light",)
    np.testing.assert_array_equal(read.detections[1].boxes, np.float32([[0.1, 0.25, 0.6, 0.5]]))


def test_an_object_with_annotations_and_categories_has_its_own_names(two_images, tmp_path):
    row = {"image_id": 7, "category_id": 1, "bbox": [50, 10, 50, 50], "score": 0.75, "id": 3}
    content = {
        "images": [{"id": 7}],
        "annotations": [row],
        "categories": [{"id": 1, "name": "cat "}],
    }
    (tmp_path / "r.json").write_text(json.dumps(content))
    read = read_detections(str(tmp_path / "r.json"), "coco", two_images)
    assert read.class_names == ("cat",) and len(read.detections[1].labels) == 1


def test_ids_that_the_set_lacks_are_classes_of_their_own(two_images, tmp_path):
    row = {"image_id": 7, "category_id": 3, "bbox": [50, 10, 50, 50], "score": 0.75}
    (tmp_path / "r.json").write_text(json.dumps([row]))
    read = read_detections(str(tmp_path / "r.json"), "coco", two_images)
    assert read.class_names == (*NAMES, "class 3")
    assert read.detections[1].labels.tolist() == [3]


def test_what_detect_writes_for_coco_names_its_own_images_and_classes(two_images, tmp_path):
    """Its numbers are its own: that of the first image is the set's of the second."""
    row = {"image_id": 7, "category_id": 17, "bbox": [50, 10, 50, 50], "score": 0.75}
    images = [{"id": 7, "file_name": "000001.jpg"}, {"id": 5, "file_name": "elsewhere.jpg"}]
    content = {"categories": [{"id": 17, "name": "traffic light"}], "images": images}
    (tmp_path / "results.json").write_text(json.dumps([row, {**row, "image_id": 5}]))
    (tmp_path / "images.json").write_text(json.dumps(content))
    read = read_detections(str(tmp_path), "auto", two_images)
    assert [len(image.labels) for image in read.detections] == [1, 0]
    assert read.class_names == ("traffic light",)
    assert read.dropped == {"of no image of the set": 1}
    # In one file, too.
    content["annotations"] = [row]
    (tmp_path / "one.json").write_text(json.dumps(content))
    read = read_detections(str(tmp_path / "one.json"), "coco", two_images)
    assert [len(image.labels) for image in read.detections] == [1, 0]


def test_numbers_count_where_the_set_does_not_know_its_files(make_set, tmp_path):
    annotated = make_set([_truth("a"), _truth("b")], NAMES, image_ids=[5, 7])
    row = {"image_id": 7, "category_id": 1, "bbox": [50, 10, 50, 50], "score": 0.75}
    content = {"images": [{"id": 7, "file_name": "x.jpg"}], "annotations": [row]}
    (tmp_path / "r.json").write_text(json.dumps(content))
    read = read_detections(str(tmp_path / "r.json"), "coco", annotated)
    assert [len(image.labels) for image in read.detections] == [0, 1]


@pytest.mark.parametrize("inner", [True, False])
def test_a_classes_txt_of_yolo_counts_unless_another_list_is_given(two_images, tmp_path, inner):
    _fill(tmp_path, "yolo")
    (tmp_path / "classes.txt").write_text("unicorn\ncat\n")
    folder = str(tmp_path / "labels" if inner else tmp_path)
    assert recognise(folder) == "yolo"
    read = read_detections(folder, "yolo", two_images)
    assert read.class_names == ("cat",) and len(read.detections[1].labels) == 1
    (tmp_path / "names").write_text("traffic light\nunicorn\n")
    read = read_detections(folder, "yolo", two_images, str(tmp_path / "names"))
    assert read.class_names == ("traffic light", "unicorn")
    assert read.detections[1].labels.tolist() == [2]


def test_a_list_of_classes_says_what_numbers_mean(two_images, tmp_path):
    (tmp_path / "names.txt").write_text("traffic light \n\ncat\n")
    classes = [ClassLabel(1, "cat", 90), ClassLabel(2, "traffic light", 17)]
    write_classes(tmp_path, classes)
    names, json_list = str(tmp_path / "names.txt"), str(tmp_path / "classes.json")
    assert read_numbers(names, "yolo") == {0: "traffic light", 1: "cat"}
    assert read_numbers(names, "coco") == {1: "traffic light", 2: "cat"}
    assert read_numbers(json_list, "yolo") == {0: "cat", 1: "traffic light"}
    assert read_numbers(json_list, "coco") == {90: "cat", 17: "traffic light"}
    folder = _fill(tmp_path / "yolo", "yolo")
    read = read_detections(str(folder), "yolo", two_images, names)
    assert read.class_names == NAMES and read.detections[1].labels.tolist() == [1]
    (tmp_path / "twice.txt").write_text("a\na\n")
    with pytest.raises(InputError, match=r"twice\.txt: has a class twice: must have each class"):
        read_numbers(str(tmp_path / "twice.txt"), "yolo")


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["comp4_det_val_cat.txt"], "cat"),
        (["comp3_det_test_cat.txt", "comp3_det_test_traffic light.txt"], "cat"),
        (["comp4_det_my_val_cat.txt", "comp4_det_my_val_traffic light.txt"], "cat"),
        (["comp4_det_my_val_cat.txt"], "cat"),
        (["comp4_det_my_val_unicorn.txt"], "val_unicorn"),
        (["comp4_det_cat.txt"], "cat"),
    ],
)
def test_a_class_is_what_follows_the_sets_name(two_images, tmp_path, files, kind):
    for file in files:
        (tmp_path / file).write_text("")
    (tmp_path / files[0]).write_text("000001 0.5 1 1 9 9\n")
    read = read_detections(str(tmp_path), "voc", two_images)
    assert [read.class_names[label - 1] for label in read.detections[0].labels] == [kind]
    # A file without lines tells of a class, too.
    assert len(read.class_names) == len(files)


@pytest.mark.parametrize("kind", ["voc", "cartucho"])
def test_a_list_of_changed_names_counts(two_images, tmp_path, kind):
    changed = {"classes": {"x": "traffic light"}, "images": {"y": "VOC2007/000002"}}
    (tmp_path / "changed_names.json").write_text(json.dumps(changed))
    if kind == "voc":
        (tmp_path / "comp4_det_test_x.txt").write_text("y 0.75 51 11 100 60\n")
    else:
        (tmp_path / "detection-results").mkdir()
        (tmp_path / "detection-results" / "y.txt").write_text("x 0.75 51 11 100 60\n")
    read = read_detections(str(tmp_path), kind, two_images)
    assert read.class_names == ("traffic light",) and len(read.detections[1].labels) == 1
    (tmp_path / "changed_names.json").write_text('{"classes": {"x": 3}}')
    with pytest.raises(InputError, match=r"changed_names\.json: must be \{classes: "):
        read_detections(str(tmp_path), kind, two_images)


def test_a_set_without_detections_is_one(two_images, tmp_path):
    (tmp_path / "r.json").write_text("[]")
    (tmp_path / "000001.txt").write_text("")
    for path, kind in ((tmp_path / "r.json", "coco"), (tmp_path, "yolo")):
        read = read_detections(str(path), kind, two_images)
        assert [len(image.labels) for image in read.detections] == [0, 0]
        assert isinstance(read.detections[0], Detections)
