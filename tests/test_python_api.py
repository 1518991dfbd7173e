"""The names that Python users import, and the papers' Python blocks, run as they stand."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import ssd_tfrecord

ROOT = pathlib.Path(__file__).parents[1]
PAPERS = "".join((ROOT / name).read_text("utf-8") for name in ("README.md", "WORKSPACE.md"))
BLOCKS = re.findall(r"```python\n(.*?)```", PAPERS, re.DOTALL)


def test_the_package_is_imported_without_tensorflow():
    code = (
        "import sys, ssd_tfrecord as ssd\n"
        "ssd.Manifest, dir(ssd)\n"
        "assert not {'tensorflow', 'numpy'} & set(sys.modules)\n"
        "ssd.Detector\n"
        "assert 'tensorflow' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_names_are_the_documented_ones():
    assert set(ssd_tfrecord.__all__) <= set(dir(ssd_tfrecord))
    for name in ssd_tfrecord.__all__:
        assert getattr(ssd_tfrecord, name).__name__ == name
        assert f"``{name}``" in ssd_tfrecord.__doc__
        assert any(re.search(rf"\b{name}\b", block) for block in BLOCKS), name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ssd_tfrecord.nothing


def test_blocks_of_the_papers(tiny_records, tiny_run, tiny_voc, tmp_path, monkeypatch, capsys):
    """In a folder with a record set, a run and photographs under the papers' names."""
    (tmp_path / "records").mkdir()
    (tmp_path / "runs").mkdir()
    for name in ("mine/train", "mine/val"):
        shutil.copytree(tiny_records, tmp_path / "records" / name)
    shutil.copytree(tiny_run, tmp_path / "runs" / "mine")
    shutil.copytree(tiny_voc / "VOC2007" / "JPEGImages", tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCKS:
        exec(compile(block, "papers", "exec"), names)
    printed = capsys.readouterr().out
    assert "photos/000001.jpg" in printed
    assert re.search(r"^mAP 0\.\d\d\d$", printed, re.MULTILINE)
    assert names["history"].history["loss"][0] > 0
