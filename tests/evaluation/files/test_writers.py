"""Detection files, character by character, and read back: COCO's by its own tool."""

import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.evaluation.coco_metrics import METRICS
from ssd_tfrecord.evaluation.files.writers import write_detections
from ssd_tfrecord.evaluation.image_ids import image_ids
from ssd_tfrecord.evaluation.metrics import compute_metrics

NAMES, IDS = ("cat", "traffic light"), (17, 90)
# Rows 11 … 60 and columns 51 … 100 of 100 x 200 pixels, as VOC counts.
BOX = [0.1, 0.25, 0.6, 0.5]
FOUND = [
    Detections(
        "VOC2007/000001",
        100,
        200,
        np.float32([BOX, [0, 0, 1, 1]]),
        np.float32([0.75, 0.5]),
        np.int32([2, 1]),
    ),
    Detections("VOC2007/000002", 10, 10, np.zeros([0, 4]), np.zeros([0]), np.zeros([0], np.int32)),
]
TRUTHS = [
    GroundTruth(
        image.source_id,
        image.height,
        image.width,
        image.boxes,
        image.labels,
        np.array([True, False][: len(image.labels)], bool),
        np.zeros(len(image.labels), bool),
        np.zeros(len(image.labels), np.float32),
    )
    for image in FOUND
]


@pytest.fixture
def write(make_set):
    """Writes FOUND or other detections; returns {name: text} of all files in the folder."""

    def write(kind, folder, found=FOUND, truths=TRUTHS, *, names=NAMES, ids=IDS, **of_set):
        annotated = make_set(truths, names, ids, **of_set)
        changed = write_detections(kind, folder, annotated, found)
        assert (changed is not None) == (folder / "changed_names.json").exists()
        files = {
            str(path.relative_to(folder)): path.read_text()
            for path in folder.rglob("*")
            if path.is_file()
        }
        listed = json.loads(files.pop("written_files.json", '{"files": []}'))["files"]
        assert {*listed} <= {*files}
        return files

    return write


def test_voc_files_count_pixels_from_one_with_both_ends_inside(write, tmp_path):
    assert write("voc", tmp_path) == {
        "comp4_det_test_cat.txt": "000001 0.500000 1.000 1.000 200.000 100.000\n",
        "comp4_det_test_traffic light.txt": "000001 0.750000 51.000 11.000 100.000 60.000\n",
    }


def test_coco_results_have_original_ids_and_rectangles(write, tmp_path):
    content = json.loads(write("coco", tmp_path, image_ids=[139, 285])["results.json"])
    assert content == [
        {"image_id": 139, "category_id": 90, "bbox": [50.0, 10.0, 50.0, 50.0], "score": 0.75},
        {"image_id": 139, "category_id": 17, "bbox": [0.0, 0.0, 200.0, 100.0], "score": 0.5},
    ]


def test_coco_ground_truth_is_the_json_of_the_results(write, tmp_path):
    files = write("coco", tmp_path, files=["000001.jpg", ""])
    ids = ["VOC2007/000001", "VOC2007/000002"]
    assert json.loads(files["ground_truth.json"]) == {
        "images": [
            {"id": ids[0], "file_name": "000001.jpg", "width": 200, "height": 100},
            {"id": ids[1], "width": 10, "height": 10},
        ],
        "annotations": [
            # Difficult, which COCO does not know.
            {"id": 1, "image_id": ids[0], "category_id": 90, "bbox": [50.0, 10.0, 50.0, 50.0],
             "area": 2500.0, "iscrowd": 0},
            {"id": 2, "image_id": ids[0], "category_id": 17, "bbox": [0.0, 0.0, 200.0, 100.0],
             "area": 20000.0, "iscrowd": 0},
        ],
        "categories": [{"id": 17, "name": "cat"}, {"id": 90, "name": "traffic light"}],
    }  # fmt: skip
    assert [row["image_id"] for row in json.loads(files["results.json"])] == [ids[0]] * 2


def test_cartucho_has_two_folders_with_a_file_an_image(write, tmp_path):
    assert write("cartucho", tmp_path) == {
        "changed_names.json": '{"classes": {"traffic_light": "traffic light"}, "images": {}}\n',
        "detection-results/000001.txt": "traffic_light 0.750000 51.000 11.000 100.000 60.000\n"
        "cat 0.500000 1.000 1.000 200.000 100.000\n",
        "detection-results/000002.txt": "",
        "ground-truth/000001.txt": "traffic_light 51.000 11.000 100.000 60.000 difficult\n"
        "cat 1.000 1.000 200.000 100.000\n",
        "ground-truth/000002.txt": "",
    }


