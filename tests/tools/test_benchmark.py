"""The benchmark's command: what it prints, saves and compares, and its one-line errors."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from ssd_tfrecord import config, flags
from ssd_tfrecord.benchmark import figures, session, step_cost, table
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.training.runner import LAST, METRICS

ROOT = pathlib.Path(__file__).parents[2]
CONVERT = ("verify_decode", "verify_header")
QUICK = ("--batch_size=2", "--num_batches=1", "--num_rounds=1", "--num_steps=1")


def _run(*words):
    return subprocess.run(
        [sys.executable, "tools/benchmark.py", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def parse(*words):
    return flags.parse(config.BenchmarkConfig, ["benchmark", *words])


def test_command_prints_and_saves_its_figures(tiny_records, tmp_path):
    path = tmp_path / "input.json"
    words = [f"--records={tiny_records}", "--only=input", *QUICK, f"--json={path}"]
    result = _run(*words)
    assert result.returncode == 0, result.stderr
    report = json.loads(path.read_text())
    assert set(report) == {"machine", "flags", "records", "input"}
    machine = ("processor", "vector_units", "onednn", "cores", "gpus", "load_before", "load_after")
    machine += ("python", "tensorflow")
    assert set(report["machine"]) == set(machine)
    assert report["records"] == 6
    found = report["input"]
    assert found["images"] == 2
    parts, shares = found["part_cpu_ms_per_image"], found["shares"]
    assert sum(parts.values()) == pytest.approx(found["host_share"]["cpu_ms_per_image"])
    assert sum(shares.values()) == pytest.approx(1)
    # Of one round: which of two costs is larger, a busy machine can turn round, not their quotient.
    same_work, decode = (found[name]["cpu_ms_per_image"] for name in ("same_work", "bare_decode"))
    assert min(same_work, decode) > 0
    assert found["same_work"]["ratio_to_decode"] == pytest.approx(same_work / decode)
    assert f"{found['host_share']['cpu_ms_per_image']:.3f} CPU ms/image" in result.stdout
    assert f"{found['same_work']['ratio_to_decode']:.2f} ±" in result.stdout
    assert f"{found['shares']['decoding']:.1%}" in result.stdout
    again = flags.parse(config.BenchmarkConfig, ["prog", *report["flags"]])
    assert again == parse(*words)


def test_command_measures_metrics_without_records(tmp_path):
    path = tmp_path / "evaluation.json"
    result = _run("--only=evaluation", "--evaluation_images=3", "--num_rounds=1", f"--json={path}")
    assert result.returncode == 0, result.stderr
    report = json.loads(path.read_text())
    assert set(report) == {"machine", "flags", "records", "evaluation"}
    peer = report["evaluation"]["peers"]["pycocotools"]
    assert peer["difference"] == 0.0
    assert f"{peer['cpu_ms_per_image']:.3f} CPU ms/image" in result.stdout


def test_command_measures_conversion(tiny_records, tmp_path):
    path = tmp_path / "convert.json"
    words = [f"--records={tiny_records}", "--only=convert", *QUICK, f"--json={path}"]
    result = _run(*words, "--convert_workers=2", "--convert_images=200")
    assert result.returncode == 0, result.stderr
    report = json.loads(path.read_text())
    assert set(report) == {"machine", "flags", "records", "convert"}
    assert set(report["convert"]) == {*CONVERT, "scaling"}
    decode, header = (report["convert"][name] for name in CONVERT)
    # Two a batch.
    assert decode["images"] == header["images"] == 2
    for row in (decode, header):
        assert f"{row['cpu_ms_per_image']:.3f} CPU ms/image" in result.stdout
        assert f"{row['ratio_to_decode']:.2f} ±" in result.stdout
    scaling = report["convert"]["scaling"]
    assert (scaling["images"], scaling["workers"]) == (200, 2)
    # TensorFlow is imported once for all workers, in most of the CPU time of so few images.
    assert 0.8 < scaling["whole_cpu_ratio"] < 1.8
    assert 0 < scaling["all_workers"]["busy_share"] < 1.1
    assert f"2 workers need {scaling['cpu_ratio']:.3f} times the CPU time of 1" in result.stdout
    assert os.listdir(tmp_path) == ["convert.json"]


def light_step(config, num_classes, strategy):
    """In place of a network's step, which takes long to trace."""
    assert num_classes == 3

    def step(batch, stop):
        loss = tf.reduce_mean(tf.cast(batch.images, tf.float32))
        return dict.fromkeys((*METRICS, *LAST), loss) | {"finite": 1.0 + 0.0 * loss, "stop": stop}

    return step


