"""Scaling over replicas: parts of a step by hand, what is measured where, the sentence of each."""

import json
import pathlib
import subprocess
import sys
import textwrap

import pytest
import tensorflow as tf

from ssd_tfrecord import flags
from ssd_tfrecord.benchmark import figures, replica_scaling, table
from ssd_tfrecord.benchmark.replica_cost import ReplicaCost
from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.errors import InputError

TESTS = pathlib.Path(__file__).parents[1]
MACHINE = {"processor": "A", "cores": 2, "gpus": [], "tensorflow": "2.15.1"}
MACHINE |= {"load_before": 0.0, "load_after": 0.0}


class Deadly:
    """Kills the process that it is sent to."""

    def __reduce__(self):
        code = "__import__('os').kill(__import__('os').getpid(), 9)"
        return eval, (code,)


def parse(*words):
    return flags.parse(BenchmarkConfig, ["benchmark", "--only=scaling", *words])


def cost(whole, apart=None, small=1.0, fed=None, single=None):
    rates = {"images_per_s": 100.0, "images_per_s_spread": 0.1}
    rates |= {"cpu_ms_per_image": 2.0, "cpu_ms_spread": 0.01}
    return ReplicaCost(whole, single or whole, apart or whole, small, fed or whole, rates)


# Of five images: 10 ms for the step, and 6 ms for each image.
ONE = cost(40.0, small=16.0)


def row(other):
    return replica_scaling.rows({1: ONE, 2: other}, 5)["replicas_2"]


def test_parts_of_a_step_by_hand():
    # Another 2 ms for the step and 1 ms for each image; 9 ms for sums, 4 ms for the real input.
    found = row(cost(56.0, apart=47.0, small=19.0, fed=60.0, single=63.0))
    assert found["part_ms_per_step"] == {
        "launch": pytest.approx(12.0),
        "compute": pytest.approx(35.0),
        "reduction": pytest.approx(9.0),
        "input": pytest.approx(4.0),
    }
    assert found["part_ms_lost"] == {
        "launch": pytest.approx(2.0),
        "compute": pytest.approx(5.0),
        "reduction": pytest.approx(9.0),
        "input": pytest.approx(4.0),
    }
    assert found["ms_per_step"] == 60.0
    assert found["efficiency"] == pytest.approx(40 / 60)
    assert found["single_step_ratio"] == pytest.approx(63 / 56)
    assert found["limit"] == "reduction"
    assert found["cpu_ms_per_image"] == 2.0
    one = replica_scaling.rows({1: ONE}, 5)["replicas_1"]
    assert one["efficiency"] == 1.0
    assert set(one["part_ms_lost"].values()) == {0.0}


def test_a_step_in_parts_has_an_image_for_each_at_least():
    # 10 ms for the step, and 6 ms for each of eight images, beside two.
    two = cost(58.0, small=22.0)
    parts = replica_scaling.rows({1: two}, 8, least=2)["replicas_1"]["part_ms_per_step"]
    assert (parts["launch"], parts["compute"]) == pytest.approx((10.0, 48.0))


@pytest.mark.parametrize(
    ("other", "limit", "milliseconds"),
    [
        (cost(40.0, small=36.0), "", 0.0),
        (cost(52.0, small=48.0), "launch", 12.0),
        (cost(80.0, small=24.0), "compute", 40.0),
        (cost(80.0, apart=40.0, small=16.0), "reduction", 40.0),
        (cost(40.0, small=16.0, fed=60.0), "input", 20.0),
        (cost(38.0, apart=41.0, small=15.0), "", 0.0),
    ],
    ids=[
        "launching is hidden by computing",
        "launching takes longer than computing",
        "each image takes longer",
        "sums take longer",
        "the step waits for batches",
        "noise is no loss",
    ],
)
def test_what_keeps_from_ideal_is_named(other, limit, milliseconds):
    found = row(other)
    assert found["limit"] == limit
    if limit:
        assert found["part_ms_lost"][limit] == pytest.approx(milliseconds)
        rest = (value for part, value in found["part_ms_lost"].items() if part != limit)
        assert list(rest) == pytest.approx([0.0] * 3)
    assert min(found["part_ms_lost"].values()) >= 0.0


