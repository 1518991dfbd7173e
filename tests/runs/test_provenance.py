"""runs.jsonl: starts, ends, kills and what they cost."""

import json
import os
import pathlib
import sys
import time

import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.runs import provenance
from ssd_tfrecord.runs.course.dispensable import Dispensable
from ssd_tfrecord.runs.history import Past

NOTHING = Past(0, None, ())
FACTS = {"python": "3.11", "gpus": []}


def start(folder, step=0, past=NOTHING, ago=0.0, **values):
    config = TrainConfig(train_records=("a",), run_dir=str(folder), global_batch_size=8)
    return provenance.started(
        folder,
        config,
        step=step,
        past=past,
        facts=FACTS,
        digests={"train_records=a": "12ab"},
        began=time.time() - ago,
        **values,
    )


def entries(folder):
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


def test_a_start_says_who_where_and_with_what(tmp_path):
    start(tmp_path)
    [entry] = entries(tmp_path)
    assert entry["event"] == "start"
    assert entry["command"] == sys.orig_argv
    assert entry["process"] == os.getpid()
    assert (entry["step"], entry["last"], entry["goodput"]) == (0, None, None)
    assert (entry["python"], entry["digests"]) == ("3.11", {"train_records=a": "12ab"})
    assert len(entry["flags_sha256"]) == 64
    assert entry["time"].endswith("+00:00")


def test_an_end_is_written_once_and_the_next_start_repeats_it(tmp_path):
    run = start(tmp_path, ago=10.0)
    run.ended("stopped by SIGTERM", 40, exit_code=143, step_seconds=5.0)
    run.ended("done", 50)
    _, end = entries(tmp_path)
    assert (end["reason"], end["step"], end["exit_code"]) == ("stopped by SIGTERM", 40, 143)
    assert end["seconds"] == pytest.approx(10.0, abs=5)
    assert end["goodput"] == pytest.approx(0.5, abs=0.2)
    start(tmp_path, step=40)
    again = entries(tmp_path)[2]
    assert again["last"] == {
        **{key: end[key] for key in ("reason", "step", "seconds", "step_seconds")},
        "seconds_lost": 0.0,
    }
    assert again["goodput"] == pytest.approx(end["goodput"], abs=0.01)


def test_a_start_without_an_end_was_killed_and_has_lost_its_last_steps(tmp_path):
    start(tmp_path, ago=100.0)
    # 20 steps of 8 images at 4 a second take 40 s; the last point came 50 s after the start.
    past = Past(20, time.time() - 50.0, ((10, 4.0), (20, 4.0)))
    start(tmp_path, step=10, past=past)
    last = entries(tmp_path)[1]["last"]
    assert (last["reason"], last["step"]) == ("killed", 20)
    assert last["seconds"] == pytest.approx(50.0, abs=5)
    assert (last["step_seconds"], last["seconds_lost"]) == (40.0, 20.0)
    # 20 s of steps that count in 50 s.
    assert entries(tmp_path)[1]["goodput"] == pytest.approx(0.4, abs=0.05)


def test_goodput_is_over_all_starts(tmp_path):
    start(tmp_path, ago=100.0).ended("done", 10, step_seconds=50.0)
    start(tmp_path, step=10, ago=300.0).ended("done", 40, step_seconds=250.0)
    *_, end = entries(tmp_path)
    assert end["goodput"] == pytest.approx(300 / 400, abs=0.02)


def test_a_kill_of_which_nothing_is_known(tmp_path):
    start(tmp_path, ago=100.0)
    start(tmp_path)
    last = entries(tmp_path)[1]["last"]
    assert (last["reason"], last["step"], last["seconds"], last["seconds_lost"]) == (
        *("killed", 0, 0.0, 0.0),
    )


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\0" * 500 + b"\n",
        b'{"event": "start"}\n{"event": "end", "reason": 3}\n[]\n7\n"x"\n',
        b'{"event": "start", "step": NaN, "unix_time": 1, "last": null}\n',
        b'{"event": "start", "step": 1, "unix_time": 1, "last": [1]}\n',
        b'{"event": "start", "step": 1, "unix_time": 1, "last": {"step": "x"}}\n',
        b"[" * 100_000 + b"\n",
        b'{"event": "start", "step": 1, "un',
    ],
    ids=range(8),
)
def test_lines_that_are_none_are_passed_over_and_kept(tmp_path, garbage):
    (tmp_path / "runs.jsonl").write_bytes(garbage)
    start(tmp_path)
    content = (tmp_path / "runs.jsonl").read_bytes()
    assert content.startswith(garbage)
    # On a line of its own, behind one that was cut, too.
    assert json.loads(content.splitlines()[-1])["last"] is None


