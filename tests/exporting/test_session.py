"""The export command around the formats: checks, final names, parity.json, --verify."""

import json
import pathlib
import types

import numpy as np
import pytest

from ssd_tfrecord import flags
from ssd_tfrecord.config import ExportConfig
from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting import (
    export_folder,
    export_formats,
    exportable,
    session,
    stored_checks,
)
from ssd_tfrecord.exporting.exported_file import ExportedFile, Tolerance
from ssd_tfrecord.exporting.onnx import extra_packages
from ssd_tfrecord.runs import checkpoints


class Replayed:
    """A runtime that gives what it reads in its file: {source id: detections}, maybe moved."""

    title = "replay 1"

    def __init__(self, path):
        content = json.loads(path.read_text())
        self.rows, self.shift = content["rows"], content["shift"]
        self.runs = 0

    def detect(self, image):
        row = self.rows[image.prepared.source_id]
        return Detections(
            image.prepared.source_id,
            image.prepared.height,
            image.prepared.width,
            np.array(row["boxes"], np.float32).reshape(-1, 4) + np.float32(self.shift),
            np.array(row["scores"], np.float32),
            np.array(row["labels"], np.int32),
        )

    def run(self, image):
        self.runs += 1


@pytest.fixture
def replay_format(monkeypatch):
    """A format whose file holds the Detector's answers; the fixture's ``shift`` moves its boxes."""
    made = types.SimpleNamespace(shift=0.0, tolerance=Tolerance(), names=("model.replay",))

    def export(model, folder, config):
        from ssd_tfrecord.exporting.check_set import CheckSet
        from ssd_tfrecord.records.manifest import Manifest

        images = CheckSet(Manifest.load(config.records), 0, model.detector)
        rows = {}
        for image in images:
            (found,) = model.detector.detect_prepared([image.prepared])
            names = ("boxes", "scores", "labels")
            rows[found.source_id] = {name: getattr(found, name).tolist() for name in names}
        for name in made.names:
            path = folder / name
            path.write_text(json.dumps({"rows": rows, "shift": made.shift}))
            yield ExportedFile(
                name,
                "onnx",
                "float32",
                path,
                Replayed,
                made.tolerance,
                ("as it was",),
                {"opset": "17"},
            )

    module = types.SimpleNamespace(export=export, open_file=Replayed)
    monkeypatch.setattr(export_formats, "module", lambda kind: module)
    monkeypatch.setattr(export_formats, "require", lambda kind, to_run=False: None)
    return made


@pytest.fixture
def config(quick_run, tiny_records, tmp_path, monkeypatch):
    monkeypatch.setattr(exportable, "load_run", lambda *words: checkpoints.load_run(*words))
    return parse(
        f"--run_dir={quick_run}",
        f"--records={tiny_records}",
        f"--output_dir={tmp_path / 'out'}",
        "--format=onnx",
        "--stored_images=2",
        "--max_detections=5",
    )


def parse(*words):
    return flags.parse(ExportConfig, ["export", *words])


def test_files_are_checked_named_and_listed(config, replay_format, capsys):
    session.run(config)
    out = pathlib.Path(config.output_dir)
    assert {path.name for path in out.iterdir()} == {
        *("model.replay", "parity.json", "labels.txt", "check"),
    }
    content = json.loads((out / "parity.json").read_text())
    assert content["classes"] == ["cat", "dog", "person"] and content["step"] == 3
    row = content["files"]["model.replay"]
    assert row["parity"]["num_images"] == 6 and row["parity"]["box"] == 0
    assert row["opset"] == "17" and row["notes"] == ["as it was"]
    assert (out / "labels.txt").read_text() == "cat\ndog\nperson\n"
    assert len(list((out / "check").glob("*.jpg"))) == 2
    printed = capsys.readouterr().out
    assert "checking on 6 images" in printed and "model.replay: as it was" in printed


def test_a_file_that_differs_gets_no_name(config, replay_format):
    replay_format.shift = 0.01
    with pytest.raises(InputError, match=r"model.replay: does not give .*boxes differ by 0.01 of"):
        session.run(config)
    out = pathlib.Path(config.output_dir)
    assert not (out / "model.replay").exists() and not (out / ".partial").exists()


def test_an_earlier_file_stays_if_a_new_one_differs(config, replay_format):
    session.run(config)
    path = pathlib.Path(config.output_dir) / "model.replay"
    before = path.read_bytes()
    replay_format.shift = 0.01
    with pytest.raises(InputError):
        session.run(config)
    assert path.read_bytes() == before
    assert "model.replay" in export_folder.read(path.parent)["files"]


