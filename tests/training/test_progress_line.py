"""Means, the progress line and signals."""

import io
import os
import signal

import pytest

from ssd_tfrecord.training import signals
from ssd_tfrecord.training.progress_line import ProgressLine, Window, host_rss_mb
from ssd_tfrecord.training.runner import RunResult


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_means_over_the_calls_since_the_last_point():
    window = Window(global_batch_size=8, num_replicas=2)
    window.add(RunResult(1, True, 9.0, {"loss": 11.0}), seconds=99.0)
    assert window.means() == {"loss": 11.0}  # the first call compiles: its time is no rate
    window.clear()
    window.add(RunResult(3, True, 0.5, {"loss": 6.0}), seconds=1.5)
    window.add(RunResult(1, True, 0.0, {"loss": 4.0}), seconds=0.5)
    assert window.means() == {
        "loss": 2.5,
        "images_per_s": 16.0,
        "images_per_s_per_replica": 8.0,
        "data_wait": 0.25,
    }
    window.clear()
    window.add(RunResult(1, True, 0.0, {"loss": 7.0}), seconds=1.0)
    assert window.means()["loss"] == 7.0


MEANS = {"loss": 2.5, "images_per_s": 16.0, "data_wait": 0.25, "learning_rate": 1e-3}
# 60 steps of 32 images at 16 a second.
LINE = "step 40/100  loss 2.5000  16.0 images/s  data wait 25%  ETA 0:02:00  lr 0.001"


def test_line_on_a_terminal_is_written_over():
    stream = Terminal()
    line = ProgressLine(100, 32, "voc07_map", stream)
    line.show(40, MEANS, value=0.5, point=False)
    line.show(40, MEANS, value=None, point=False)
    line.say("done")
    full = LINE + "  voc07_map 0.5000"
    assert stream.getvalue() == f"{full}\r{LINE.ljust(len(full))}\r\ndone\n"


def test_log_file_gets_a_line_at_each_point_alone():
    stream = io.StringIO()
    line = ProgressLine(100, 32, "voc07_map", stream)
    line.show(40, MEANS, value=None, point=False)
    line.show(40, MEANS, value=None, point=True)
    line.say("done")
    assert stream.getvalue() == f"{LINE}\ndone\n"


def test_line_before_anything_is_timed():
    stream = io.StringIO()
    means = {"loss": 2.5, "learning_rate": 1e-3}
    ProgressLine(100, 32, "voc07_map", stream).show(1, means, value=None, point=True)
    assert stream.getvalue() == "step 1/100  loss 2.5000  lr 0.001\n"


def test_memory_is_that_of_a_process_with_tensorflow():
    assert 50 < host_rss_mb() < 100_000


@pytest.mark.parametrize(
    ("number", "error", "code"),
    [(signal.SIGINT, KeyboardInterrupt, None), (signal.SIGTERM, SystemExit, 143)],
)
def test_signal_becomes_a_wish_and_the_second_one_interrupts(number, error, code):
    before = signal.getsignal(number)
    with signals.caught() as request:
        assert request.signal == 0
        os.kill(os.getpid(), number)
        assert request.signal == number
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    with pytest.raises(error) as raised:
        request.end()
    assert getattr(raised.value, "code", None) == code
