"""Which tool's files a folder holds, told by what is in it."""

import os

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.files.detection_formats import recognise


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"results.json": "[]"}, "coco"),
        ({"comp4_det_test_a.txt": ""}, "voc"),
        ({"results/VOC2012/Main/comp3_det_test_a.txt": "", "other.txt": "x"}, "voc"),
        ({"detection-results/a.txt": ""}, "cartucho"),
        ({"a.txt": "", "b.txt": "cat 0.5 1 2 3 4"}, "cartucho"),
        ({"a.txt": "hot dog 0.5 1 2 3 4"}, "cartucho"),
        # Classes may be called as numbers.
        ({"a.txt": "3 0.5 10 20 30 40"}, "cartucho"),
        ({"a.txt": "3 0.5 0.5 0.1 0.2 0.9"}, "yolo"),
        ({"labels/a.txt": "3 0.5 0.5 0.1 0.2 0.9", "classes.txt": "cat\ndog\n"}, "yolo"),
    ],
)
def test_a_folder_is_what_its_files_are(tmp_path, files, kind):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert recognise(str(tmp_path)) == kind


def test_a_file_is_a_json(tmp_path):
    (tmp_path / "a").write_text("[]")
    assert recognise(str(tmp_path / "a")) == "coco"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"a.txt": ""},
        {"a.txt": "3 0.5 0.5 0.1 0.2"},
        {"a.jpg": "x"},
        # Ground truth of Cartucho's.
        {"a.txt": "cat 1 2 3 4"},
    ],
    ids=["nothing", "empty files", "labels without confidences", "no text", "objects"],
)
def test_nothing_known_is_an_error_that_says_what_was_looked_for(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as error:
        recognise(str(tmp_path))
    message = str(error.value)
    assert message.startswith(f"--detections={tmp_path}: must be a COCO results.json, or a folder")
    for word in ("comp4_det_<set>_<class>.txt", "detection-results", "confidence"):
        assert word in message
    assert message.endswith("pass --detections_format")


def test_what_is_not_there_or_no_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no.txt: cannot be read: No such file"):
        recognise(str(tmp_path / "no.txt"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="nothing of that kind is there"):
        recognise(str(tmp_path / "pipe"))