@pytest.mark.parametrize("name", ["check/mine.txt", "model.onnx/a", "labels.txt"])
def test_files_of_the_user_stay(config, replay_format, name, monkeypatch):
    monkeypatch.setattr(exportable, "load_exportable", None)  # it ends before
    mine = pathlib.Path(config.output_dir) / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"has \S+, but no parity.json: export has not made it"):
        session.run(config)
    assert list(mine.parent.iterdir()) == [mine] and mine.read_text() == "mine"


def test_two_at_a_time_do_not_write_into_one_folder(config, replay_format, monkeypatch):
    out, held = pathlib.Path(config.output_dir), []
    store = stored_checks.store_checks

    def looking(*words):
        with pytest.raises(
            InputError, match=r"^--output_dir=.*out: another export is writing here"
        ):
            session.run(config)
        held.append(sorted(path.name for path in out.iterdir()))
        store(*words)

    monkeypatch.setattr(stored_checks, "store_checks", looking)
    session.run(config)
    assert held == [["parity.json"]]


def test_an_export_that_ended_early_is_begun_again(config, replay_format):
    replay_format.shift = 0.01
    with pytest.raises(InputError):
        session.run(config)
    out = pathlib.Path(config.output_dir)
    content = json.loads((out / "parity.json").read_text())
    assert content["files"] == {}
    # Meanwhile the model may have become another.
    (out / "parity.json").write_text(json.dumps({**content, "weights_sha256": "0"}))
    (out / ".partial").mkdir()
    replay_format.shift = 0.0
    session.run(config)
    assert list(export_folder.read(out)["files"]) == ["model.replay"]


def test_links_are_replaced_and_not_followed(config, replay_format, tmp_path):
    replay_format.names = ("model.onnx",)
    session.run(config)
    out, theirs = pathlib.Path(config.output_dir), tmp_path / "theirs"
    for name in ("model.onnx", "labels.txt", "check"):
        (out / name).rename(out / f"{name}.old")
    theirs.mkdir()
    for name in ("model.onnx", "labels.txt", "check/mine.txt", "partial/mine.txt"):
        (theirs / name).parent.mkdir(exist_ok=True)
        (theirs / name).write_text("theirs")
    for name in ("model.onnx", "labels.txt", "check", ".partial"):
        (out / name).symlink_to(theirs / name.lstrip("."))
    session.run(config)
    assert not any(path.is_symlink() for path in out.iterdir())
    texts = [path.read_text() for path in theirs.rglob("*") if path.is_file()]
    assert texts == ["theirs"] * 4
    session.run(parse(f"--verify={out}"))


def test_a_folder_takes_the_place_of_a_link(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "saved_model").symlink_to("theirs")
    with export_folder.aside(tmp_path) as aside:
        (aside / "saved_model").mkdir()
        file = ExportedFile("saved_model", "saved_model", "", aside / "saved_model", Replayed)
        export_folder.publish(file, tmp_path)
    assert not (tmp_path / "saved_model").is_symlink() and (tmp_path / "theirs").is_dir()


def test_exports_of_another_model_are_not_mixed(config, replay_format):
    session.run(config)
    path = pathlib.Path(config.output_dir) / "parity.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "weights_sha256": "0"}))
    with pytest.raises(InputError, match="holds exports of another model"):
        session.run(config)


