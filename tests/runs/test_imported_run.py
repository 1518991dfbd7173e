"""A published model as a run folder."""

import numpy as np
import pytest
import toy_published

from ssd_tfrecord.config.weights_import import ImportConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.runs import imported_run, run_folder
from ssd_tfrecord.runs.loaded_run import load_run


def test_an_import_is_a_run_at_step_0(tmp_path, monkeypatch, capsys):
    path, run_dir = tmp_path / "a.pth", tmp_path / "run"
    published = toy_published.install(monkeypatch, path)
    imported_run.write(ImportConfig(input=str(path), output=str(run_dir)))
    said = capsys.readouterr().out
    assert f"{path}: torchvision toy, 3 classes, anchors voc, torchvision\n" in said
    assert f"{path}: 1 arrays not used: optimizer.step\n" in said
    run = load_run(run_dir)
    assert (run.step, run.class_names, run.original_ids) == (0, toy_published.CLASSES, (7, 8, 9))
    assert run.config.anchors == published.anchor_options
    assert run.config.model == published.model_options
    for layer in run.model.layers:
        for ours, theirs in zip(layer.get_weights(), published.arrays.get(layer.name, ())):
            np.testing.assert_array_equal(ours, theirs, err_msg=layer.name)
    kept = run_folder.read_identity(run_dir)
    assert (kept.flags["anchor_variant"], len(kept.weights.digest)) == ("torchvision", 64)
    # It has no optimizer to go on with.
    with pytest.raises(InputError, match=r"imported model .* give --init_checkpoint=.*run$"):
        run_folder.check(run.config)
    with pytest.raises(InputError, match=r"--output=.*run: exists; must be a new or empty folder"):
        imported_run.write(ImportConfig(input=str(path), output=str(run_dir)))


def test_scales_that_the_file_cannot_tell_are_given(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    toy_published.install(monkeypatch, path)
    scales = "0.1,0.3,0.9"
    imported_run.write(
        ImportConfig(input=str(path), output=str(tmp_path / "run"), anchor_scales=scales)
    )
    assert run_folder.read_config(tmp_path / "run").anchors.anchor_scales == scales


def test_a_file_that_is_refused_leaves_no_folder(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("weights\n")
    with pytest.raises(InputError, match=f"--input={path}: "):
        imported_run.write(ImportConfig(input=str(path), output=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="--output is required"):
        ImportConfig(input=str(path))
