"""Cadences, patience and stopping, with stand-ins for all that takes time."""

import contextlib
import signal
import threading

import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import NotFiniteError
from ssd_tfrecord.options import CheckpointOptions
from ssd_tfrecord.runs.history import History
from ssd_tfrecord.training.loop import Loop, StepNotFiniteError, steps_until_due
from ssd_tfrecord.training.runner import MAX_SKIPS, Progress, RunResult
from ssd_tfrecord.training.stopping.signals import StopRequest


class Recorder:
    """Stands for runner, checkpoints and journal; ``events`` is what it was asked for."""

    def __init__(self, run_dir, step=0, *, maps=(), bad_steps=(), best=None):
        self.events = []
        self.history = History(run_dir, step)
        self.lock = threading.RLock()
        self.step = step
        self._first = step
        self._maps = dict(maps)
        self._bad_steps = bad_steps
        self._best = best

    def trace(self):
        self.events.append("trace")

    def run(self, num_steps):
        bad = [i for i in range(1, num_steps + 1) if self.step + i in self._bad_steps]
        self.step += num_steps
        self.events.append(f"run to {self.step}")
        return RunResult(num_steps, 0.0, {}, not_finite=tuple(bad))

    def progress(self):
        return Progress(self.step - self._first, in_step=False, waiting=0.0)

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

    def save_best(self, step, metric, value):
        self.events.append(f"best {step}")
        self._best = (step, {metric: value})

    def best(self):
        return self._best

    def show(self, step):
        self.events.append(f"show {step}")

    def say(self, text):
        self.events.append(text)