def test_numbers_above_the_gpus_are_left_out_and_one_is_always_measured():
    asked = []

    def measure(config, count):
        asked.append(count)
        return ONE

    def measured(num_gpus, *words):
        asked.clear()
        found = replica_scaling.measure_scaling(parse(*words), 3, num_gpus, measure_fn=measure)
        rows = [name for name in found if name.startswith("replicas_")]
        assert rows == [f"replicas_{count}" for count in asked]
        return asked, found["left_out"]

    assert measured(0) == ([1, 2, 4, 8], [])
    assert measured(4) == ([1, 2, 4], [8])
    assert measured(0, "--replicas=16,3,3") == ([1, 3], [16])
    assert measured(16, "--replicas=16") == ([1, 16], [])


@pytest.mark.parametrize(
    ("visible", "num_gpus", "count", "given"),
    [
        (None, 8, 2, "0,1"),
        ("", 0, 2, ""),
        (None, 0, 4, ""),
        ("3,5,7", 3, 2, "3,5"),
        ("GPU-8f,GPU-91", 2, 1, "GPU-8f"),
        # What follows a wrong name is not seen by CUDA.
        ("1,9", 1, 2, "1"),
    ],
)
def test_a_process_sees_the_gpus_that_it_uses(visible, num_gpus, count, given):
    assert replica_scaling.visible_gpus(visible, num_gpus, count) == given


def test_a_process_has_the_batch_and_the_devices_of_its_number():
    own = replica_scaling.config_of(parse("--replica_batch_size=3"), 4, on_gpus=False)
    assert (own.only, own.batch_size, own.devices.num_virtual_devices) == ("model", 12, 4)
    own = replica_scaling.config_of(parse("--records=a"), 3, on_gpus=True)
    assert (own.only, own.batch_size, own.devices.num_virtual_devices) == ("end_to_end", 24, 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--replicas="], "--replicas is required"),
        (["--replicas=1,0"], "--replicas=0: must be at least 1"),
        (["--replica_batch_size=1"], "--replica_batch_size=1: must be at least 2"),
        (
            ["--accumulate_steps=8"],
            "--replica_batch_size=8: must be a multiple of --accumulate_steps=8, at least twice as "
            "large",
        ),
        (
            ["--num_virtual_devices=2"],
            "--num_virtual_devices=2 cannot be combined with --only=scaling: its numbers are "
            "--replicas; to leave GPUs alone, set CUDA_VISIBLE_DEVICES= in the environment",
        ),
    ],
    ids=[
        "no number",
        "no replica",
        "one image tells nothing of a step",
        "one image a part tells nothing either",
        "numbers said twice",
    ],
)
def test_wrong_flags_are_named(words, message):
    with pytest.raises(InputError) as raised:
        parse(*words)
    assert str(raised.value) == message


def report(num_gpus, two, **changes):
    found = {"images_per_replica": 5, "num_gpus": num_gpus, "cores": 2, "left_out": []}
    rows = replica_scaling.rows({1: ONE, 2: two}, 5)
    return {"machine": MACHINE, "flags": [], "scaling": found | rows | changes}


