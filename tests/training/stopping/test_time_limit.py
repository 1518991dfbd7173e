"""When a run has to end, on a clock that only the test moves."""

import subprocess
import sys

import pytest

from ssd_tfrecord.training.stopping import time_limit
from ssd_tfrecord.training.stopping.time_limit import TimeLimit

# Of the day, when the tests begin.
BEGAN = 1e9


class Clock:
    """Stands for the module ``time``."""

    def __init__(self):
        self.now = 0.0

    def time(self):
        return BEGAN + self.now

    def monotonic(self):
        return 500 + self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(time_limit, "time", made)
    return made


def limit(hours=1.0, *, began=BEGAN, num_images=1000, batch_size=10):
    return TimeLimit(hours, began, num_images=num_images, batch_size=batch_size)


def test_without_a_limit_it_is_never_due(clock):
    made = limit(0.0)
    clock.now = 1e9
    made.stepped(1, 1e6)
    assert not made.due(10)


def test_the_time_before_it_was_made_counts(clock):
    clock.now = 3590
    assert limit().due(1)
    clock.now = 1000
    assert not limit().due(1)
    # A clock that has been put back since the process began: what is known is used.
    assert not limit(began=BEGAN + 1e6).due(1)


def test_a_clock_that_is_put_forward_ends_nothing(clock, monkeypatch):
    made = limit()
    monkeypatch.setattr(clock, "time", lambda: BEGAN + 1e6)
    assert not made.due(1)


def test_the_longest_of_each_kind_is_kept_free(clock):
    """10 steps of 2 s, 4 s a checkpoint, 100 s an evaluation, a quarter more of each, and 5 s."""
    made = limit()
    for seconds in (20, 10, 20, 15):
        made.stepped(10, seconds)
    for seconds in (4, 1):
        made.took("save", seconds)
    for seconds in (100, 80):
        made.took("evaluation", seconds)
    assert made.needed(10) == pytest.approx(1.25 * (20 + 4 + 100) + 5)
    clock.now = 3600 - 161
    assert not made.due(10)
    clock.now = 3600 - 159
    assert made.due(10) and not made.due(5)


def test_the_first_call_counts_while_it_is_the_only_one(clock):
    made = limit(num_images=0)
    made.took("save", 0.0)
    made.stepped(10, 100)
    assert made.needed(10) == pytest.approx(1.25 * 100 + 5)
    made.stepped(10, 10)
    assert made.needed(10) == pytest.approx(1.25 * 10 + 5)
    # Calls that ended at once tell nothing.
    made.stepped(0, 50)
    assert made.needed(10) == pytest.approx(1.25 * 10 + 5)


def test_the_first_evaluation_is_expected_by_the_rate_of_training(clock):
    """1,000 images at 10 in 2 s, half as much again, and two traces of 30 s."""
    made = limit()
    made.took("save", 0.0)
    made.took("trace", 30)
    made.stepped(10, 20)
    assert made.needed(0) == pytest.approx(1.5 * 200 + 60 + 5)
    made.took("evaluation", 40)
    assert made.needed(0) == pytest.approx(1.25 * 40 + 5)


def test_blocks_are_timed_and_those_that_fail_are_not(clock):
    made = limit(num_images=0)
    with made.timed("save"):
        clock.now += 8
    with pytest.raises(ZeroDivisionError), made.timed("save"):
        clock.now += 100
        raise ZeroDivisionError
    assert made.needed(0) == pytest.approx(1.25 * 8 + 5)


@pytest.mark.parametrize("evaluates", [True, False])
def test_a_run_that_asks_before_each_call_ends_in_time(clock, evaluates):
    """Steps, checkpoints and evaluations that vary by a fifth; the limit is never passed."""
    for hours in (0.1, 0.5, 1.0):
        clock.now = 30.0
        made = limit(hours, num_images=5000 if evaluates else 0)
        with made.timed("trace"):
            clock.now += 20
        step = 0
        while not made.due(10):
            seconds = 5 * (1 + 0.2 * (step % 3 - 1))
            clock.now += seconds
            made.stepped(10, seconds)
            step += 10
            for kind, every, mean in (("save", 50, 2), ("evaluation", 100, 40)):
                if step % every == 0 and (evaluates or kind == "save"):
                    with made.timed(kind):
                        clock.now += mean * (1 + 0.2 * (step // every % 3 - 1))
        ended = clock.now + 2 * 1.2 + (40 * 1.2 if evaluates else 0)
        assert ended <= 3600 * hours, hours
        # Nor much too early: by an evaluation and some steps at most, once there was one.
        assert step < 100 or ended > 3600 * hours - 40, hours
        assert step > 0


def test_the_line_says_what_there_is_no_time_for(clock):
    made = limit(0.5)
    made.took("save", 4)
    made.took("evaluation", 100)
    made.stepped(10, 20)
    clock.now = 1700
    assert made.line(320, 10) == (
        "--max_hours=0.5: ending at step 320 with 100 s left: 10 more steps, a checkpoint and an "
        "evaluation may take 160 s; run the same command to resume"
    )
    assert "a checkpoint may take" in limit(0.5, num_images=0).line(320, 10)


def test_it_does_not_import_tensorflow():
    module = "ssd_tfrecord.training.stopping.time_limit"
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
