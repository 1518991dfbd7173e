"""The benchmark's command: the figures it prints and saves, and its one-line errors."""

import json
import pathlib
import subprocess
import sys

import pytest

from ssd_tfrecord import config, flags
from ssd_tfrecord.errors import InputError

ROOT = pathlib.Path(__file__).parents[2]


def _run(*words):
    return subprocess.run(
        [sys.executable, "tools/benchmark.py", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_command_prints_and_saves_its_figures(tiny_records, tmp_path):
    path = tmp_path / "input.json"
    words = [f"--records={tiny_records}", "--only=input", "--batch_size=4", "--num_batches=3"]
    words += [f"--json={path}"]
    result = _run(*words)
    assert result.returncode == 0, result.stderr
    report = json.loads(path.read_text())
    assert set(report) == {"machine", "flags", "records", "input"}
    machine = ("processor", "cores", "load_before", "load_after", "python", "tensorflow")
    assert set(report["machine"]) == set(machine)
    assert report["records"] == 6
    figures = report["input"]
    assert figures["images"] == 12
    assert f"{figures['cpu_ms_per_image']:.3f}" in result.stdout
    assert f"{figures['shares']['decoding']:.1%}" in result.stdout
    again = flags.parse(config.BenchmarkConfig, ["prog", *report["flags"]])
    assert again == flags.parse(config.BenchmarkConfig, ["prog", *words])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--records: must be given"),
        (["--records=a", "--only=train"], "--only=train: must be one of input"),
        (["--records=a", "--input_size=320"], "--input_size=320: must be one of 300, 512"),
        (["--records=a", "--num_batches=0"], "--num_batches=0: must be at least 1"),
    ],
    ids=["no record set", "a part that does not exist", "a size of no model", "nothing to measure"],
)
def test_wrong_flags_are_named(words, message):
    with pytest.raises(InputError) as raised:
        flags.parse(config.BenchmarkConfig, ["benchmark", *words])
    assert str(raised.value) == message


def test_folder_of_the_json_that_is_missing_is_named_before_anything_is_measured(tmp_path):
    result = _run("--records=none", f"--json={tmp_path}/none/a.json")
    assert result.returncode == 2
    assert result.stderr == (
        f"error: --json={tmp_path}/none/a.json: no such folder; must be a file to write\n"
    )
    assert _run("--records=none").stderr.startswith("error: none")
