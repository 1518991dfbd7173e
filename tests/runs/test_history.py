"""The history of a run: stopped and resumed, damaged and repaired."""

import errno
import json
import os
import pathlib

import pytest
from PIL import Image
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb

from ssd_tfrecord.runs.course.event_files import FLAGS_TAG, EventWriter
from ssd_tfrecord.runs.history import History

HEADER = (
    "step,loss,class_loss,box_loss,learning_rate,images_per_s,data_wait,"
    "eval_loss,voc07_map,voc12_map,coco_ap,coco_ap50\n"
)


def lines(folder):
    return (folder / "history.csv").read_text()


def test_rows_and_the_evaluation_of_the_same_step_share_a_line(tmp_path):
    history = History(tmp_path, 0)
    history.append(10, {"loss": 4.0, "class_loss": 3.0, "box_loss": 1.0, "learning_rate": 1e-3})
    history.append(10, {"voc07_map": 0.25, "num_images": 7})
    history.append(20, {"loss": 1 / 3})
    assert lines(tmp_path) == HEADER + "10,4,3,1,0.001,,,,0.25,,,\n20,0.33333334,,,,,,,,,,\n"


def test_rows_after_the_restored_step_are_cut(tmp_path):
    history = History(tmp_path, 0)
    for step in (10, 20, 30):
        history.append(step, {"loss": step})
    resumed = History(tmp_path, 20)
    resumed.append(30, {"loss": 7})
    assert lines(tmp_path) == HEADER + "10,10,,,,,,,,,,\n20,20,,,,,,,,,,\n30,7,,,,,,,,,,\n"


def test_best_is_the_first_of_equals_and_evaluations_since_are_counted(tmp_path):
    history = History(tmp_path, 0)
    assert history.best("voc07_map") is None
    history.append(5, {"eval_loss": 9.0, "voc07_map": None})
    assert history.best("voc07_map") is None
    for step, value in ((10, 0.25), (20, 0.5), (30, 0.5), (40, 0.125)):
        history.append(step - 1, {"loss": 1.0})
        history.append(step, {"eval_loss": 3.0, "voc07_map": value, "num_images": 7})
    assert history.best("voc07_map") == (20, 2)
    assert History(tmp_path, 10).best("voc07_map") == (10, 0)
    assert history.last("voc07_map") == 0.125
    assert [history.improves("voc07_map", value) for value in (None, 0.5, 0.500000001, 0.51)] == [
        *(False, False, False, True)
    ]
    assert History(tmp_path, 5).improves("voc07_map", 0.0)
    assert history.evaluated(40)
    assert not history.evaluated(39)


def test_curves_are_a_picture_with_and_without_metrics(tmp_path):
    history = History(tmp_path, 0)
    history.draw()
    empty = (tmp_path / "curves.png").read_bytes()
    history.append(1, {"loss": 3.0, "class_loss": 2.0, "box_loss": 1.0})
    history.append(2, {"voc07_map": 0.5})
    history.draw()
    assert (tmp_path / "curves.png").read_bytes() != empty
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1210, 440)


def write_events(folder, kind, *points, start=0):
    """Writes the points (step, tag, value) of one start of a run."""
    writer = EventWriter(folder / kind)
    writer.write([text_pb(FLAGS_TAG, "")], start)
    for step, tag, value in points:
        writer.write([scalar_pb(tag, value)], step)
    writer.close()


@pytest.fixture
def course(tmp_path):
    """A folder with a history of three points and two evaluations, and the events of all that."""
    history = History(tmp_path, 0)
    for step, value in ((10, None), (20, 1 / 3), (30, 0.25)):
        history.append(step, {"loss": 10 / step, "images_per_s": 100.0})
        if value:
            history.append(step, {"eval_loss": 2.0, "voc07_map": value})
    write_events(
        tmp_path,
        "train",
        *((step, "Overview/loss", 10 / step) for step in (10, 20, 30)),
        *((step, "Overview/images_per_s", 100.0) for step in (10, 20, 30)),
        *((step, "Machine/loss", 99.0) for step in (10, 20, 30)),
    )
    write_events(
        tmp_path,
        "eval",
        *((step, "Overview/loss", 2.0) for step in (20, 30)),
        (20, "Overview/voc07_map", 1 / 3),
        (30, "Precision and recall/voc07_map", 0.25),
        (30, "Precision per class/voc07_map", 0.99),
    )
    return tmp_path


