"""fit from a folder to a page, on a network that is built in a second."""

import pathlib
import re
import sys

import pytest

from ssd_tfrecord import programs
from ssd_tfrecord.fitting import check, stages

TESTS = pathlib.Path(__file__).parents[1]
# The command, of which the toy is one of the networks.
TOY = (
    f"import sys; sys.path.insert(0, {str(TESTS)!r}); import toy_network; toy_network.install(); "
    "from ssd_tfrecord import programs; "
    "sys.exit(programs.main(['ssd-tfrecord', *sys.argv[1:]]))"
)


@pytest.fixture
def fit(monkeypatch):
    """A function that runs fit with the toy; returns its exit code."""
    monkeypatch.setattr(stages, "PROGRAM", (sys.executable, "-c", TOY))

    def run(folder, output, *words):
        toy = ("--backbone=toy", "--backbone_weights=none", "--global_batch_size=4")
        return programs.run("fit", ["fit", str(folder), f"--output_dir={output}", *toy, *words])

    return run


def test_a_folder_becomes_a_model_and_a_page(fit, draw_folder, tmp_path, capfd):
    folder, output = draw_folder(tmp_path / "in", 20), tmp_path / "out"
    assert fit(folder, output, "--num_steps=3", "--format=saved_model") == 0
    printed, said = capfd.readouterr()
    assert "Compiled cluster" not in said  # TensorFlow's compiler, amid the progress
    commands = re.findall(r"^\$ ssd-tfrecord (\S+)", printed, re.MULTILINE)
    assert commands == ["convert", "fit", "train", "evaluate", "export"]
    assert "8 images by heart: loss" in printed
    assert "anchor recall" in printed
    assert "3 steps of 4 images (as asked for): about" in printed
    assert re.search(r"AP50 [0-9.]+, AP [0-9.]+ on the 4 images of val", printed)
    assert printed.rstrip().endswith("has the choices, and the command")
    recipe = (output / "recipe.flags").read_text()
    assert "\n--num_steps=3\n" in recipe
    page = (output / "index.html").read_text()
    for text in ("cat, dog", "run/evaluations/val/report.html", "saved_model", "by heart"):
        assert text in page
    assert (output / "run/evaluations/val/report.html").is_file()
    # Everything once more: nothing is left to do.
    assert fit(folder, output, "--num_steps=3", "--format=saved_model") == 0
    again = capfd.readouterr().out
    assert "$ ssd-tfrecord" not in again
    assert again.count("done before") == 5
    assert "files have changed" not in again
    # More images, and another format: what is there is kept, and it is said.
    draw_folder(folder, 21)
    assert fit(folder, output, "--num_steps=3", "--format=") == 0
    again = capfd.readouterr().out
    assert (
        f"\n--input={folder}: files have changed since they were converted; what follows is about "
        "those of then, --restart takes those of now\n"
    ) in again
    assert "$ ssd-tfrecord" not in again
    # Also the next time.
    assert fit(folder, output, "--num_steps=3", "--format=") == 0
    assert "files have changed" in capfd.readouterr().out


def test_what_fails_is_one_line_and_is_gone_on_with(fit, draw_folder, tmp_path, capfd, monkeypatch):
    checked = []
    monkeypatch.setattr(check, "run", lambda config, folder: checked.append(folder.trained))
    folder, output = draw_folder(tmp_path / "in", 20), tmp_path / "out"
    first = (folder / "000.jpg").read_bytes()
    (folder / "000.jpg").write_bytes(first[:200])
    words = ("--only=check", "--num_steps=3")
    assert fit(folder, output, *words) == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert "000.jpg" in lines[-2]
    assert lines[-1] == (
        "error: convert has failed (exit code 2); once its cause is mended, the same command goes "
        "on from there, or with --restart from the beginning"
    )
    assert not checked
    # As the user mends it.
    assert fit(folder, output, *words, "--bad_images=drop") == 2
    assert fit(folder, output, *words, "--bad_images=drop", "--restart") == 0
    assert checked == [("train",)]
    (output / "own.txt").touch()
    (folder / "000.jpg").write_bytes(first)
    assert fit(folder, output, *words, "--restart") == 0
    assert re.search(r"images written +16\n", capfd.readouterr().out)
    assert (output / "own.txt").exists()


def test_nothing_of_the_users_is_deleted(fit, draw_folder, tmp_path, capfd):
    folder, output = draw_folder(tmp_path / "in", 20), tmp_path / "out"
    (output / "run").mkdir(parents=True)
    (output / "run/notes.txt").touch()
    for words in ((), ("--restart",)):
        assert fit(folder, output, *words) == 2
        assert capfd.readouterr().err.startswith(f"error: --output_dir={output}: has run, but no ")
    assert [path.name for path in output.rglob("*")] == ["run", "notes.txt"]


def test_nothing_is_written_for_a_folder_that_cannot_be_used(fit, tmp_path, capfd):
    (tmp_path / "in").mkdir()
    assert fit(tmp_path / "in", tmp_path / "out") == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()
