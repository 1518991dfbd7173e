"""Files of detections that are damaged or meant to harm: one line, in bounded time and memory."""

import gzip
import json
import os
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.files import outside_detections
from ssd_tfrecord.evaluation.files.detection_formats import recognise
from ssd_tfrecord.evaluation.files.readers import read_detections

ROW = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 30], "score": 0.5}
ENTRY = {"image": "1.jpg", "detections": [{"label": "cat", "score": 0.5, "box": [1, 1, 9, 9]}]}
TEXTS = {
    "coco": ("results.json", json.dumps([ROW, {**ROW, "image_id": "2"}, ROW])),
    "ours": ("results.json", json.dumps({"run": "a", "images": [ENTRY, ENTRY]}, indent=1)),
    "voc": ("comp4_det_test_cat.txt", "1 0.5 10 10 20 30\n2 0.25 1 1 9 9\n" * 2),
    "cartucho": ("1.txt", "cat 0.5 10 10 20 30\nhot dog 0.25 1 1 9 9\n" * 2),
    "yolo": ("1.txt", "0 0.5 0.5 0.1 0.2 0.5\n1 0.5 0.5 0.1 0.2 0.25\n" * 2),
}
# What is put in place of a part of a file, or between two.
SPLICES = (
    *("NaN", "Infinity", "-1", "1e999", "-0", "1" * 400, "1" * 5000, "0x10", "1_0", "٣", "null"),
    *('"', "\\", "{", "[", "]", "}", ",", ":", " ", "\n", "\r", "\t", "\0", "\ufeff", "\u2028"),
    *("[" * 3000, '{"a":' * 3000, "é" * 50, "\ud800", "../../etc/passwd", "%s", "true", "1e5"),
)


@pytest.fixture(scope="module")
def annotated(make_set):
    none = np.zeros(0)
    truths = [
        GroundTruth(
            name,
            100,
            200,
            np.zeros([0, 4], np.float32),
            np.int32(none),
            none > 0,
            none > 0,
            np.float32(none),
        )
        for name in ("1", "2")
    ]
    return make_set(truths, ("cat", "hot dog"), image_ids=[1, 2])


def mutated(text, rng):
    """``text`` with some bytes changed, cut out, doubled or spliced in."""
    content = text.encode()
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice((0, 1, 1, 2, 5, 20)))
        splice = rng.choice(
            (
                rng.choice(SPLICES).encode("utf-8", "surrogatepass"),
                rng.randbytes(rng.randint(1, 3)),
                b"",
                content[start:end] * 2,
            )
        )
        content = content[:start] + splice + content[end:]
    return content


def check(annotated, folder, kind, content):
    """Whatever ``content`` is: detections that can be scored, or one line."""
    name, _ = TEXTS[kind]
    (folder / name).write_bytes(content)
    kind = "coco" if kind == "ours" else kind
    for chosen in (kind, "auto"):
        try:
            read = read_detections(str(folder), chosen, annotated)
        except InputError as error:
            message = str(error)
            assert "\n" not in message and len(message) < 2000
            continue
        for image in read.detections:
            assert np.isfinite(image.boxes).all() and (np.abs(image.boxes) < 2**21).all()
            assert (image.boxes[:, :2] <= image.boxes[:, 2:]).all()
            assert ((image.scores >= 0) & (image.scores <= 1)).all()
            assert ((image.labels >= 1) & (image.labels <= len(read.class_names))).all()
            assert (np.diff(image.scores) <= 0).all()
        assert all("\n" not in note and len(note) < 2000 for note in read.notes)


@pytest.mark.parametrize("kind", TEXTS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32))
def test_damage_is_one_line_or_left_out(annotated, tmp_path, kind, seed):
    check(annotated, tmp_path, kind, mutated(TEXTS[kind][1], random.Random(seed)))