@pytest.mark.parametrize(
    ("kind", "mine"),
    [
        ("voc", ("mine.txt", "comp4_det_test_unicorn.txt")),
        ("cartucho", ("mine.txt", "detection-results/other.txt", "ground-truth/other.txt")),
    ],
)
def test_files_of_an_earlier_set_go_and_others_stay(write, tmp_path, kind, mine):
    first = write(kind, tmp_path)
    for name in mine:
        (tmp_path / name).write_text("mine")
    # Another image, and a class fewer.
    found = [dataclasses.replace(FOUND[1], source_id="VOC2007/000003")]
    truths = [dataclasses.replace(TRUTHS[1], source_id="VOC2007/000003")]
    between = write(kind, tmp_path, found, truths, names=NAMES[:1], ids=IDS[:1])
    assert len(between) == {"voc": 1, "cartucho": 2}[kind] + len(mine)
    assert write(kind, tmp_path) == {**first, **dict.fromkeys(mine, "mine")}


def test_files_of_another_kind_stay_and_are_known_as_ours(write, tmp_path):
    first = write("voc", tmp_path)
    assert write("cartucho", tmp_path).items() >= first.items()
    write("voc", tmp_path, name="other")
    assert {path.name for path in tmp_path.glob("comp4*")} == {
        f"comp4_det_other_{name}.txt" for name in NAMES
    }


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"files": 3}', '{"files": [3, "../mine.txt", "/etc/passwd", "mine.txt"]}'],
)
def test_a_list_of_files_that_is_not_ours_removes_nothing(write, tmp_path, content):
    folder = tmp_path / "detections"
    folder.mkdir()
    for path in (tmp_path / "mine.txt", folder / "mine.txt"):
        path.write_text("mine")
    (folder / "written_files.json").write_text(content)
    new = write("voc", tmp_path / "new")
    write("voc", folder)
    assert (tmp_path / "mine.txt").read_text() == (folder / "mine.txt").read_text() == "mine"
    assert {path.name for path in folder.glob("comp4*")} == {*new}


@pytest.mark.parametrize("kind", ["voc", "cartucho"])
def test_no_link_is_followed(write, tmp_path, kind):
    folder = tmp_path / "detections"
    names = write(kind, folder)
    for number, name in enumerate((*names, "written_files.json")):
        (tmp_path / str(number)).write_text("mine")
        (folder / name).unlink()
        (folder / name).symlink_to(tmp_path / str(number))
    assert write(kind, folder) == names
    assert {(tmp_path / str(number)).read_text() for number in range(len(names) + 1)} == {"mine"}


@pytest.mark.parametrize("names", [("w/o helmet", "w_o helmet"), ("Dog", "dog"), ("a b", "a_b")])
def test_each_class_has_its_own_file_and_word(write, tmp_path, names):
    files = write("voc", tmp_path / "voc", names=names)
    changed = json.loads(files.pop("changed_names.json", '{"classes": {}}'))["classes"]
    found = {}
    for file, text in files.items():
        name = file.removeprefix("comp4_det_test_").removesuffix(".txt")
        found[changed.get(name, name)] = text.split()[1]
    assert found == {names[0]: "0.500000", names[1]: "0.750000"}

    files = write("cartucho", tmp_path / "cartucho", names=names)
    changed = json.loads(files["changed_names.json"])["classes"]
    for part in ("detection-results", "ground-truth"):
        words = [line.split()[0] for line in files[f"{part}/000001.txt"].splitlines()]
        assert [changed.get(word, word) for word in words] == [names[1], names[0]]


