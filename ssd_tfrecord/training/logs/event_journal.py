"""All that a run tells while it goes: progress line, TensorBoard, history and metrics.json."""

import json
import pathlib

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.runs import run_folder
from ssd_tfrecord.runs.history import History
from ssd_tfrecord.training.logs.progress_line import ProgressLine, Window, host_rss_mb
from ssd_tfrecord.training.logs.summaries import Summaries
from ssd_tfrecord.training.logs.voice import Voice


class Journal:
    """Takes what the steps and evaluations give, and writes it where people look.

    ``step`` is where the run goes on; what was told of later steps is told anew.
    """

    def __init__(self, config: TrainConfig, num_replicas: int, step: int, voice: Voice):
        self._metric = config.checkpoints.best_metric
        self._folder = pathlib.Path(config.run_dir)
        self._summaries = Summaries(config.run_dir)
        self._window = Window(config.global_batch_size, num_replicas)
        self._line = ProgressLine(config.num_steps, config.global_batch_size, self._metric)
        self._voice = voice
        self.history = History(config.run_dir, step)

    def steps(self, step: int, result, *, seconds: float, rate: float, point: bool) -> None:
        """Takes in a ``RunResult`` that ended at ``step``; writes a point if it is time."""
        self._window.add(result, seconds)
        means = self._window.means() | {"learning_rate": rate}
        line = self._line.text(step, means, self.history.last(self._metric))
        self._voice.update(line, keep=point)
        if point:
            self._summaries.numbers("train", step, means | {"host_rss_mb": host_rss_mb()})
            self.history.append(step, means)
            self._window.clear()

    def evaluation(self, step: int, metrics: dict, loss: float) -> None:
        """Writes an evaluation."""
        content = json.dumps(metrics | {"step": step}, indent=1)
        run_folder.write_text(self._folder / "metrics.json", content + "\n")
        self._summaries.numbers("eval", step, metrics | {"loss": loss})
        self.history.append(step, metrics | {"eval_loss": loss})
        self.history.draw()
        shown = ", ".join(
            f"{name} {metrics[name]:.4f}"
            for name in ("voc07_map", "voc12_map", "coco_ap")
            if metrics[name] is not None
        )
        self.say(f"evaluation at step {step}: loss {loss:.4f}, {shown}")

    def pictures(self, kind: str, step: int, name: str, pictures) -> None:
        """Writes a list of Pillow images."""
        self._summaries.pictures(kind, step, name, pictures)

    def say(self, text: str) -> None:
        """Writes lines of text between the progress lines."""
        self._voice.say(text)

    def close(self) -> None:
        """Draws the curves and closes the event files."""
        self.history.draw()
        self._summaries.close()