def make(recorder, config, **functions):
    return Loop(
        config,
        runner=recorder,
        checkpoints=recorder,
        journal=recorder,
        rate_fn=lambda step: step / 10,
        evaluate_fn=recorder.evaluate if config.eval_records else None,
        show_fn=recorder.show,
        **functions,
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
    return StopRequest()


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
        "trace",
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

    def killed(step, metric, value):
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


def received(stop, number):
    stop.handle(number, None)
    stop.received(number)


def test_signal_saves_a_checkpoint_and_ends(tmp_path, stop):
    recorder = Recorder(tmp_path)
    run = recorder.run

    def run_and_interrupt(num_steps):
        received(stop, signal.SIGINT)
        return run(num_steps)

    recorder.run = run_and_interrupt
    loop = make(recorder, config(tmp_path))
    assert loop.run(0, stop) == loop.saved == 4
    assert recorder.events == ["trace", "run to 4", "save 4"]
    assert not loop.complete


def test_evaluation_is_given_up_and_made_up_for(tmp_path, stop):
    recorder = Recorder(tmp_path, maps={6: 0.5, 10: 0.25})
    evaluate = recorder.evaluate

    def interrupted(step):
        if step == 10:
            received(stop, signal.SIGTERM)
        return evaluate(step)

    recorder.evaluate = interrupted
    loop = make(recorder, config(tmp_path))
    assert loop.run(0, stop) == 10
    # All steps are done, but not all that is left.
    assert not loop.complete
    assert recorder.events[-2:] == ["show 10", "save 10"]
    again = Recorder(tmp_path, 10, maps={10: 0.25}, best=recorder.best())
    loop = make(again, config(tmp_path))
    assert loop.run(10, StopRequest()) == 10
    assert again.events == ["evaluate 10", "row 10", "show 10"]
    assert loop.complete


def test_stop_in_the_first_trace_runs_no_step(tmp_path, stop):
    recorder = Recorder(tmp_path)
    recorder.trace = lambda: received(stop, signal.SIGTERM)
    assert make(recorder, config(tmp_path)).run(0, stop) == 0
    assert recorder.events == []


def test_step_that_is_not_finite_saves_nothing(tmp_path, stop):
    recorder = Recorder(tmp_path, bad_steps=[5])
    loop = make(recorder, config(tmp_path))
    with pytest.raises(StepNotFiniteError) as error:
        loop.run(0, stop)
    assert error.value.step == 5
    # Nor does the thread that ends a stuck run.
    assert loop.save_finished() == 0
    assert recorder.events == ["trace", "run to 4", "run to 5"]


def test_step_that_is_not_finite_may_be_left_out(tmp_path, stop):
    recorder = Recorder(tmp_path, maps={6: 0.5, 10: 0.25}, bad_steps=[4, 10])
    asked = []
    loop = make(recorder, config(tmp_path), leave_out_fn=lambda step: asked.append(step) or True)
    assert loop.run(0, stop) == 10
    assert asked == [4, 10]
    assert "save 10" in recorder.events and "evaluate 10" in recorder.events


def test_steps_that_change_nothing_end_the_run(tmp_path, stop):
    recorder = Recorder(tmp_path)

    def skipping(num_steps):
        recorder.step += num_steps
        return RunResult(num_steps, 0.0, {}, {"loss_scale": 2.0**-30}, skips_in_a_row=MAX_SKIPS)

    recorder.run = skipping
    with pytest.raises(NotFiniteError, match=r"step 4: the last 100 steps .* scale of 9.31"):
        make(recorder, config(tmp_path)).run(0, stop)


def test_error_saves_what_is_finished(tmp_path, stop):
    recorder = Recorder(tmp_path)
    run = recorder.run

    def fails(num_steps):
        if recorder.step == 5:
            recorder.step = 7  # two steps of the call were finished
            raise OSError("gone")
        return run(num_steps)

    recorder.run = fails
    with pytest.raises(OSError, match="gone"):
        make(recorder, config(tmp_path, eval_records="")).run(0, stop)
    assert recorder.events[-1] == "save 7"


@pytest.mark.parametrize(
    ("best", "value", "is_saved"),
    [
        (None, 0.1, True),
        ((3, {"voc07_map": 0.5}), 0.5, False),
        ((3, {"voc07_map": 0.5}), 0.6, True),
        # Chosen by another metric, of which the history knows nothing.
        ((3, {"coco_ap": 0.9}), 0.1, True),
    ],
)
def test_best_checkpoint_is_decided_by_what_it_records(tmp_path, stop, best, value, is_saved):
    recorder = Recorder(tmp_path, 6, maps={6: value}, best=best)
    make(recorder, config(tmp_path, num_steps=6)).run(6, stop)
    assert ("best 6" in recorder.events) is is_saved


def test_history_cannot_make_a_worse_checkpoint_the_best(tmp_path, stop):
    recorder = Recorder(tmp_path, 6, maps={6: 0.3}, best=(3, {"voc07_map": 0.5}))
    assert recorder.history.rows == []  # as of a file that was lost
    make(recorder, config(tmp_path, num_steps=6)).run(6, stop)
    assert "best 6" not in recorder.events


class Clock:
    """A time limit that is up after some steps."""

    def __init__(self, steps):
        self.steps, self.told = steps, []

    def due(self, num_steps):
        return self.steps < num_steps

    def line(self, step, num_steps):
        return f"out of time at {step}"

    def stepped(self, num_steps, seconds):
        self.steps -= num_steps

    @contextlib.contextmanager
    def timed(self, kind):
        yield
        self.told.append(kind)


def test_time_that_is_up_ends_with_a_checkpoint_and_an_evaluation(tmp_path, stop):
    recorder = Recorder(tmp_path, maps={6: 0.5, 5: 0.25})
    loop = make(recorder, config(tmp_path))
    clock = Clock(5)
    assert loop.run(0, stop, clock) == 5
    assert recorder.events[-6:] == [
        *("save 5", "out of time at 5", "evaluate 5", "best 5", "row 5", "show 5")
    ]
    assert loop.complete and loop.out_of_time and stop.complete
    assert clock.told[0] == "trace" and clock.told.count("evaluation") == 1
