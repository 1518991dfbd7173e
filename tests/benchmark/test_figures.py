"""Reports compared: percent by hand, what counts as worse, what is refused."""

import math

import pytest

from ssd_tfrecord.benchmark import figures
from ssd_tfrecord.errors import InputError

MACHINE = {"processor": "A", "cores": 2, "tensorflow": "2.15.1", "load_before": 0.5}


def report(cpu=4.0, rate=100.0, part=0.5, wait=0.0, **changes):
    row = {"cpu_ms_per_image": cpu, "cpu_ms_spread": 0.1, "images_per_s": rate}
    parts = {"part_cpu_ms_per_image": {"reading": part}}
    return {
        "machine": MACHINE,
        "flags": ["--num_rounds=7", "--xla=false", "--json=a.json"],
        "records": 100,
        "input": {
            "images": 640,
            "bare_decode": {"cpu_ms_per_image": cpu},
            "host_share": row,
            **parts,
        },
        "end_to_end": {"data_wait": wait},
    } | changes


def test_changes_by_hand():
    old, new = report(), report(cpu=5.0, rate=75.0, part=1.5, wait=0.25)
    assert figures.changes(old, new) == [
        # For comparison, and parts: neither good nor bad.
        figures.Change("input.bare_decode.cpu_ms_per_image", 4.0, 5.0, 25.0, None),
        figures.Change("input.host_share.cpu_ms_per_image", 4.0, 5.0, 25.0, 25.0),
        figures.Change("input.host_share.images_per_s", 100.0, 75.0, -25.0, 25.0),
        figures.Change("input.part_cpu_ms_per_image.reading", 0.5, 1.5, 200.0, None),
        figures.Change("end_to_end.data_wait", 0.0, 0.25, math.inf, None),
    ]
    assert [change.percent for change in figures.changes(old, old)] == [0.0] * 5


def test_what_is_measured_of_matching_is_a_cost_but_for_what_is_bare():
    old = {"match": {"cpu_ms": 2.0, "bare_cpu_ms": 1.0, "ratio_to_bare": 2.0}}
    new = {"match": {"cpu_ms": 1.0, "bare_cpu_ms": 2.0, "ratio_to_bare": 0.5}}
    assert [change.worse for change in figures.changes(old, new)] == [-50.0, None, -75.0]


def test_metrics_are_costs_but_for_their_parts_and_those_of_other_tools():
    def metrics(value):
        row = {"cpu_ms_per_image": value}
        peers = {"pycocotools": row | {"ratio_to_coco": value}}
        return {"evaluation": {"coco": row, "part_voc": row, "peers": peers}}

    worse = {change.name: change.worse for change in figures.changes(metrics(1.0), metrics(1.5))}
    assert worse == {
        "evaluation.coco.cpu_ms_per_image": 50.0,
        "evaluation.part_voc.cpu_ms_per_image": None,
        "evaluation.peers.pycocotools.cpu_ms_per_image": None,
        "evaluation.peers.pycocotools.ratio_to_coco": None,
    }


def test_figures_of_conversion_are_costs_and_rates_but_for_what_is_bare():
    def convert(value):
        row = {"images_per_s": value, "cpu_ms_per_image": value}
        whole = row | {"bare_decode": row, "ratio_to_decode": value, "shares": {"reading": value}}
        scaling = {"images": 12000, "all_workers": {"busy_share": value}, "cpu_ratio": value}
        return {"convert": {"verify_decode": whole, "scaling": scaling}}

    worse = {change.name: change.worse for change in figures.changes(convert(1.0), convert(1.5))}
    assert worse == {
        "convert.verify_decode.images_per_s": -50.0,
        "convert.verify_decode.cpu_ms_per_image": 50.0,
        "convert.verify_decode.bare_decode.images_per_s": None,
        "convert.verify_decode.bare_decode.cpu_ms_per_image": None,
        "convert.verify_decode.ratio_to_decode": 50.0,
        "convert.verify_decode.shares.reading": None,
        "convert.scaling.all_workers.busy_share": -50.0,
        "convert.scaling.cpu_ratio": 50.0,
    }


def test_only_what_got_worse_by_more_than_the_limit_is_too_bad():
    found = figures.changes(report(), report(cpu=4.4, rate=95.0, part=9.0))
    assert [change.name for change in figures.too_bad(found, 9)] == [
        "input.host_share.cpu_ms_per_image"
    ]
    assert figures.too_bad(found, 11) == []
    assert len(figures.too_bad(found, 4)) == 2
    assert figures.too_bad(figures.changes(report(), report(cpu=1.0, rate=500.0)), 1) == []


def test_figures_of_one_report_alone_are_left_out():
    other = report()
    del other["input"]["host_share"]
    names = [change.name for change in figures.changes(other, report())]
    assert "input.host_share.images_per_s" not in names
    assert len(names) == 3


def test_differences_of_machine_and_flags_are_named_but_not_of_load_and_outputs():
    new = report(
        machine=MACHINE | {"tensorflow": "2.21.0", "load_before": 2.0},
        flags=["--num_rounds=3", "--xla=false", "--json=b.json", "--seed=1"],
    )
    assert figures.differences(report(), new) == [
        "tensorflow: 2.15.1 then, 2.21.0 now",
        "--num_rounds: 7 then, 3 now",
        "--seed: none then, 1 now",
    ]
    assert figures.differences(report(), report()) == []


def test_saved_report_is_loaded(tmp_path):
    figures.save(tmp_path / "a.json", report())
    assert figures.load(tmp_path / "a.json") == report()


def test_where_a_report_can_be_saved(tmp_path):
    (tmp_path / "old.json").write_text("old")
    for name in ("new.json", "old.json"):
        figures.check_place(str(tmp_path / name))
    assert not (tmp_path / "new.json").exists()
    assert (tmp_path / "old.json").read_text() == "old"
    refused = {
        str(tmp_path): "cannot be written: Is a directory; must be a file in an existing folder",
        f"{tmp_path}/none/a.json": "no such folder; must be a file in an existing folder",
        "/proc/a.json": "cannot be written: No such file or directory; must be a file in an "
        "existing folder",
    }
    for path, message in refused.items():
        with pytest.raises(InputError) as raised:
            figures.check_place(path)
        assert str(raised.value) == f"--json={path}: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        ("images_per_s 7", "is not JSON"),
        ("[1, 2]", 'has no "machine" and "flags"'),
        ('{"machine": {}}', 'has no "machine" and "flags"'),
        ('{"machine": {}, "flags": [1]}', 'has no "machine" and "flags"'),
        ("[" * 100_000, "is not JSON"),
    ],
    ids=["missing", "other text", "a list", "no flags", "flags that are none", "deep"],
)
def test_foreign_file_is_refused(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as raised:
        figures.load(str(path))
    assert str(raised.value) == f"--compare={path}: {message}; must be a report written by --json"