def test_each_image_has_its_own_file_and_word(write, tmp_path):
    ids = ["s/cam 0", "s/cam_0"]
    found = [dataclasses.replace(FOUND[0], source_id=source_id) for source_id in ids]
    truths = [dataclasses.replace(TRUTHS[0], source_id=source_id) for source_id in ids]
    files = write("voc", tmp_path / "voc", found, truths)
    assert [line.split()[0] for line in files["comp4_det_test_cat.txt"].splitlines()] == [
        "cam_0-2",
        "cam_0",
    ]
    assert json.loads(files["changed_names.json"])["images"] == {"cam_0-2": "s/cam 0"}
    ids = ["a/b", "c/b", "a_b"]
    found = [dataclasses.replace(FOUND[0], source_id=source_id) for source_id in ids]
    truths = [dataclasses.replace(TRUTHS[0], source_id=source_id) for source_id in ids]
    files = write("cartucho", tmp_path / "cartucho", found, truths)
    assert {name for name in files if name.startswith("ground")} == {
        f"ground-truth/{name}.txt" for name in ("a_b", "a_b-2", "c_b")
    }
    assert json.loads(files["changed_names.json"])["images"] == {"a_b-2": "a/b", "c_b": "c/b"}


def test_voc_files_have_the_name_of_the_set_in_theirs(write, tmp_path):
    first = write("voc", tmp_path, name="my_val")
    assert "comp4_det_my_val_cat.txt" in first
    # In place of those of another set.
    names = {*write("voc", tmp_path, name="../" + "é" * 99, names=("x" * 300, "dog"))}
    names.remove("changed_names.json")
    assert len(names) == 2 and all(name.startswith("comp4_det__._é") for name in names)
    assert max(len(name.encode()) for name in names) <= 255


@pytest.mark.parametrize(("kind", "file"), [("voc", "*cat.txt"), ("cartucho", "*/000001.txt")])
def test_scores_that_differ_stay_different(write, tmp_path, kind, file):
    scores = np.float32([0.3, np.nextafter(np.float32(0.3), np.float32(1)), 1e-9, 1])
    boxes = np.tile(np.float32(BOX), [4, 1])
    found = [dataclasses.replace(FOUND[0], boxes=boxes, scores=scores, labels=np.int32([1] * 4))]
    write(kind, tmp_path, found, TRUTHS[:1])
    (path,) = (path for path in tmp_path.glob(file) if "truth" not in str(path))
    texts = [line.split()[1] for line in path.read_text().splitlines()]
    assert np.float32(texts).tolist() == scores.tolist()
    assert texts == ["0.300000", "0.30000004", "0.000000001", "1.000000"]


def test_no_list_of_changed_names_is_left_from_an_earlier_set(write, tmp_path):
    assert "changed_names.json" in write("voc", tmp_path, names=("Dog", "dog"))
    assert "changed_names.json" not in write("voc", tmp_path)


@pytest.mark.parametrize(
    ("source_ids", "strings", "first"),
    [
        ([str(number) for number in range(40, 0, -3)], False, 40),
        ([str(number) for number in range(40, 0, -3)], True, "40"),
        ([f"VOC2007/{number:06}" for number in range(12)], False, "VOC2007/000000"),
        (["0012", "12", "b c", "é", *"9876"], False, "0012"),
        ([""] * 8, False, 1),
    ],
    ids=["numbers", "strings of digits", "VOC", "any strings", "no ids"],
)
def test_the_official_tool_gives_the_files_the_numbers_that_are_printed(
    write, make_scene, tmp_path, source_ids, strings, first
):
    rng = np.random.default_rng(0)
    scenes = [make_scene(rng, source_id) for source_id in source_ids]
    truths, found = [truth for truth, _ in scenes], [image for _, image in scenes]
    ids = image_ids(source_ids, strings=strings)
    assert ids[0] == first and type(ids[0]) is type(first)
    # Not in the order of the labels, and not theirs.
    categories, names = (7, 2, 0), ("dog", 'w/o "helmet"', "行人")
    files = write("coco", tmp_path, found, truths, names=names, ids=categories, image_ids=ids)
    assert set(files) == {"ground_truth.json", "results.json"}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "ground_truth.json"))
        evaluation = COCOeval(coco, coco.loadRes(str(tmp_path / "results.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers = compute_metrics(truths, found, names, categories, image_ids=ids)
    printed = [-1.0 if numbers[name] is None else numbers[name] for name in METRICS]
    np.testing.assert_allclose(printed, evaluation.stats, rtol=0, atol=1e-9)
    assert 0.1 < numbers["coco_ap"] < 0.9
    assert len(coco.getImgIds()) == len(source_ids)
    assert {item["name"] for item in coco.dataset["categories"]} == {*names}