def test_all_parts_are_joined_and_compared(tiny_records, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(step_cost, "make_step", light_step)
    path = tmp_path / "all.json"
    rows = {"images_per_s": 30.0, "images_per_s_spread": 0.0, "data_wait": 0.0}
    rows |= {"cpu_ms_per_image": 2.0, "cpu_ms_spread": 0.0}
    decoding = {"ratio_to_decode": 2.0, "ratio_spread": 0.0, "cores_for_1000_images_per_s": 2.0}
    parts = {"part_cpu_ms_per_image": {"rest": 2.0}, "shares": {"rest": 1.0}}
    given = {"images": 2, "bare_decode": rows, **parts}
    shares = dict.fromkeys(("host_share", "same_work"), rows | decoding)
    monkeypatch.setattr(session, "_measure_input", lambda *_: given | shares)
    monkeypatch.setattr(session, "_measure_match", lambda *_: {"cpu_ms_per_image": 0.25})
    converted = dict.fromkeys(CONVERT, given | rows | decoding)
    monkeypatch.setattr(session, "_measure_convert", lambda *_: converted)
    words = [f"--records={tiny_records}", *QUICK]
    session.run(parse(*words, f"--json={path}"))
    report = json.loads(path.read_text())
    assert set(report) == {"machine", "flags", "records", *figures.TRAINING}
    printed = capsys.readouterr().out
    for section in ("model", "end_to_end"):
        assert f"{report[section]['images_per_s']:.1f} images/s" in printed
        assert 0 <= report[section]["data_wait"] <= 1
    assert "0.250" in printed
    assert printed.splitlines()[-1] == table.bound(report)

    # Compared with itself: nothing changes but what is measured anew.
    report["input"]["host_share"]["cpu_ms_per_image"] = 1.0
    report["machine"]["tensorflow"] = "1.0"
    path.write_text(json.dumps(report))
    words += ["--only=input", f"--compare={path}"]
    session.run(parse(*words))
    printed = capsys.readouterr().out.splitlines()
    assert any(line.startswith("  warning: tensorflow: 1.0 then, ") for line in printed)
    changed = [line for line in printed if line.startswith("  input.host_share.cpu_ms_per_image")]
    assert changed[0].split()[1:] == ["1.000", "2.000", "+100.0", "%"]
    session.run(parse(*words, "--fail_above=101"))
    with pytest.raises(SystemExit) as raised:
        session.run(parse(*words, "--fail_above=99"))
    assert raised.value.code == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        "worse by more than --fail_above=99: input.host_share.cpu_ms_per_image (+100.0 %)"
    )
    # Of nothing that is in both, nobody knows whether it got worse.
    report["input"] = {"other": 1.0}
    path.write_text(json.dumps(report))
    session.run(parse(*words))
    assert capsys.readouterr().out.splitlines()[-1] == "  no figure is in both reports"
    with pytest.raises(SystemExit):
        session.run(parse(*words, "--fail_above=1"))


def test_help_comes_before_tensorflow():
    before = os.times()
    result = _run("--help")
    after = os.times()
    assert result.returncode == 0
    assert "--fail_above=0" in result.stdout
    assert "--backbone_weights=none" in result.stdout
    assert after.children_user - before.children_user < 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--records is required"),
        (["--only=end_to_end"], "--records is required"),
        (
            ["--records=a", "--only=train"],
            "--only=train: must be one of all, convert, input, model, end_to_end, match, "
            "scaling, evaluation, hlo",
        ),
        (["--records=a", "--input_size=320"], "--input_size=320: must be 300 or 512 for vgg16"),
        (["--records=a", "--num_batches=0"], "--num_batches=0: must be at least 1"),
        (["--records=a", "--fail_above=5"], "--compare is required"),
        (
            ["--records=a", "--peer=torchvision"],
            "--peer=torchvision requires --only=model, not --only=all",
        ),
        (["--only=model", "--peer_python=python"], "--peer is required"),
        (
            ["--only=model", "--peer=torchvision", "--num_virtual_devices=2"],
            "--num_virtual_devices=2 cannot be combined with --peer, which is one replica",
        ),
        (["--only=convert"], "--records is required"),
        (
            ["--records=a", "--convert_workers=1"],
            "--convert_workers=1: must be 0, or at least 2",
        ),
        (
            ["--records=a", "--only=input", "--convert_workers=2"],
            "--convert_workers=2 requires --only=all or convert, not --only=input",
        ),
        (
            ["--only=model", "--num_virtual_devices=3"],
            "--batch_size=32: must be a multiple of the number of replicas, 3",
        ),
    ],
    ids=[
        "no record set",
        "no record set for the real input",
        "a part that does not exist",
        "a size of no model",
        "nothing to measure",
        "nothing to fail against",
        "a peer of what is not measured",
        "a Python of no peer",
        "a peer beside replicas",
        "nothing to convert",
        "one worker beside one",
        "workers of what is not measured",
        "a batch that cannot be shared",
    ],
)
def test_wrong_flags_are_named(words, message):
    with pytest.raises(InputError) as raised:
        parse(*words)
    assert str(raised.value) == message


def test_wrong_files_are_named_before_anything_is_measured(tmp_path):
    result = _run("--records=none", f"--json={tmp_path}/none/a.json")
    assert result.returncode == 2
    assert result.stderr == (
        f"error: --json={tmp_path}/none/a.json: no such folder; must be a file in an existing "
        "folder\n"
    )
    assert _run("--records=none").stderr.startswith("error: none")
    old = tmp_path / "old.json"
    old.write_text(json.dumps({"machine": {}, "flags": [], "input": {}}))
    result = _run("--only=match", f"--compare={old}")
    assert result.returncode == 2
    assert result.stderr == f"error: --compare={old}: has no figures for --only=match\n"