WHOLE = "10,1,,,,100,,,,,,\n20,0.5,,,,100,,2,0.33333334,,,\n30,0.33333334,,,,100,,2,0.25,,,\n"


def reopened(folder, step=30):
    said = []
    return History(folder, step, said.append), said


def test_an_unharmed_history_is_left_as_it_is(course):
    before = (course / "history.csv").stat().st_ino
    history, said = reopened(course)
    assert (said, lines(course)) == ([], HEADER + WHOLE)
    assert (course / "history.csv").stat().st_ino == before
    assert history.best("voc07_map") == (20, 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is missing; rows restored from TensorBoard's events and metrics.json: 3"),
        (b"", "is empty; rows restored from TensorBoard's events and metrics.json: 3"),
        (b"\0" * 9000, "lines: 1; rows restored from TensorBoard's events and metrics.json: 3"),
        ((HEADER + WHOLE[:60]).encode(), "lines: 1; rows restored from"),
        ((HEADER + "10,1,,,,100,,,,,,\n").encode(), "metrics.json: 2"),
        ((HEADER + WHOLE.replace("20,0.5", "20,x")).encode(), "metrics.json: 1"),
        (
            (HEADER + WHOLE).encode() + b"\0" * 99,
            "damaged or repeated lines: 1; nothing to restore",
        ),
    ],
    ids=["missing", "empty", "NUL", "cut", "rows lost", "wrong type", "NUL tail"],
)
def test_a_damaged_history_is_restored_from_the_events(course, content, words):
    if content is None:
        (course / "history.csv").unlink()
    else:
        (course / "history.csv").write_bytes(content)
    history, said = reopened(course)
    assert lines(course) == HEADER + WHOLE
    [text] = said
    assert text.startswith(f"{course / 'history.csv'}: ")
    assert words in text
    assert history.best("voc07_map") == (20, 1)
    assert reopened(course)[1] == []


def test_a_lost_evaluation_is_put_into_its_row(course):
    (course / "history.csv").write_text((HEADER + WHOLE).replace(",2,0.25", ",,"))
    assert reopened(course)[0].evaluated(30)
    assert lines(course) == HEADER + WHOLE


def test_events_of_steps_that_were_done_again_do_not_count(course):
    (course / "history.csv").unlink()
    # The second start went on from 20, with other points: 30 is of a past that did not happen.
    write_events(course, "train", (40, "Overview/loss", 7.0), start=20)
    write_events(course, "eval", start=20)
    reopened(course, 40)
    assert lines(course).splitlines()[-2:] == ["20,0.5,,,,100,,2,0.33333334,,,", "40,7,,,,,,,,,,"]


def test_without_events_the_bad_rows_are_cut_and_said(tmp_path):
    (tmp_path / "history.csv").write_text(HEADER + "10,1,,,,,,,,,,\n20,x\n")
    _, said = reopened(tmp_path)
    assert lines(tmp_path) == HEADER + "10,1,,,,,,,,,,\n"
    [text] = said
    assert text.endswith(
        "damaged or repeated lines: 1; nothing to restore its rows from; --patience counts the "
        "evaluations that are left"
    )


def metrics(step, **values):
    return json.dumps({"step": step, "voc07_map": 0.75, "coco_ap": None, **values})


def test_an_evaluation_that_only_metrics_json_has_counts(tmp_path):
    History(tmp_path, 0).append(10, {"loss": 1.0})
    (tmp_path / "metrics.json").write_text(metrics(10))
    history, said = reopened(tmp_path, 10)
    assert history.evaluated(10)
    assert history.best("voc07_map") == (10, 0)
    assert lines(tmp_path) == HEADER + "10,1,,,,,,,0.75,,,\n"
    assert "metrics.json: 1" in said[0]


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", "\0" * 99, "[" * 100_000, '{"step": 10}', metrics(99), metrics(True)),
        *(metrics("10"), metrics(10, voc07_map="0.5"), metrics(10, voc07_map=[1])),
        metrics(10, raw=[1]),
    ],
    ids=range(12),
)
def test_another_metrics_json_counts_for_nothing(tmp_path, text):
    History(tmp_path, 0).append(10, {"loss": 1.0})
    (tmp_path / "metrics.json").write_text(text)
    history, said = reopened(tmp_path, 10)
    assert (history.evaluated(10), said) == (False, [])


