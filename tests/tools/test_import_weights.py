"""From a published file to a run folder and its evaluation, in one command."""

import toy_published

from ssd_tfrecord import programs
from ssd_tfrecord.runs.loaded_run import load_run


def run(path, run_dir, *words):
    words = [f"--input={path}", f"--output={run_dir}", *words]
    return programs.run("import-weights", ["import_weights", *words])


def test_a_published_model_is_converted_and_evaluated(tiny_records, tmp_path, monkeypatch, capsys):
    path, run_dir, evaluated = tmp_path / "a.pth", tmp_path / "run", []
    published = toy_published.install(monkeypatch, path)
    monkeypatch.setattr(programs, "evaluate", evaluated.append)
    assert run(path, run_dir, f"--records={tiny_records},{tiny_records}") == 0
    assert f"{path}: torchvision toy, 3 classes" in capsys.readouterr().out
    assert load_run(run_dir).step == 0
    [config] = evaluated
    assert (config.run_dir, config.records) == (str(run_dir), (str(tiny_records),) * 2)
    assert config.detection == published.detection_options
    assert run(path, tmp_path / "other") == 0
    assert len(evaluated) == 1


def test_a_wrong_file_is_one_line(tmp_path, capsys):
    path = tmp_path / "notes.txt"
    path.write_text("weights\n")
    assert run(path, tmp_path / "run") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"error: --input={path}: ")


def test_missing_records_are_said_before_the_work(tmp_path, monkeypatch, capsys):
    path = tmp_path / "a.pth"
    toy_published.install(monkeypatch, path)
    assert run(path, tmp_path / "run", "--records=nowhere") == 2
    assert "nowhere: no manifest.json" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