def test_verify_needs_only_the_folder(config, replay_format, tmp_path, capsys):
    session.run(config)
    moved = tmp_path / "elsewhere"
    pathlib.Path(config.output_dir).rename(moved)
    session.run(parse(f"--verify={moved}"))
    assert "all 1 files do what they did" in capsys.readouterr().out
    path = moved / "model.replay"
    path.write_text(json.dumps({**json.loads(path.read_text()), "shift": 0.02}))
    with pytest.raises(InputError, match=r"model.replay: boxes differ by 0.02"):
        session.run(parse(f"--verify={moved}"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda out: (out / "parity.json").write_text("{"), r"parity.json: damaged"),
        (lambda out: (out / "parity.json").unlink(), r"has no parity.json that lists files"),
        (lambda out: (out / "model.replay").unlink(), r"model.replay: not found; export again"),
        (lambda out: (out / "check" / "expected.json").write_text("{}"), r"has no check/expected"),
        (
            lambda out: (out / "check" / "0000.npy").write_bytes(b"x"),
            r"0000.npy: damaged \(.*\); exp",
        ),
        (
            lambda out: _set(out, kind="pickle"),
            r"parity.json: damaged \(files: 'model.replay': must",
        ),
        (lambda out: _set(out, tolerance=None), r"files: 'model.replay': must be an object with a"),
        (lambda out: _set(out, tolerance={"x": 1}), r"parity.json: damaged \(.*\); export again$"),
        (
            lambda out: _set_head(out, files={"a": []}),
            r"files: 'a': must be an object with a toler",
        ),
        (
            lambda out: _set(out, tolerance={"ap": None}),
            r"damaged \(ap of model.replay: None: must",
        ),
        (
            lambda out: _set(out, tolerance={"box": "x"}),
            r"damaged \(box of model.replay: 'x': must",
        ),
        (
            lambda out: _set(out, ap_stored=[]),
            r"damaged \(ap_stored of model.replay: \[\]: must be",
        ),
        (
            lambda out: _set(out, new_name=".."),
            r"damaged \(files: '..': must be the name of a file",
        ),
        (lambda out: _set(out, new_name="a\0"), r"damaged \(files: 'a.x00': must be the name"),
        (
            lambda out: _set_head(out, thresholds=3),
            r"damaged \(thresholds: 3: must be those of an e",
        ),
        (lambda out: _set_head(out, classes=["cat"]), r"parity.json: has other classes than check"),
        (lambda out: _answer(out, labels=4), r"model.replay: gives a label that is none of 1 to 3"),
        (lambda out: _answer(out, labels=-1), r"model.replay: gives a label that is none of 1 to"),
        (lambda out: _answer(out, scores=float("nan")), r"model.replay: gives numbers that are no"),
        (
            lambda out: (out / "model.replay").write_text("{"),
            r"model.replay: onnx's program cannot",
        ),
    ],
    ids=[
        *("cut", "none", "file", "expected", "pixels", "kind", "tolerance", "x", "row", "ap"),
        *("box", "ap_stored", "dots", "null", "thresholds", "classes", "label", "negative"),
        *("nan", "content"),
    ],
)
def test_damaged_folders_are_refused_in_one_line(config, replay_format, damage, message):
    session.run(config)
    out = pathlib.Path(config.output_dir)
    damage(out)
    with pytest.raises(InputError, match=message):
        session.run(parse(f"--verify={out}"))


def _set(out, new_name="model.replay", **changed):
    content = json.loads((out / "parity.json").read_text())
    entry = {**content["files"]["model.replay"], **changed}
    (out / "parity.json").write_text(json.dumps({**content, "files": {new_name: entry}}))


def _set_head(out, **changed):
    content = json.loads((out / "parity.json").read_text())
    (out / "parity.json").write_text(json.dumps({**content, **changed}))


def _answer(out, **values):
    """Makes the exported file give other values in its first detection of each image."""
    content = json.loads((out / "model.replay").read_text())
    for row in content["rows"].values():
        for name, value in values.items():
            row[name][0] = value
    (out / "model.replay").write_text(json.dumps(content))


def test_names_cannot_leave_the_folder(config, replay_format):
    session.run(config)
    out = pathlib.Path(config.output_dir)
    content = json.loads((out / "parity.json").read_text())
    content["files"] = {"../../model.replay": content["files"]["model.replay"]}
    (out / "parity.json").write_text(json.dumps(content))
    # The file of that name in the folder is what is run.
    session.run(parse(f"--verify={out}"))


def test_an_integer_file_is_verified_against_itself(config, replay_format):
    replay_format.tolerance = Tolerance(box=None, score=None, ap=1.0)
    replay_format.shift = 0.04
    session.run(config)
    session.run(parse(f"--verify={config.output_dir}"))


def test_other_classes_and_missing_records_are_refused(config, replay_format, tmp_path):
    with pytest.raises(InputError, match="--records is required"):
        session.run(parse(f"--run_dir={config.run_dir}", f"--output_dir={tmp_path / 'x'}"))
    with pytest.raises(InputError, match="--output_dir is required"):
        parse("--run_dir=a")
    with pytest.raises(InputError, match="--format=pb: must be one of saved_model, tflite"):
        parse("--run_dir=a", "--output_dir=b", "--format=pb")


def test_a_missing_extra_is_said_at_once(monkeypatch):
    monkeypatch.setattr(extra_packages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--format=onnx: not installed: tf2onnx, onnx, onnxrun"):
        export_formats.require("onnx")
    with pytest.raises(InputError, match=r"--format=onnx: not installed: onnxruntime; pip install"):
        export_formats.require("onnx", to_run=True)
    export_formats.require("saved_model")