@pytest.mark.parametrize("kind", ["voc", "cartucho", "yolo"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text())
def test_any_text_is_one_line_or_left_out(annotated, tmp_path, kind, text):
    check(annotated, tmp_path, kind, text.encode("utf-8", "surrogatepass"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["image_id", "category_id", "bbox", "score", "image", "images", "detections", "label",
         "box", "annotations", "categories", "id", "name", "error"]), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(value=VALUES)
def test_any_json_is_one_line_or_left_out(annotated, tmp_path, value):
    check(annotated, tmp_path, "coco", json.dumps(value).encode())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 200_000, "cannot be read as JSON"),
        ('[{"image_id": ' + "[" * 100_000, "cannot be read as JSON"),
        ("[" + "1" * 6000 + "]", "cannot be read as JSON"),
        (json.dumps([ROW])[:-5], "cannot be read as JSON behind entry 0"),
        (json.dumps([ROW]) + "x", "cannot be read as JSON behind entry 1"),
        ('"a"', "must be JSON, a list of results"),
        ("", "must be JSON, a list of results"),
        ("{}", "has no list of results"),
        ('{"images": [{"id": 1}], "categories": []}', "has no list of results"),
        ('{"annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}]}', "score"),
        (b"\xff\xfe[\x00]\x00", "must be JSON in UTF-8"),
        (gzip.compress(b"[" + b" " * 2**26), "unpacks to more than"),
    ],
)
def test_bad_json_is_one_line(annotated, tmp_path, content, message):
    path = tmp_path / "r.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as error:
        read_detections(str(path), "coco", annotated)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_bad_text_is_one_line(annotated, tmp_path):
    for content, message in (
        (b"x" * 2**20, "1.txt: line 1: must have less than"),
        (b"\xff\xfe", "1.txt: must be text in UTF-8"),
        (gzip.compress(b"0 0.5 0.5 0.1 0.2 0.5\n"), "1.txt: must be text in UTF-8"),
    ):
        (tmp_path / "1.txt").write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_detections(str(tmp_path), "yolo", annotated)


def test_neither_pipes_nor_links_out_of_the_folder_are_opened(annotated, tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("0 0.5 0.5 0.1 0.2 0.5\n")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.txt").write_text("0 0.5 0.5 0.1 0.2 0.5\n")
    (folder / "2.txt").symlink_to(outside)
    read = read_detections(str(folder), "yolo", annotated)
    assert [len(image.labels) for image in read.detections] == [1, 0]
    assert read.notes == (
        f"links not followed, as they lead out of the folder: 1 ({folder / '2.txt'})",
    )
    os.mkfifo(folder / "3.txt")
    with pytest.raises(InputError, match=r"3\.txt: must be a file"):
        read_detections(str(folder), "yolo", annotated)
    os.mkfifo(tmp_path / "results.json")
    with pytest.raises(InputError, match=r"results\.json: must be a file|is there"):
        read_detections(str(tmp_path / "results.json"), "coco", annotated)


def test_the_number_of_rows_is_limited(annotated, tmp_path, monkeypatch):
    monkeypatch.setattr(outside_detections, "MAX_ROWS", 10)
    (tmp_path / "r.json").write_text(json.dumps([ROW] * 10))
    read_detections(str(tmp_path / "r.json"), "coco", annotated)
    for row in (ROW, {}):
        (tmp_path / "r.json").write_text(json.dumps([*[ROW] * 10, row]))
        with pytest.raises(InputError, match="must have at most 10 detections"):
            read_detections(str(tmp_path / "r.json"), "coco", annotated)


def test_a_class_of_a_thousand_characters_does_not_flood_a_message(annotated, tmp_path):
    row = {**ROW, "image_id": "x" * 4000}
    (tmp_path / "r.json").write_text(json.dumps([row]))
    assert recognise(str(tmp_path / "r.json")) == "coco"
    with pytest.raises(InputError) as error:
        read_detections(str(tmp_path / "r.json"), "coco", annotated)
    assert len(str(error.value)) < 500
