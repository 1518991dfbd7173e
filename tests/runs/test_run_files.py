"""A file is the old one or the new one, whatever happens."""

import os

import pytest

from ssd_tfrecord.runs import run_files


def test_a_file_and_its_name_are_on_the_disk_before_it_counts(tmp_path, monkeypatch):
    done = []

    def noted(name, function):
        def call(*words, **settings):
            kind = (
                "folder" if name == "fsync" and os.path.isdir(f"/proc/self/fd/{words[0]}") else ""
            )
            done.append(f"{name} {kind}".strip())
            return function(*words, **settings)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    run_files.write_text(tmp_path / "a.txt", "é\n")
    assert done == ["fsync", "replace", "fsync folder"]
    assert (tmp_path / "a.txt").read_bytes() == "é\n".encode()


WRITERS = (
    run_files.write_text,
    lambda path, text: run_files.write_bytes(path, text.encode()),
)


@pytest.mark.parametrize("write", WRITERS, ids=["text", "bytes"])
def test_a_write_that_fails_leaves_the_old_file_alone(write, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    write(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "a.txt", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("write", WRITERS, ids=["text", "bytes"])
def test_a_link_is_replaced_and_what_it_leads_to_stays(write, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "a.txt").symlink_to("mine.txt")
    write(tmp_path / "a.txt", "new")
    assert not (tmp_path / "a.txt").is_symlink() and (tmp_path / "a.txt").read_text() == "new"
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "é" * 100 + "." + "x" * 54])
def test_a_file_may_have_the_longest_name(tmp_path, name):
    run_files.write_bytes(tmp_path / name, b"new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_names_of_files_that_are_being_written():
    assert run_files.written_aside("flags.txt.123.part") == "flags.txt"
    assert run_files.written_aside("flags.txt") == ""
    assert run_files.written_aside("film.part") == ""


def test_lines_of_flags():
    text = "# by hand\n\n  --a=1\r\n// and\n--b=\n--c=x=y \u2028z\n"
    assert run_files.flag_lines(text) == ["--a=1", "--b=", "--c=x=y \u2028z"]


@pytest.mark.parametrize("line", ["--a", "a=1", "--flagfile=x", "--undefok=a", "-a=1", "\x01"])
def test_what_is_no_flag_with_a_value(line):
    with pytest.raises(ValueError, match="is not a flag with a value"):
        run_files.flag_lines(f"--a=1\n{line}\n")
