"""Cadences, patience and stopping, with stand-ins for all that takes time."""

import signal
from types import SimpleNamespace

import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.options import CheckpointOptions
from ssd_tfrecord.runs.history import History
from ssd_tfrecord.training.loop import Loop, NonFiniteError, steps_until_due
from ssd_tfrecord.training.runner import RunResult


class Recorder:
    """Stands for runner, checkpoints and journal; ``events`` is what it was asked for."""

    def __init__(self, run_dir, step=0, *, maps=(), bad_step=None):
        self.events = []
        self.history = History(run_dir, step)
        self.step = step
        self._maps = dict(maps)
        self._bad_step = bad_step

    def run(self, num_steps):
        self.step += num_steps
        self.events.append(f"run to {self.step}")
        return RunResult(num_steps, self.step != self._bad_step, 0.0, {})

    def steps(self, step, result, *, seconds, rate, point):
        if point:
            self.events.append(f"point {step} at rate {rate:g}")

    def evaluate(self, step):
        self.events.append(f"evaluate {step}")
        return {"voc07_map": self._maps[step]}, 1.0

    def evaluation(self, step, metrics, loss):
        self.events.append(f"row {step}")
        self.history.append(step, metrics | {"eval_loss": loss})

    def save(self, step):
        self.events.append(f"save {step}")

    def save_best(self, step):
        self.events.append(f"best {step}")

    def show(self, step):
        self.events.append(f"show {step}")

    def say(self, text):
        self.events.append(text)


def make(recorder, config):
    return Loop(
        config,
        runner=recorder,
        checkpoints=recorder,
        journal=recorder,
        rate_fn=lambda step: step / 10,
        evaluate_fn=recorder.evaluate if config.eval_records else None,
        show_fn=recorder.show,
    )


def config(run_dir, *, eval_records="b", num_steps=10, patience=0):
    return TrainConfig(
        train_records=("a",),
        eval_records=eval_records,
        run_dir=str(run_dir),
        num_steps=num_steps,
        steps_per_loop=4,
        checkpoints=CheckpointOptions(
            checkpoint_every=5, eval_every=6, summary_every=10, patience=patience
        ),
    )


@pytest.fixture
def stop():
    return SimpleNamespace(signal=0)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 4), (4, 1), (5, 1), (6, 4), (9, 1), (10, 2), (97, 3), (98, 2)]
)
def test_loop_lengths_meet_every_cadence(tmp_path, step, expected):
    assert steps_until_due(step, config(tmp_path, num_steps=100)) == expected


def test_without_evaluation_its_cadence_shortens_nothing(tmp_path):
    assert steps_until_due(5, config(tmp_path, eval_records="")) == 4


def test_all_that_is_due_is_done_once(tmp_path, stop):
    recorder = Recorder(tmp_path, maps={6: 0.5, 10: 0.25})
    assert make(recorder, config(tmp_path)).run(0, stop) == 10
    assert recorder.events == [
        "run to 4",
        "run to 5",
        "save 5",
        "run to 6",
        "save 6",
        "evaluate 6",
        "best 6",
        "row 6",
        "show 6",
        "run to 10",
        "point 10 at rate 0.9",
        "show 10",
        "save 10",
        "evaluate 10",
        "row 10",
        "show 10",
    ]


def test_evaluation_lost_with_a_killed_run_is_made_up_for(tmp_path, stop):
    recorder = Recorder(tmp_path, 6, maps={6: 0.5, 10: 0.25})
    make(recorder, config(tmp_path)).run(6, stop)
    assert recorder.events[:4] == ["evaluate 6", "best 6", "row 6", "show 6"]


def test_run_killed_after_its_best_checkpoint_has_no_row_of_it(tmp_path, stop):
    recorder = Recorder(tmp_path, maps={6: 0.5, 10: 0.25})
    loop = make(recorder, config(tmp_path))

    def killed(step):
        raise KeyboardInterrupt

    recorder.save_best = killed
    with pytest.raises(KeyboardInterrupt):
        loop.run(0, stop)
    again = Recorder(tmp_path, 6, maps={6: 0.5, 10: 0.25})
    make(again, config(tmp_path)).run(6, stop)
    assert "best 6" in again.events


def test_patience_ends_the_run(tmp_path, stop):
    recorder = Recorder(tmp_path, maps={6: 0.5, 12: 0.5, 18: 0.25})
    assert make(recorder, config(tmp_path, num_steps=100, patience=2)).run(0, stop) == 18
    assert recorder.events[-1] == (
        "stopping: voc07_map has not improved since step 6 (evaluations since then: 2, "
        "--patience=2)"
    )


def test_patience_that_has_ended_runs_no_further_step(tmp_path, stop):
    recorder = Recorder(tmp_path, 18)
    for step, value in ((6, 0.5), (12, 0.5), (18, 0.25)):
        recorder.history.append(step, {"eval_loss": 1.0, "voc07_map": value})
    assert make(recorder, config(tmp_path, num_steps=100, patience=2)).run(18, stop) == 18
    assert len(recorder.events) == 1


def test_signal_saves_a_checkpoint_and_ends(tmp_path, stop):
    recorder = Recorder(tmp_path)
    run = recorder.run

    def run_and_interrupt(num_steps):
        stop.signal = signal.SIGINT
        return run(num_steps)

    recorder.run = run_and_interrupt
    assert make(recorder, config(tmp_path)).run(0, stop) == 4
    assert recorder.events == ["run to 4", "save 4"]


def test_step_that_is_not_finite_saves_nothing(tmp_path, stop):
    recorder = Recorder(tmp_path, bad_step=5)
    with pytest.raises(NonFiniteError) as error:
        make(recorder, config(tmp_path)).run(0, stop)
    assert error.value.step == 5
    assert recorder.events == ["run to 4", "run to 5"]
