"""Programs one after the other: those that are done are passed over, what failed is said."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ssd_tfrecord.fitting import stages
from ssd_tfrecord.fitting.stages import Stage, StageError, Stages

# Writes its last word into the file of its second, and ends with its first.
TOY = (
    "import sys; code, path, text = sys.argv[1:]; open(path, 'a').write(text); sys.exit(int(code))"
)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(stages, "PROGRAM", (sys.executable, "-c", TOY))


def stage(folder, name, text, code=0):
    path = folder / name
    return Stage(name, (str(code), str(path), text), (path,))


def texts(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != "fit.json"}


def test_what_is_done_is_not_done_again(toy, tmp_path, capsys):
    first, second = stage(tmp_path, "a", "x"), stage(tmp_path, "b", "y")
    for _ in range(2):
        kept = Stages(tmp_path)
        kept.run(first)
        kept.run(second)
    assert texts(tmp_path) == {"a": "x", "b": "y"}
    assert "a: done before" in capsys.readouterr().out


def test_a_stage_of_other_words_is_done_again_and_all_behind_it(toy, tmp_path):
    Stages(tmp_path).run(stage(tmp_path, "a", "x"))
    Stages(tmp_path).run(stage(tmp_path, "b", "y"))
    Stages(tmp_path).run(stage(tmp_path, "a", "z"))
    Stages(tmp_path).run(stage(tmp_path, "b", "y"))
    assert texts(tmp_path) == {"a": "xz", "b": "yy"}


def test_a_stage_whose_files_are_gone_is_done_again(toy, tmp_path):
    Stages(tmp_path).run(stage(tmp_path, "a", "x"))
    (tmp_path / "a").unlink()
    Stages(tmp_path).run(stage(tmp_path, "a", "x"))
    assert texts(tmp_path) == {"a": "x"}


@pytest.mark.parametrize(
    ("code", "exit_code", "message"),
    [
        (7, 7, "a has failed (exit code 7); once its cause is mended, the same command goes on"),
        (143, 143, "a was stopped; the same command goes on from there"),
        (-9, 137, "a was killed by signal 9; once"),
    ],
)
def test_what_failed_is_said_and_comes_again(toy, tmp_path, monkeypatch, code, exit_code, message):
    if code < 0:
        killed = "import os; os.kill(os.getpid(), 9)"
        monkeypatch.setattr(stages, "PROGRAM", (sys.executable, "-c", killed))
    with pytest.raises(StageError) as caught:
        Stages(tmp_path).run(stage(tmp_path, "a", "x", code))
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == exit_code
    assert json.loads((tmp_path / "fit.json").read_text())["done"] == {}


@pytest.mark.parametrize("content", ["", "[]", '{"done": 3}', '{"done": {"a": 1}, "found": {}}'])
def test_a_damaged_file_says_nothing(toy, tmp_path, content):
    (tmp_path / "fit.json").write_text(content)
    Stages(tmp_path).run(stage(tmp_path, "a", "x"))
    assert json.loads((tmp_path / "fit.json").read_text())["done"].keys() == {"a"}


def test_what_was_found_is_known_once_it_is_converted(toy, tmp_path):
    kept = Stages(tmp_path)
    kept.run(stage(tmp_path, "convert", "x"))
    kept.remember(["--input=a"], {"parts": {"train": 3}})
    assert Stages(tmp_path).known(["--input=a"])["parts"] == {"train": 3}
    assert Stages(tmp_path).known(["--input=b"]) == {}


def test_a_signal_is_handed_on(tmp_path):
    child = (
        "import signal, sys, time, pathlib\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(60)"
    )
    parent = (
        "import pathlib, sys\n"
        "from ssd_tfrecord.fitting import stages\n"
        f"stages.PROGRAM = (sys.executable, '-c', {child!r})\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "try:\n"
        "    stages.Stages(folder).run(stages.Stage('train', (), ()))\n"
        "except stages.StageError as error:\n"
        "    sys.exit(error.exit_code)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 143