def test_what_cannot_be_written_is_said_once(tmp_path):
    said = []
    run = start(tmp_path / "gone", writing=Dispensable("runs.jsonl", said.append))
    run.ended("done", 1)
    [text] = said
    assert "runs.jsonl: cannot be written (No such file or directory)" in text


def checkout(tmp_path, monkeypatch, git):
    """Lets the package lie in a checkout, and makes a program ``git`` of a text."""
    package = tmp_path / "checkout" / "ssd_tfrecord" / "__init__.py"
    package.parent.mkdir(parents=True)
    (tmp_path / "checkout" / ".git").mkdir()
    monkeypatch.setattr("ssd_tfrecord.__file__", str(package))
    folder = tmp_path / "bin"
    folder.mkdir()
    if git:
        (folder / "git").write_text(f"#!/bin/sh\n{git}\n")
        (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin" if git else str(folder))


@pytest.mark.parametrize(
    ("git", "expected"),
    [
        ('case "$*" in *rev-parse*) echo 12ab;; *) echo " M a.py";; esac', ("12ab", True)),
        ('case "$*" in *rev-parse*) echo 12ab;; *) ;; esac', ("12ab", False)),
        ("exit 128", (None, None)),
        ("exec sleep 30", (None, None)),
        ("", (None, None)),
    ],
    ids=["changed", "clean", "not trusted", "too slow", "no git"],
)
def test_commit_of_a_checkout(tmp_path, monkeypatch, git, expected):
    monkeypatch.setattr(provenance, "_GIT_SECONDS", 10.0 if "sleep" not in git else 0.2)
    checkout(tmp_path, monkeypatch, git)
    start(tmp_path)
    [entry] = entries(tmp_path)
    assert (entry.get("commit"), entry.get("dirty")) == expected


def test_an_installed_package_has_no_commit(tmp_path, monkeypatch):
    checkout(tmp_path, monkeypatch, "echo 12ab")
    pathlib.Path(tmp_path / "checkout" / ".git").rmdir()
    start(tmp_path)
    assert "commit" not in entries(tmp_path)[0]


def test_a_machine_that_rounds_otherwise_is_a_line(tmp_path):
    facts = {"python": "3.11", "tensorflow": "2.15.1", "vector_units": "avx2", "onednn": "off"}
    facts |= {"gpus": []}
    # Nothing is known yet, nor of a version that has not kept it.
    assert provenance.other_machine(tmp_path, facts) == ""
    start(tmp_path)
    assert provenance.other_machine(tmp_path, facts) == ""
    gpus = [{"name": "H100", "compute_capability": "9.0"}]
    assert provenance.other_machine(tmp_path, facts | {"gpus": gpus}) == (
        "other than in this run's last start: GPUs none -> H100; results differ by rounding"
    )
    config = TrainConfig(train_records=("a",), run_dir=str(tmp_path))
    given = {"step": 0, "past": NOTHING, "digests": {}}
    provenance.started(tmp_path, config, facts=facts, **given)
    assert provenance.other_machine(tmp_path, facts | {"python": "3.12"}) == ""
    other = facts | {"vector_units": "avx2 avx512f", "onednn": "on", "tensorflow": "2.21.0"}
    assert provenance.other_machine(tmp_path, other) == (
        "other than in this run's last start: TensorFlow 2.15.1 -> 2.21.0; vector units avx2 -> "
        "avx2 avx512f; oneDNN off -> on; results differ by rounding"
    )
