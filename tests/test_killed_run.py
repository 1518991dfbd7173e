"""A training that is killed, really, and started again ends in the very weights of one that is not.

Bit for bit: on the CPU, in float32, with the same number of threads.
"""

import signal
import subprocess
import time

import pytest
import toy_training
from toy_training import REAL_PROGRAM, TOY_PROGRAM, command


@pytest.mark.parametrize(
    ("program", "steps"),
    [
        pytest.param(TOY_PROGRAM, (4,), id="toy"),
        pytest.param(REAL_PROGRAM, range(2, 14, 2), marks=pytest.mark.soak, id="MobileNetV2"),
    ],
)
def test_weights_after_kills_are_those_of_an_unbroken_run(
    tiny_records, unbroken_run, tmp_path, program, steps
):
    """Killed at the checkpoints of ``steps``: of six records, 4 and 8 are amid an epoch."""
    whole, killed = unbroken_run, tmp_path / "killed"
    if program == REAL_PROGRAM:
        whole = tmp_path / "whole"
        toy_training.train(command(tiny_records, whole, program=program))
    words = command(tiny_records, killed, program=program)
    for step in steps:
        kill(words, killed / "checkpoints" / f"ckpt-{step}.index")
    said = toy_training.train(words)
    resumed = int(said.split("resuming at step ")[1].split()[0])
    assert steps[-1] <= resumed < 14
    toy_training.assert_same_weights(killed, whole)


def kill(words, checkpoint):
    """Kills the command as soon as the file ``checkpoint`` is there."""
    process = subprocess.Popen(
        words, cwd=toy_training.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 600
    while not checkpoint.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
