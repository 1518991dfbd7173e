"""The converters' commands: what they print and write, help without TensorFlow, one-line errors."""

import pathlib
import subprocess
import sys

import pytest

from ssd_tfrecord import config, flags
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import Manifest

ROOT = pathlib.Path(__file__).parents[2]
VOC, COCO = "tools/create_voc_tfrecords.py", "tools/create_coco_tfrecords.py"
ANY = "tools/create_tfrecords.py"


def _run(tool, *words):
    return subprocess.run(
        [sys.executable, tool, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_voc_command_converts_and_prints_its_table(tiny_voc, tmp_path):
    words = [f"--voc_root={tiny_voc}", "--sets=2007_trainval", f"--output_dir={tmp_path / 'set'}"]
    result = _run(VOC, *words)
    assert result.returncode == 0, result.stderr
    assert " images/s" in result.stderr
    table = {tuple(line.split()) for line in result.stdout.splitlines()}
    assert {("images", "written", "6"), ("objects", "written", "7"), ("class", "dog", "3")} <= table
    manifest = Manifest.load(tmp_path / "set")
    assert (manifest.tool, manifest.name, manifest.num_classes) == (
        "create_voc_tfrecords",
        "set",
        20,
    )
    assert "--sets=2007_trainval" in manifest.flags
    again = flags.parse(config.ConvertVocConfig, ["prog", *manifest.flags])
    assert again == flags.parse(config.ConvertVocConfig, ["prog", *words])

    repeated = _run(VOC, *words)
    assert repeated.returncode == 2
    assert repeated.stderr.splitlines()[-1].startswith(f"error: --output_dir={tmp_path / 'set'}: ")
    assert "Traceback" not in repeated.stderr


def test_coco_command_names_what_is_missing(tmp_path):
    result = _run(
        COCO, "--annotations=none.json", f"--images_dir={tmp_path}", f"--output_dir={tmp_path}/a"
    )
    assert result.returncode == 2
    message = "error: --annotations=none.json: cannot be read: No such file or directory"
    assert result.stderr.splitlines()[-1] == message
    assert not (tmp_path / "a").exists()


def test_any_command_says_what_it_found_converts_it_and_knows_that_it_has(tiny_voc, tmp_path):
    out = tmp_path / "set"
    words = [f"--input={tiny_voc}", "--split=0.5,0.5", f"--output_dir={out}", "--workers=1"]
    result = _run(ANY, *words)
    assert result.returncode == 0, result.stderr
    said = result.stdout.splitlines()
    assert said[0] == f"{tiny_voc}: VOCdevkit (VOC2007), splits train (2007_trainval)"
    command = f"ssd-tfrecord train --train_records={out}/train --eval_records={out}/val "
    assert said[-1] == f"to train on it: {command}--run_dir=runs/set"
    flags.parse(config.TrainConfig, said[-1].split()[5:])
    train, val = (Manifest.load(out / name) for name in ("train", "val"))
    assert (train.num_records, val.num_records) == (3, 3)
    # A folder called VOC2007 whose names are the challenge's own has its 20 classes.
    assert train.class_names == val.class_names and train.num_classes == 20
    again = flags.parse(config.ConvertConfig, ["prog", *val.flags])
    assert again == flags.parse(config.ConvertConfig, ["prog", *words])

    repeated = _run(ANY, *words)
    assert repeated.returncode == 0
    complete = [
        f"{out}/{name} is complete: the same command has written it; if the input has changed "
        "since, pass --overwrite"
        for name in ("train", "val")
    ]
    assert repeated.stdout.splitlines() == [said[0], *complete, said[-1]]
    other = _run(ANY, *words, "--split_seed=1")
    assert other.returncode == 2
    message = f"error: --output_dir={out}/train: already holds a record set "
    assert other.stderr.splitlines()[-1].startswith(message)


def test_any_command_names_what_it_looked_for(tmp_path):
    (tmp_path / "in").mkdir()
    result = _run(ANY, f"--input={tmp_path}/in", f"--output_dir={tmp_path}/out")
    assert result.returncode == 2
    message = (
        f"error: --input={tmp_path}/in: nothing found in 0 files, 0 of them images; looked for"
    )
    assert result.stderr.splitlines()[-1].startswith(message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input="], "--input is required"),
        (["--output_dir="], "--output_dir is required"),
        (["--split=1"], "--split=1: must be two or three fractions, for train, val and test"),
        (["--split=0,1"], "--split=0,1: must be two or three fractions, for train, val and test"),
        (["--split=.7,.1,.1,.1"], "--split=0.7,0.1,0.1,0.1: must be two or three fractions"),
        (["--split=80,10,10"], "--split=80.0: must be at least 0 and at most 1"),
        (["--split=0.8,0.1"], "--split=0.8,0.1: must add up to 1"),
        (["--split=a,b"], "--split=a,b: must be a number, or several separated by commas"),
        (
            ["--layout=pascal"],
            "--layout=pascal: must be one of auto, voc, coco, yolo, csv, openimages",
        ),
    ],
)
def test_any_flags_that_do_not_go_together(words, message):
    with pytest.raises(InputError, match=message):
        flags.parse(config.ConvertConfig, ["prog", "--input=x", "--output_dir=y", *words])


@pytest.mark.parametrize(
    ("split", "fractions"),
    [
        ("0.8,0.1,0.1", {"train": 0.8, "val": 0.1, "test": 0.1}),
        ("0.9,0.1", {"train": 0.9, "val": 0.1}),
        ("0.9,0,0.1", {"train": 0.9, "test": 0.1}),
        ("", {}),
    ],
)
def test_fractions_of_a_split(split, fractions):
    words = ["prog", "--input=x", "--output_dir=y", f"--split={split}"]
    assert flags.parse(config.ConvertConfig, words).source.fractions == fractions


@pytest.mark.parametrize("tool", [VOC, COCO, ANY])
def test_help_and_flag_errors_do_not_import_tensorflow(tool):
    code = (
        "import runpy, sys\n"
        "sys.argv = [sys.argv[1], sys.argv[2]]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as stop: print(stop.code, 'tensorflow' in sys.modules)\n"
    )
    for word, expected in (("--help", "0 False"), ("--num_shards=0", "2 False")):
        result = subprocess.run(
            [sys.executable, "-c", code, tool, word],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.splitlines()[-1] == expected
        if word == "--help":
            assert "--output_dir=" in result.stdout
            assert "--num_shards=16" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either --voc_root and --sets, or --annotations_dir and --images_dir"),
        (["--voc_root=a"], "--sets is required"),
        (["--annotations_dir=a"], "--images_dir is required"),
        (["--voc_root=a", "--sets=b", "--image_set=c"], "--images_dir and --image_set require"),
        (["--annotations_dir=a", "--images_dir=b", "--sets=c"], "--sets requires --voc_root"),
        (["--voc_root=a", "--sets=b", "--output_dir="], "--output_dir is required"),
        (["--voc_root=a", "--sets=b", "--set_name=c/d"], "--set_name=c/d: must be a name, not a"),
        (["--voc_root=a", "--sets=b", "--pixel_origin=2"], "--pixel_origin=2: must be one of 0, 1"),
    ],
)
def test_voc_flags_that_do_not_go_together(words, message):
    with pytest.raises(InputError, match=message):
        flags.parse(config.ConvertVocConfig, ["prog", "--output_dir=x", *words])


@pytest.mark.parametrize("missing", ["annotations", "images_dir", "output_dir"])
def test_coco_flags_that_must_be_given(missing):
    words = [f"--{name}=x" for name in ("annotations", "images_dir", "output_dir")]
    words.remove(f"--{missing}=x")
    with pytest.raises(InputError, match=f"^--{missing} is required$"):
        flags.parse(config.ConvertCocoConfig, ["prog", *words])
