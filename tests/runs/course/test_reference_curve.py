"""Curves: read, found, and compared with a run by numbers worked by hand."""

import dataclasses
import pathlib
import subprocess
import sys

import pytest

from ssd_tfrecord import flags, programs
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.runs.course import reference_curve
from ssd_tfrecord.runs.course.history_file import COLUMNS
from ssd_tfrecord.runs.course.reference_curve import CurveWatch, Point, Verdict

FOLDER = pathlib.Path(__file__).parents[3] / "configs"
CURVES = sorted(FOLDER.glob("*.curve.csv"))
HEADER = "step,metric,value,spread,runs,source\n"


def recipe(name, *words):
    command = ["train", f"--flagfile={FOLDER / name}.flags", "--train_records=a", "--run_dir=b"]
    return flags.parse(TrainConfig, [*command, *words])


def row(step, **values):
    texts = {name: str(value) for name, value in values.items()}
    return dict.fromkeys(COLUMNS, "") | {"step": str(step)} | texts


def curve(tmp_path, text):
    path = tmp_path / "a.curve.csv"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("measured", "spread", "word"),
    [
        (0.5, None, "on it"),
        (0.48, None, "on it"),
        (0.4799, None, "below"),
        (0.5201, None, "above"),
        (0.47, 0.02, "on it"),
        (0.46, 0.02, "on it"),
        (0.4599, 0.02, "below"),
        (None, None, "not evaluated"),
    ],
)
def test_words(measured, spread, word):
    """A run may be off by 0.02, or by two standard deviations where they are known."""
    point = Point(100, "voc07_map", 0.5, spread, 3, "us")
    assert Verdict(point, measured).word == word


def test_a_tolerance_of_the_user_is_for_points_without_a_spread():
    points = [Point(1, "coco_ap", 0.5, None, 1, "a"), Point(1, "coco_ap", 0.5, 0.02, 1, "b")]
    verdicts = reference_curve.judge(points, [row(1, coco_ap=0.49)], 0.005)
    assert [verdict.word for verdict in verdicts] == ["below", "on it"]


def test_between_two_evaluations_a_run_lies_on_their_line():
    rows = [
        row(10, voc07_map=0.2),
        row(15, loss=3.0),
        row(30, voc07_map=0.6, coco_ap=0.1),
        row(40, voc07_map="nan"),
    ]
    points = [Point(step, "voc07_map", 0.5, None, 1, "a") for step in (5, 10, 15, 29, 30, 31, 40)]
    found = [verdict.measured for verdict in reference_curve.judge(points, rows)]
    # 0.2 + 0.4 · 5 / 20 and 0.2 + 0.4 · 19 / 20; a value that is no number is none.
    assert found == [None, 0.2, pytest.approx(0.3), pytest.approx(0.58), 0.6, None, None]


def test_the_table():
    points = [
        Point(50, "voc07_map", 0.4, 0.01, 3, "three seeds"),
        Point(20000, "voc07_map", 0.696, None, 1, "ssd_keras"),
    ]
    verdicts = reference_curve.judge(points, [row(50, voc07_map=0.375)])
    assert reference_curve.table(verdicts).splitlines() == [
        "  step  metric     known  within   here  verdict        source",
        "    50  voc07_map  0.400   0.020  0.375  below          three seeds",
        "20,000  voc07_map  0.696   0.020         not evaluated  ssd_keras",
        "2 points: 1 below, 1 not evaluated",
    ]


def test_a_watch_says_each_point_once_and_none_that_a_resumed_run_has_behind_it():
    points = [Point(step, "voc07_map", 0.5, None, 1, "a") for step in (10, 20, 30)]
    watch = CurveWatch(points, 10)
    rows = [row(10, voc07_map=0.1), row(25, voc07_map=0.4)]
    assert watch.lines(rows) == [
        "curve: at step 20 voc07_map 0.300, 0.500 ± 0.020 known (a): below"
    ]
    assert watch.lines(rows) == []
    [line] = watch.lines([*rows, row(30, voc07_map=0.51)])
    assert line == "curve: at step 30 voc07_map 0.510, 0.500 ± 0.020 known (a): on it"


@pytest.mark.parametrize("path", CURVES, ids=lambda path: path.stem)
def test_curves_are_those_of_their_recipes(path):
    name = path.name.removesuffix(reference_curve.SUFFIX)
    config = recipe(name)
    points = reference_curve.read(path)
    assert points and points[-1].step == config.num_steps
    assert {point.metric for point in points} == {config.checkpoints.best_metric}
    assert all(point.source for point in points)
    assert reference_curve.find("recipe", config) == str(path)
    assert reference_curve.find(name, config) == str(path)


def test_a_run_on_other_data_and_machines_has_its_recipes_curve():
    words = ["--train_records=x,y", "--seed=7", "--precision=mixed_float16", "--eval_every=9"]
    config = recipe("ssd300_voc0712", *words, "--backbone_weights=vgg16.h5", "--checkpoint_every=7")
    assert reference_curve.find("recipe", config).endswith("ssd300_voc0712.curve.csv")
    # As a run folder keeps it.
    resolved = dataclasses.replace(config.anchors, anchor_variant="caffe")
    config = dataclasses.replace(config, anchors=resolved)
    assert reference_curve.find("recipe", config).endswith("ssd300_voc0712.curve.csv")


