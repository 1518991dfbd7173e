"""One wheel that is whole: every package, the recipes, the command; run where nothing else is."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
README = {"ssd_tfrecord/configs/README.md"}
SMALL = ("--backbone=mobilenet_v2", "--width=0.1", "--backbone_weights=none", "--num_steps=2")


def test_every_package_is_listed():
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "ssd_tfrecord").rglob("__init__.py")
    }
    block = re.search(r"^packages = \[\n(.*?)^\]", PROJECT, re.DOTALL | re.MULTILINE)[1]
    assert set(re.findall(r'"(.+)"', block)) == {*found, "ssd_tfrecord.configs"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this tree, built aside: setuptools writes into the tree that it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("ssd_tfrecord", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    words = ["wheel", ".", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir=dist"]
    subprocess.run([sys.executable, "-m", "pip", *words], cwd=folder, check=True)
    (path,) = (folder / "dist").glob("*.whl")
    return path


def test_wheel_holds_all_that_is_needed_and_no_more(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    here = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "ssd_tfrecord").rglob("*")
        if path.suffix in (".py", ".typed")
    }
    recipes = {
        f"ssd_tfrecord/configs/{path.name}"
        for pattern in ("*.flags", "*.curve.csv")
        for path in (ROOT / "configs").glob(pattern)
    }
    assert {name for name in names if ".dist-info/" not in name} == here | recipes | README


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    """A function that runs the command from the unpacked wheel, in an empty folder."""
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    work = tmp_path_factory.mktemp("work")

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "ssd_tfrecord", *words],
            cwd=work,
            env={**os.environ, "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("--version")
    assert done.stdout.startswith("ssd_tfrecord 0.")
    code = "import ssd_tfrecord; print(ssd_tfrecord.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", code],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(folder))
    return run


def test_help_lists_the_programs_and_wrong_words_are_one_line(unpacked):
    before = os.times()
    done = unpacked("--help")
    after = os.times()
    assert done.returncode == 0
    for name in ("convert-voc", "convert-coco", "inspect", "train", "evaluate", "detect"):
        assert f"\n  {name} " in done.stdout
    assert after.children_user - before.children_user < 1
    done = unpacked("fly")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: 'fly' is not a program; must be one of fit, ")


def test_recipes_are_found_by_name(unpacked):
    done = unpacked("train", "--flagfile=ssd300_voc0712.flags", "--run_dir=a", "--train_records=b")
    assert done.returncode == 2
    assert done.stderr.startswith("error: b: no manifest.json: ")
    done = unpacked("train", "--flagfile=nothing.flags")
    assert done.stderr.startswith("error: --flagfile=nothing.flags: no such file; must be a file ")
    assert "demo.flags" in done.stderr and "ssd512_coco2017.flags" in done.stderr


def test_it_converts_and_inspects(unpacked, tiny_voc):
    words = (f"--voc_root={tiny_voc}", "--sets=2007_trainval", "--classes=auto")
    done = unpacked("convert-voc", *words, "--output_dir=records")
    assert done.returncode == 0, done.stderr
    done = unpacked("inspect", "--records=records", "--verify")
    assert "intact: checksums, counts and all records are correct" in done.stdout, done.stderr


@pytest.mark.soak
def test_it_works_in_an_empty_environment(wheel, tiny_voc, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True)

    def run(*words):
        done = subprocess.run(
            [tmp_path / "venv" / "bin" / "ssd-tfrecord", *words],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("demo-data", "--output_dir=VOCdevkit", "--num_train=8", "--num_test=4")
    for kind in ("train", "test"):
        words = (f"--sets=demo_{kind}", "--classes=auto", "--num_shards=1")
        run("convert-voc", "--voc_root=VOCdevkit", *words, f"--output_dir=records/{kind}")
    assert "are correct" in run("inspect", "--records=records/test", "--verify", "--stats")
    words = ("--train_records=records/train", "--eval_records=records/test", "--run_dir=runs/a")
    said = run("train", "--flagfile=demo.flags", *words, *SMALL, "--global_batch_size=4")
    assert "done at step 2" in said
    assert "mean" in run("evaluate", "--run_dir=runs/a", "--records=records/test")
    images = f"--images={tiny_voc}/VOC2007/JPEGImages"
    assert "6 images" in run("detect", "--run_dir=runs/a", images, "--output_dir=out")
    run("benchmark", "--only=input", "--records=records/train", "--batch_size=4", "--num_rounds=1")
