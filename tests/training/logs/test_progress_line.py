"""Means, the progress line and the voice."""

import io

from ssd_tfrecord.training.logs.progress_line import ProgressLine, Window, host_rss_mb
from ssd_tfrecord.training.logs.voice import Voice
from ssd_tfrecord.training.runner import RunResult


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_means_over_the_calls_since_the_last_point():
    window = Window(global_batch_size=8, num_replicas=2)
    window.add(RunResult(1, 9.0, {"loss": 11.0}, {}), seconds=99.0)
    assert window.means() == {"loss": 11.0}  # the first call compiles: its time is no rate
    window.clear()
    window.add(RunResult(3, 0.5, {"loss": 6.0}, {}), seconds=1.5)
    window.add(RunResult(1, 0.0, {"loss": 4.0}, {}), seconds=0.5)
    assert window.means() == {
        "loss": 2.5,
        "images_per_s": 16.0,
        "images_per_s_per_replica": 8.0,
        "data_wait": 0.25,
    }
    window.clear()
    window.add(RunResult(1, 0.0, {"loss": 7.0}, {}), seconds=1.0)
    assert window.means()["loss"] == 7.0


def test_a_batch_that_is_left_out_does_not_count():
    window = Window(global_batch_size=8, num_replicas=2)
    sums = {"loss": 6.0, "skipped_steps": 1.0}
    window.add(RunResult(3, 0.0, sums, not_finite=(3,)), seconds=1.0)
    assert window.means() == {"loss": 3.0, "skipped_steps": 1.0}
    window.clear()
    both = {"loss": 6.0, "skipped_steps": 2.0}
    window.add(RunResult(5, 0.0, both, not_finite=(4, 5)), seconds=1.0)
    assert window.means()["loss"] == 2.0
    window.clear()
    window.add(RunResult(1, 0.0, {"loss": 0.0, "skipped_steps": 1.0}, not_finite=(1,)), seconds=1.0)
    means = window.means()
    assert "loss" not in means
    assert means["images_per_s"] == 8.0
    line = ProgressLine(100, 32, "x").text(1, means | {"learning_rate": 1e-3}, None)
    assert line.startswith("step 1/100  loss n/a  8.0 images/s")
    assert line.endswith("skipped steps 1")


MEANS = {"loss": 2.5, "images_per_s": 16.0, "data_wait": 0.25, "learning_rate": 1e-3}
# 60 steps of 32 images at 16 a second.
LINE = "step 40/100  loss 2.5000  16.0 images/s  data wait 25%  ETA 0:02:00  lr 0.001"


def test_line_of_means_and_of_the_last_evaluation():
    line = ProgressLine(100, 32, "voc07_map")
    assert line.text(40, MEANS, None) == LINE
    assert line.text(40, MEANS, 0.5) == LINE + "  voc07_map 0.5000"


def test_skipped_steps_are_counted_and_the_last_loss_scale_counts():
    window = Window(global_batch_size=8, num_replicas=2)
    for skipped, scale in ((2.0, 8.0), (1.0, 4.0)):
        sums = {"loss": 4.0, "skipped_steps": skipped}
        window.add(RunResult(2, 0.0, sums, {"loss_scale": scale}), seconds=1.0)
    means = window.means()
    assert (means["loss"], means["skipped_steps"], means["loss_scale"]) == (2.0, 3.0, 4.0)


def test_line_of_skipped_steps_says_so_only_if_there_are_some():
    line = ProgressLine(100, 32, "voc07_map")
    assert line.text(40, MEANS | {"skipped_steps": 0.0, "loss_scale": 4.0}, None) == LINE
    means = MEANS | {"skipped_steps": 3.0, "loss_scale": 32768.0}
    assert line.text(40, means, None) == LINE + "  skipped steps 3  loss scale 32768"
    means = MEANS | {"skipped_steps": 3.0, "loss_scale": 1.0}
    assert line.text(40, means, None) == LINE + "  skipped steps 3"


def test_line_before_anything_is_timed():
    means = {"loss": 2.5, "learning_rate": 1e-3}
    assert ProgressLine(100, 32, "x").text(1, means, None) == "step 1/100  loss 2.5000  lr 0.001"


def test_on_a_terminal_a_line_is_written_over():
    stream = Terminal()
    voice = Voice(stream)
    voice.update("step 10", keep=False)
    voice.update("step 9", keep=True)
    voice.say("done")
    assert stream.getvalue() == "step 10\rstep 9 \r\ndone\n"


def test_a_log_file_gets_only_the_lines_to_keep():
    stream = io.StringIO()
    voice = Voice(stream)
    voice.update("step 1", keep=False)
    voice.update("step 2", keep=True)
    voice.say("done")
    assert stream.getvalue() == "step 2\ndone\n"


def test_memory_is_that_of_a_process_with_tensorflow():
    assert 50 < host_rss_mb() < 100_000