@pytest.mark.parametrize(
    "word",
    ["--learning_rate=0.002", "--num_steps=500", "--max_expansion=2", "--anchor_variant=amdegroot"],
)
def test_a_run_of_other_flags_has_none(word):
    with pytest.raises(InputError, match=r"^--verify_curve=recipe: no recipe that has a curve"):
        reference_curve.find("recipe", recipe("ssd300_voc0712", word), "verify_curve")


def test_no_such_curve():
    with pytest.raises(InputError, match=r"^--curve=x: no such file; .*ssd300_voc0712, "):
        reference_curve.find("x", recipe("ssd300_voc0712"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"the first line must be step,metric,value,spread,runs,source$"),
        ("step,metric\n", r"the first line must be step,metric"),
        (HEADER + "\n# a\n5,voc07_map,0.5,,1\n", r"line 4: has 5 columns, must have 6$"),
        (HEADER + "5,map,0.5,,1,a\n", r"line 2: metric 'map' must be one of voc07_map, "),
        (HEADER + "five,voc07_map,0.5,,1,a\n", r"line 2: invalid literal"),
        (HEADER + "5,voc07_map,77.2,,1,a\n", r"line 2: step and runs must be above 0, value from"),
        (HEADER + "5,voc07_map,nan,,1,a\n", r"line 2: step and runs must be above 0, value from"),
        (HEADER + "0,voc07_map,0.5,,1,a\n", r"line 2: step and runs must be above 0"),
        (HEADER + "5,voc07_map,0.5,0,1,a\n", r"line 2: spread must be above 0 and at most 1"),
        (HEADER + "5,voc07_map,0.5,nan,1,a\n", r"line 2: spread must be above 0"),
    ],
)
def test_what_is_no_curve(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        reference_curve.read(curve(tmp_path, text))


def test_a_file_that_is_none_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: cannot be read: "):
        reference_curve.read(tmp_path / "none.csv")


def test_a_curve_without_points_and_one_of_a_spreadsheet(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"# only this\n{HEADER}")
    with pytest.raises(InputError, match=r"a.csv: has no point; must have a line for each step"):
        reference_curve.read(path)
    path.write_text(f"{HEADER}10,voc07_map,0.5,,1,{'x' * 200_000}\n")
    with pytest.raises(InputError, match=r"a.csv: line 2: has 0 columns, must have 6$"):
        reference_curve.read(path)
    path.write_text(f"{HEADER}10,voc07_map,0.5,,1,a\n".replace("\n", "\r\n"), "utf-8-sig")
    assert [point.value for point in reference_curve.read(path)] == [0.5]


def test_points_come_in_order_with_quoted_sources(tmp_path):
    text = HEADER + '20,voc07_map,0.6,0.01,3,"a, b"\n10,voc07_map,0.5,,1,c\n'
    assert reference_curve.read(curve(tmp_path, text)) == (
        Point(10, "voc07_map", 0.5, None, 1, "c"),
        Point(20, "voc07_map", 0.6, 0.01, 3, "a, b"),
    )


def test_the_program_compares_a_run_and_exits_with_1_if_it_is_below(tmp_path, capsys):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    config = dataclasses.replace(recipe("demo"), run_dir=str(run_dir))
    (run_dir / "flags.txt").write_text("\n".join(flags.to_lines(config)) + "\n")
    line = ",".join(row(100, voc07_map=0.5)[name] for name in COLUMNS)
    (run_dir / "history.csv").write_text(f"{','.join(COLUMNS)}\n{line}\n")
    words = ["compare-curve", f"--run_dir={run_dir}"]
    path = curve(tmp_path, HEADER + "100,voc07_map,0.51,,1,a\n200,voc07_map,0.6,,1,a\n")
    assert programs.run("compare-curve", [*words, f"--curve={path}"]) == 0
    assert capsys.readouterr().out.endswith("2 points: 1 on it, 1 not evaluated\n")
    with pytest.raises(SystemExit) as end:
        programs.run("compare-curve", [*words, f"--curve={path}", "--tolerance=0.001"])
    assert end.value.code == 1
    (run_dir / "history.csv").write_text("no history")
    assert programs.run("compare-curve", [*words, f"--curve={path}"]) == 2
    (run_dir / "history.csv").unlink()
    assert programs.run("compare-curve", [*words, f"--curve={path}"]) == 2
    assert capsys.readouterr().err == (
        f"error: {run_dir}/history.csv: has no row; must be the history of a run\n"
        f"error: {run_dir}/history.csv: is missing; must be the history of a run\n"
    )
    assert programs.run("compare-curve", [*words, "--curve=x"]) == 2
    assert capsys.readouterr().err.startswith("error: --curve=x: no such file; must be ")


def test_comparing_needs_no_tensorflow():
    code = (
        "import sys\n"
        "from ssd_tfrecord.runs.course import reference_curve\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
