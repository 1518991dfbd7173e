"""A list that grows and is whole at every moment, also where the disk is full."""

import errno
import json
import os

import pytest

from ssd_tfrecord.detection.outputs.json_rows import JsonRows, to_json


def _read(path):
    return json.loads(path.read_text("utf-8"))


def test_it_is_whole_after_each_row(tmp_path):
    part, path = tmp_path / "a.json.part", tmp_path / "a.json"
    rows = JsonRows(path, '{"run": "a", "rows": [', "]}")
    assert _read(part) == {"run": "a", "rows": []}
    for number in range(3):
        rows.add({"number": number, "text": "é" * number})
        assert [row["number"] for row in _read(part)["rows"]] == list(range(number + 1))
    assert not path.exists()
    rows.close()
    assert _read(path)["rows"][2] == {"number": 2, "text": "éé"}
    assert rows.num_rows == 3 and not part.exists()
    # A row per line.
    assert len(path.read_text("utf-8").splitlines()) == 5


def test_a_row_that_does_not_fit_is_left_out(tmp_path, monkeypatch):
    rows = JsonRows(tmp_path / "a.json")
    rows.add("x" * 50)
    limit, pwrite = os.path.getsize(tmp_path / "a.json.part") + 20, os.pwrite

    def full(descriptor, data, place):
        room = limit - place
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(descriptor, data[:room], place)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        rows.add("y" * 50)
    assert _read(tmp_path / "a.json.part") == ["x" * 50]
    # A short one still fits.
    rows.add("z")
    rows.close()
    assert _read(tmp_path / "a.json") == ["x" * 50, "z"]


def test_links_are_replaced(tmp_path):
    for name in ("a.json", "a.json.part"):
        (tmp_path / f"own {name}").write_text("mine")
        (tmp_path / name).symlink_to(tmp_path / f"own {name}")
    rows = JsonRows(tmp_path / "a.json")
    rows.add(1)
    rows.close()
    assert _read(tmp_path / "a.json") == [1] and not (tmp_path / "a.json").is_symlink()
    assert {path.read_text() for path in tmp_path.glob("own *")} == {"mine"}


def test_names_that_are_not_utf_8_come_back():
    name = os.fsdecode(b"caf\xe9.jpg")
    assert os.fsencode(json.loads(to_json(name))) == b"caf\xe9.jpg"
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json(float("nan"))
