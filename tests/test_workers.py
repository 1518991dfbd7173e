"""Several workers train as one: the same steps, one voice, one end; each is a process here."""

import csv
import signal
import time

import numpy as np
import pytest
import toy_training
from toy_workers import Workers

EVALUATES = ("--eval_every=7", "--best_metric=coco_ap50")


@pytest.fixture
def workers(tmp_path, tiny_records):
    """Starts workers of a run in ``tmp_path``; kills those that are left."""
    started = []

    def start(count, *flags, run_dir="run", **settings):
        made = Workers(tmp_path, count, tiny_records, tmp_path / run_dir, *flags, **settings)
        started.append(made)
        return made

    yield start
    for made in started:
        made.kill()


def rows(run_dir):
    with (run_dir / "history.csv").open() as file:
        return list(csv.DictReader(file))


def assert_same_run(run_dir, other, tolerance=1e-6):
    """Weights and losses are equal but for the order of sums."""
    for ours, theirs in zip(
        toy_training.weights(run_dir), toy_training.weights(other), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    pairs = list(zip(rows(run_dir), rows(other), strict=True))
    for name in ("step", "loss", "eval_loss", "learning_rate"):
        for ours, theirs in pairs:
            assert float(ours[name] or 0) == pytest.approx(float(theirs[name] or 0), rel=1e-5)
    assert [a["coco_ap50"] for a, _ in pairs] == [b["coco_ap50"] for _, b in pairs]


def test_a_run_of_changing_workers_is_that_of_one(workers, tiny_records, tmp_path):
    """One worker, two, and one of two replicas, with a stop in between: 14 steps of the toy."""
    flags = (*EVALUATES, f"--eval_records={tiny_records}")
    alone = tmp_path / "alone"
    toy_training.train(toy_training.command(tiny_records, alone, *flags))

    run_dir = tmp_path / "run"
    two = workers(2, *flags)
    two.wait_for("step 3/14")
    # To one that is not the first: all end at one step, which is saved once.
    two.processes[1].send_signal(signal.SIGTERM)
    assert two.ended() == [143, 143], two.all_said()
    assert "stopped by SIGTERM at step" in two.said(0)
    # One speaks.
    assert two.said(1) == ""
    assert "2 replica(s) on 2 workers (TF_CONFIG)" in two.said(0)
    stopped = int(two.said(0).split("at step ")[1].split(";")[0])
    assert 3 <= stopped < 14

    # On other devices it goes on from there, to the same end.
    words = toy_training.command(tiny_records, run_dir, *flags, "--num_virtual_devices=2")
    assert f"resuming at step {stopped}" in toy_training.train(words)
    assert_same_run(run_dir, alone)
    names = {path.name for path in run_dir.rglob("*")}
    assert not {name for name in names if "temp" in name or "unfinished" in name}


def test_workers_that_differ_are_refused_by_name(workers):
    two = workers(2, own={1: ["--learning_rate=0.5"]})
    assert two.ended() == [2, 2]
    for index in (0, 1):
        assert "--learning_rate" in two.said(index) and "0.5" in two.said(index)
        assert len(two.said(index).strip().splitlines()) == 1


def test_a_worker_that_does_not_come_is_named(workers):
    two = workers(2, "--cluster_timeout=2", absent=[1])
    assert two.ended() == [8]
    assert f"localhost:{two.ports[1]}" in two.said(0)


def test_two_processes_do_not_train_over_each_other(tiny_records, tmp_path):
    two = Workers(tmp_path, 2, tiny_records, tmp_path / "run", "--cluster=none")
    assert two.ended() == [2, 2]
    assert "--cluster=auto" in two.said(0)


@pytest.mark.soak
@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_worker_that_is_killed_ends_the_others_and_the_run_goes_on(
    workers, tiny_records, tmp_path, victim
):
    alone = tmp_path / "alone"
    flags = ("--num_steps=40", "--global_batch_size=6")
    toy_training.train(toy_training.command(tiny_records, alone, *flags))
    three = workers(3, *flags)
    three.wait_for("step 8/40")
    began = time.monotonic()
    three.processes[victim].kill()
    codes = three.ended(60)
    assert time.monotonic() - began < 60
    assert codes.pop(victim) == -9
    assert codes == [8, 8], three.all_said()
    for index in {0, 1, 2} - {victim}:
        assert f"worker {victim} (" in three.said(index).splitlines()[-1]
    again = workers(2, *flags)
    assert again.ended() == [0, 0], again.all_said()
    assert "resuming at step" in again.said(0)
    # Of the step in which it was killed, batch normalisation may have averaged a batch twice.
    assert_same_run(tmp_path / "run", alone, 1e-2)


@pytest.mark.soak
def test_one_two_three_and_one_worker(workers, tiny_records, tmp_path):
    flags = (*EVALUATES, f"--eval_records={tiny_records}", "--num_steps=28")
    flags = (*flags, "--global_batch_size=6")
    alone = tmp_path / "alone"
    toy_training.train(toy_training.command(tiny_records, alone, *flags))
    for count, step in ((1, 3), (2, 8), (3, 15)):
        some = workers(count, *flags)
        some.wait_for(f"step {step}/28")
        some.processes[-1].send_signal(signal.SIGUSR1)
        assert some.ended() == [143] * count, some.all_said()
    toy_training.train(toy_training.command(tiny_records, tmp_path / "run", *flags))
    assert_same_run(tmp_path / "run", alone, 1e-5)


@pytest.mark.soak
def test_two_workers_of_two_replicas(workers, tiny_records, tmp_path):
    alone = tmp_path / "alone"
    flags = (*EVALUATES, f"--eval_records={tiny_records}", "--ema_decay=0.9")
    toy_training.train(toy_training.command(tiny_records, alone, *flags))
    both = workers(2, *flags, "--num_virtual_devices=2", "--accumulate_steps=1")
    assert both.ended() == [0, 0], both.all_said()
    assert_same_run(tmp_path / "run", alone)