def test_raw_weights_are_restored_and_never_the_best(tmp_path):
    def appended(folder):
        history = History(folder, 0)
        history.append(10, {"voc07_map": 0.5, "raw": {"voc07_map": 0.625, "coco_ap": None}})
        history.append(20, {"voc07_map": 0.25, "raw": {"voc07_map": 0.75, "coco_ap": 1 / 3}})
        return history

    history = appended(tmp_path)
    assert history.best("voc07_map") == (10, 1)
    whole = lines(tmp_path)
    assert whole.splitlines() == [
        HEADER.rstrip() + ",raw_voc07_map,raw_voc12_map,raw_coco_ap,raw_coco_ap50",
        "10,,,,,,,,0.5,,,,0.625,,,",
        "20,,,,,,,,0.25,,,,0.75,,0.33333334,",
    ]
    write_events(
        tmp_path,
        "eval",
        (10, "Overview/voc07_map", 0.5),
        (10, "Raw weights/voc07_map", 0.625),
        (10, "Raw weights/loss", 9.0),
    )
    raw = {"voc07_map": 0.75, "coco_ap": 1 / 3, "other": 1.0}
    (tmp_path / "metrics.json").write_text(metrics(20, voc07_map=0.25, raw=raw))
    (tmp_path / "history.csv").unlink()
    assert len(reopened(tmp_path, 20)[1]) == 1
    assert lines(tmp_path) == whole


def test_numbers_that_are_not_finite_are_never_the_best(tmp_path):
    (tmp_path / "history.csv").write_text(
        HEADER + "10,1,,,,,,nan,nan,,,\n20,1,,,,,,inf,inf,,,\n30,1,,,,,,1,0.5,,,\n"
    )
    history, said = reopened(tmp_path)
    assert (history.best("voc07_map"), said) == ((30, 0), [])


def test_the_past_of_a_killed_run(course):
    past = reopened(course, 10)[0].past
    assert past.step == 30
    assert past.time == pytest.approx((course / "history.csv").stat().st_mtime, abs=60)
    # 10 steps of 8 images at 100 images a second, twice.
    assert past.seconds(10, 30, 8) == pytest.approx(1.6)
    assert past.seconds(0, 10, 8) == pytest.approx(0.8)
    assert past.seconds(30, 40, 8) == 0.0


def test_what_cannot_be_written_is_said_once_and_written_later(tmp_path, monkeypatch):
    said = []
    history = History(tmp_path, 0, said.append)
    write = os.write

    def full(descriptor, content):
        write(descriptor, content[:3])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        patch.setattr(pathlib.Path, "write_bytes", lambda path, content: full(-1, b""))
        for step in (10, 20):
            history.append(step, {"loss": 1.0})
    assert len(said) == 1
    assert "cannot be written (No space left on device)" in said[0]
    history.append(30, {"loss": 1.0})
    assert said[1:] == [f"{tmp_path / 'history.csv'}: can be written again"]
    assert [line.split(",")[0] for line in lines(tmp_path).splitlines()[1:]] == ["10", "20", "30"]


def test_curves_are_drawn_only_when_they_changed(course):
    history, _ = reopened(course)
    history.draw()
    before = (course / "curves.png").stat().st_ino
    history.draw()
    assert (course / "curves.png").stat().st_ino == before
    reopened(course)[0].draw()
    assert (course / "curves.png").stat().st_ino == before
    history.append(40, {"loss": 1.0})
    history.draw()
    assert (course / "curves.png").stat().st_ino != before


def test_a_run_folder_that_is_gone_ends_nothing(tmp_path):
    (tmp_path / "run").mkdir()
    said = []
    history = History(tmp_path / "run", 0, said.append)
    (tmp_path / "run").rename(tmp_path / "moved")
    history.append(10, {"loss": 1.0})
    history.draw()
    assert len(said) == 1
    assert "history.csv: cannot be written (No such file or directory)" in said[0]
    assert not (tmp_path / "run").exists()