def test_table_has_rows_and_a_sentence_for_each_number():
    two = cost(50.0, apart=42.0, small=18.0, single=60.0)
    lines = table.text(report(0, two)).splitlines()
    assert lines[1:] == [
        "scaling: 5 images per replica and step, on virtual devices, which share 2 cores and "
        "threads",
        "  1 replica             100.0 images/s ±10.0%     2.000 CPU ms/image ±1.0%   "
        "  100.0% of ideal",
        "    40.00 ms per step: launch 10.00, compute 30.00, reduction 0.00, input 0.00; 1.000 "
        "times as long with --steps_per_loop=1",
        "  2 replicas            100.0 images/s ±10.0%     2.000 CPU ms/image ±1.0%   "
        "  80.0% of ideal",
        "    50.00 ms per step: launch 12.00, compute 30.00, reduction 8.00, input 0.00; 1.200 "
        "times as long with --steps_per_loop=1",
        "  1 replica: compute is 75% of a step.",
        "  2 replicas reach 80% of 2 times one. What keeps them from ideal is reduction, 8.0 of "
        "10.0 ms that a step loses: gradients of all replicas are gathered, summed and handed out.",
    ]
    lines = table.text(report(2, two, left_out=[4, 8])).splitlines()
    assert lines[1] == "scaling: 5 images per replica and step, on GPUs"
    assert "travel between the replicas; --gradient_dtype=bfloat16, --allreduce_mb" in lines[-2]
    assert lines[-1] == "  4, 8 replicas: left out, 2 GPU(s) here"


def test_nothing_keeps_from_ideal():
    lines = table.text(report(2, cost(41.0, small=17.0))).splitlines()
    assert lines[-1] == "  2 replicas reach 98% of 2 times one: nothing keeps them from ideal."


def test_efficiency_and_rates_that_fall_are_worse():
    found = figures.changes(report(2, cost(50.0)), report(2, cost(80.0)))
    worse = {change.name.removeprefix("scaling.replicas_2."): change.worse for change in found}
    assert worse["efficiency"] == pytest.approx(37.5)
    assert worse["ms_per_step"] is None
    assert worse["images_per_s"] == worse["single_step_ratio"] == 0.0
    assert worse["part_ms_lost.compute"] is None


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_error_of_a_process_is_one_line():
    words = ["-m", "ssd_tfrecord", "benchmark", "--only=scaling", "--require_gpu", "--replicas=2"]
    result = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(
        "error: --require_gpu: TensorFlow finds no GPU"
    )
    assert "Traceback" not in result.stderr


def test_process_that_is_killed_is_named(monkeypatch):
    # Unpickled first of all in the new process, which so needs no TensorFlow.
    monkeypatch.setattr(replica_scaling, "config_of", lambda *_, **__: Deadly())
    with pytest.raises(InputError) as raised:
        replica_scaling.measure_scaling(parse(), 3, 0)
    assert str(raised.value) == (
        "--replicas=1: the process that measures was killed by signal 9, as when memory runs out"
    )


@pytest.mark.soak
def test_command_on_virtual_devices(tiny_records, tmp_path):
    # The processes that measure import the script too, and so have the toy network.
    script, path = tmp_path / "benchmark.py", tmp_path / "scaling.json"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(TESTS)!r})
            import toy_network
            from ssd_tfrecord import programs
            toy_network.install()
            if __name__ == "__main__":
                sys.exit(programs.run("benchmark"))
            """
        )
    )
    words = [f"--records={tiny_records}", "--only=scaling", "--replicas=2", f"--json={path}"]
    words += ["--backbone=toy", "--input_size=64", "--replica_batch_size=2"]
    words += ["--num_rounds=2", "--num_steps=3"]
    result = subprocess.run(
        [sys.executable, str(script), *words], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(path.read_text())["scaling"]
    assert (found["num_gpus"], found["images_per_replica"]) == (0, 2)
    assert found["replicas_1"]["efficiency"] == 1.0
    two = found["replicas_2"]
    assert 0 < two["efficiency"] < 1.5
    assert 0 <= two["data_wait"] <= 1
    assert sum(two["part_ms_per_step"].values()) == pytest.approx(two["ms_per_step"])
    assert two["ms_per_step"] == pytest.approx(4000 / two["images_per_s"])
    assert f"{two['efficiency']:.1%} of ideal" in result.stdout
    assert f"2 replicas reach {two['efficiency']:.0%} of 2 times one" in result.stdout
