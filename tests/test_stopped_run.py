"""A training that is asked to stop, really, ends soon, loses no step and goes on as if unbroken."""

import random
import re
import signal
import subprocess
import sys
import time

import pytest
import toy_training
from toy_training import NUM_STEPS, REAL_PROGRAM, TOY_PROGRAM

# An evaluation after steps 6, 12 and 14, of the very records that it trains on.
EVALUATED = ("--eval_every=6", "--cache=decoded")


def command(records, run_dir, *flags, program=TOY_PROGRAM):
    return toy_training.command(
        records, run_dir, f"--eval_records={records}", *EVALUATED, *flags, program=program
    )


def stopped_step(said):
    """The step that a stopped run says; checks that it has printed none beyond."""
    found = re.findall(r"stopped (?:by \w+ )?at step (\d+)", said)
    step = int(found[-1]) if found else None
    printed = [int(number) for number in re.findall(rf"^step (\d+)/{NUM_STEPS}", said, re.M)]
    assert step is None or not printed or step >= printed[-1]
    return step


def stop(process, number=signal.SIGTERM):
    """Sends the signal; returns (exit code, what else it printed, seconds until it ended)."""
    start = time.monotonic()
    process.send_signal(number)
    said, _ = process.communicate(timeout=300)
    return process.returncode, said, time.monotonic() - start


@pytest.mark.parametrize(
    ("number", "moment", "flags"),
    [
        # After this line comes the building of the network; steps; an evaluation.
        pytest.param(signal.SIGTERM, "Data", (), id="start", marks=pytest.mark.soak),
        pytest.param(signal.SIGINT, f"step 1/{NUM_STEPS}", ("--steps_per_loop=100",), id="steps"),
        pytest.param(
            signal.SIGHUP,
            f"step {NUM_STEPS}/{NUM_STEPS}",
            (),
            id="last evaluation",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_signal_at_any_moment_loses_nothing(
    tiny_records, unbroken_run, tmp_path, number, moment, flags
):
    """Nor do evaluations and a cache, which the unbroken run has none of, change a weight."""
    words = command(tiny_records, tmp_path / "run", *flags)
    process = toy_training.started(words)
    said = toy_training.read_until(process, moment)
    code, rest, _ = stop(process, number)
    assert code == (130 if number == signal.SIGINT else 143), said + rest
    step = stopped_step(said + rest)
    again = toy_training.train(words)
    if step:
        assert f"resuming at step {step}\n" in again
    assert f"done at step {NUM_STEPS}" in again
    toy_training.assert_same_weights(tmp_path / "run", unbroken_run)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("program", "count"), [(TOY_PROGRAM, 200), (REAL_PROGRAM, 20)], ids=["toy", "MobileNetV2"]
)
def test_signals_at_random_moments(tiny_records, tmp_path, program, count):
    """``count`` SIGTERMs: uniform over the time that an unbroken run takes, each to a fresh start.

    A run that completes is compared with the unbroken one, and a new one begins.
    """
    begin = time.monotonic()
    toy_training.train(command(tiny_records, tmp_path / "whole", program=program))
    duration = time.monotonic() - begin
    moments = random.Random(0)
    codes, seconds, runs = [], [], 0
    step = 0
    while len(codes) < count:
        run_dir = tmp_path / f"run{runs}"
        process = toy_training.started(command(tiny_records, run_dir, program=program))
        time.sleep(moments.uniform(0, duration))
        code, said, took = stop(process)
        with open(tmp_path / "log", "a", encoding="utf-8") as log:
            log.write(f"{said}exit code {code} after {took:.1f} s\n\n")
        if step and "resuming" in said:
            assert f"resuming at step {step}\n" in said
        if code == 0:
            runs += 1
            step = 0
            toy_training.assert_same_weights(run_dir, tmp_path / "whole")
            continue
        # The shell's number of a process that a signal has ended: before Python has begun.
        codes.append(code if code >= 0 else 128 - code)
        assert codes[-1] == 143, said
        step = stopped_step(said) or step
        seconds.append(took)
        print(f"{len(codes)}: step {step}, {took:.1f} s", file=sys.stderr, flush=True)
    toy_training.train(command(tiny_records, run_dir, program=program))
    toy_training.assert_same_weights(run_dir, tmp_path / "whole")
    seconds.sort()
    print(f"median {seconds[count // 2]:.2f} s, longest {seconds[-1]:.2f} s", file=sys.stderr)
    # Of time in which it has a core: on a shared machine less than a third of the clock.
    assert seconds[-1] < 15


@pytest.mark.soak
def test_timeout_and_two_signals_at_once_stop_in_order(tiny_records, tmp_path):
    words = toy_training.command(tiny_records, tmp_path / "run", "--num_steps=100000")
    done = subprocess.run(
        ["timeout", "--signal=TERM", "--kill-after=30", "60", *words],
        cwd=toy_training.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    # The code of timeout itself: that of a run that was killed would be 137.
    assert done.returncode == 124, done.stderr
    step = stopped_step(done.stdout)
    process = toy_training.started(words)
    said = toy_training.read_until(process, "resuming")
    assert f"resuming at step {step}\n" in said
    toy_training.read_until(process, "/100000")
    process.send_signal(signal.SIGTERM)
    code, rest, _ = stop(process)
    assert code == 143
    assert "Traceback" not in rest
    assert stopped_step(rest) > step
