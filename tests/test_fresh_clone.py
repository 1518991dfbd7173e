"""A newcomer's first two commands, in a clone in an empty folder: they install, train and score."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = "demo/run/evaluations/test"
# Four runs gave 0.731 to 0.794 (configs/demo.curve.csv): their mean less four standard deviations.
LEAST_MAP = 0.66

# In place of Python: notes what it is called with, fails if it is told to, and leaves the files by
# which make goes.
FAKE_PYTHON = """#!/bin/sh
echo "$*" >> calls
case "$*" in
  *"$FAIL"*) echo "told to fail" >&2; exit 3;;
  *create_demo_dataset*) mkdir -p demo/VOCdevkit/VOCdemo/ImageSets/Main
    touch demo/VOCdevkit/VOCdemo/ImageSets/Main/train.txt
    touch demo/VOCdevkit/VOCdemo/ImageSets/Main/test.txt;;
  *create_voc*) folder=${*##*--output_dir=}; mkdir -p $folder; touch $folder/manifest.json;;
  *evaluate*) mkdir -p demo/run/evaluations/test; cp metrics demo/run/evaluations/test/metrics.json
    touch demo/run/evaluations/test/report.html;;
esac
"""


@pytest.fixture
def fake_clone(tmp_path):
    """A folder with the Makefile and an environment that counts as installed."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    (tmp_path / ".venv/.installed").touch()
    (tmp_path / "metrics").write_text(json.dumps({"voc07_map": 0.71289, "coco_ap": 0.4}, indent=1))
    return tmp_path


def make_demo(clone, fail="nothing"):
    """The finished process, and the programs that it called, by the last part of their names."""
    (clone / "calls").write_text("")
    done = subprocess.run(
        ["make", "demo"],
        cwd=clone,
        env={"PATH": "/usr/bin:/bin", "FAIL": fail},
        capture_output=True,
        text=True,
        check=False,
    )
    calls = (clone / "calls").read_text().splitlines()
    return done, calls


def test_make_demo_says_what_was_learned_where_it_is_and_what_is_next(fake_clone):
    done, calls = make_demo(fake_clone)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "",
        "Learned: to find six kinds of objects in drawn scenes, with a VOC07 mAP of 0.712 on 200 "
        "that it was not trained on (1 would be without fault)",
        f"Page with pictures: {RESULTS}/report.html",
        "Your own folder:    .venv/bin/ssd-tfrecord fit FOLDER --output_dir=mymodel",
    ]
    assert [call.split(" --")[0] for call in calls] == [
        "tools/create_demo_dataset.py",
        "tools/create_voc_tfrecords.py",
        "tools/create_voc_tfrecords.py",
        "-m ssd_tfrecord.train",
        "-m ssd_tfrecord.evaluate",
    ]
    # One evaluation, on what is not trained on.
    assert "--train_records=demo/records/train" in calls[3] and "--eval_records" not in calls[3]
    assert "--records=demo/records/test" in calls[4]
    again, calls = make_demo(fake_clone)
    assert (again.returncode, again.stdout, calls) == (0, done.stdout, [])


@pytest.mark.parametrize(
    ("fail", "left"),
    [
        ("create_demo_dataset", 5),
        ("--sets=demo_train", 4),
        ("--sets=demo_test", 3),
        ("ssd_tfrecord.train", 2),
        ("ssd_tfrecord.evaluate", 2),
    ],
)
def test_make_demo_goes_on_where_it_stopped(fake_clone, fail, left):
    stopped, _ = make_demo(fake_clone, fail)
    assert stopped.returncode == 2
    assert "told to fail" in stopped.stderr and "Learned" not in stopped.stdout
    done, calls = make_demo(fake_clone)
    assert done.returncode == 0 and "Learned" in done.stdout
    assert len(calls) == left


@pytest.mark.soak
def test_make_demo_learns_and_talks_of_nothing_else(tmp_path):
    clone = tmp_path / "ssd_tfrecord"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    done = subprocess.run(
        ["make", "--silent", "venv", "demo", f"PYTHON={sys.executable}"],
        cwd=clone,
        capture_output=True,
        text=True,
        check=True,
    )
    for noise in ("XLA", "absl", "oneDNN custom", "tools/", "make:", "make["):
        assert noise not in done.stdout + done.stderr
    assert done.stdout.splitlines()[-2].endswith(f"{RESULTS}/report.html")
    metrics = json.loads((clone / RESULTS / "metrics.json").read_text())
    assert metrics["voc07_map"] >= LEAST_MAP
    page = (clone / RESULTS / "report.html").stat()
    assert page.st_size > 10_000
    subprocess.run(["make", "demo", f"PYTHON={sys.executable}"], cwd=clone, check=True)
    assert (clone / RESULTS / "report.html").stat() == page
    assert (clone / "demo/run/curves.png").stat().st_size > 10_000
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
    )
    assert status.stdout == ""
