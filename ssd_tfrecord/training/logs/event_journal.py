"""All that a run reports while it runs: progress line, TensorBoard, history, metrics.json."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.detection.best_thresholds import THRESHOLDS
from ssd_tfrecord.detection.pictures import write_pictures
from ssd_tfrecord.evaluation.analysis.answers import Curves
from ssd_tfrecord.evaluation.report.number_files import thresholds
from ssd_tfrecord.options import OptimizerOptions
from ssd_tfrecord.runs import run_folder
from ssd_tfrecord.runs.course.dispensable import Dispensable, Outage
from ssd_tfrecord.runs.course.reference_curve import CurveWatch, watched
from ssd_tfrecord.runs.history import History
from ssd_tfrecord.training.logs import flag_tables
from ssd_tfrecord.training.logs.progress_line import ProgressLine, Window, host_rss_mb
from ssd_tfrecord.training.logs.summaries import Summaries
from ssd_tfrecord.training.logs.voice import Voice
from ssd_tfrecord.training.runner import RunResult


class Journal:
    """Receives the results of steps and evaluations, and writes them where people look.

    What cannot be written, on a full disk, is said once and ends nothing. ``step_seconds`` is how
    long the steps of this start took, without what was done between them.

    Args:
        config: of the run.
        num_replicas: number of replicas.
        step: the step at which the run resumes, 0 for a new one; rows of the history beyond it are
            removed, as these steps are run again.
        voice: prints.
    """

    def __init__(self, config: TrainConfig, num_replicas: int, step: int, voice: Voice) -> None:
        self.step_seconds = 0.0
        self._metric = config.checkpoints.best_metric
        self._run_dir = pathlib.Path(config.run_dir)
        self._metrics_file = self._run_dir / "metrics.json"
        self._outage = Outage()
        self._writing = Dispensable(self._metrics_file, voice.say, self._outage)
        self._window = Window(config.global_batch_size, num_replicas)
        self._line = ProgressLine(config.num_steps, config.global_batch_size, self._metric)
        self._voice = voice
        self._flat = _always_the_same(config, num_replicas)
        # It reads what the events say until ``step``, hence before this start adds to them.
        self.history = History(config.run_dir, step, voice.say, self._outage)
        self._curve = CurveWatch(watched(config), step)
        self._summaries = Summaries(config.run_dir, self._metric, voice.say, self._outage)
        self._summaries.flags(
            step,
            flag_tables.flag_table(config),
            flag_tables.hyperparameters(config),
            evaluates=bool(config.eval_records),
        )

    def steps(
        self, step: int, result: RunResult, *, seconds: float, rate: float, point: bool
    ) -> None:
        """Receives the result of one call of the graph.

        Args:
            step: number of finished steps after it.
            result: of the call.
            seconds: how long it took.
            rate: the last step's learning rate.
            point: whether to write a point, the means since the last one.
        """
        self.step_seconds += seconds
        self._window.add(result, seconds)
        means = self._window.means() | {"learning_rate": rate}
        line = self._line.text(step, means, self.history.last(self._metric))
        self._voice.update(line, keep=point)
        if point:
            if means.get("skipped_steps"):
                # From the first one on, as with loss scaling.
                self._flat = self._flat - {"skipped_steps"}
            shown = means | {"host_rss_mb": host_rss_mb()}
            shown = {name: value for name, value in shown.items() if name not in self._flat}
            self._summaries.numbers("train", step, shown)
            self.history.append(step, means)
            self._window.clear()

    def evaluation(self, step: int, metrics: dict[str, Any], loss: float) -> None:
        """Writes the result of an evaluation.

        Args:
            step: number of finished steps.
            metrics: those of metrics.json without ``step``.
            loss: the training loss on the evaluation set.
        """
        content = json.dumps(metrics | {"step": step}, indent=1) + "\n"
        self._writing.attempt(lambda: run_folder.write_text(self._metrics_file, content))
        self._summaries.numbers("eval", step, metrics | {"loss": loss})
        self.history.append(step, metrics | {"eval_loss": loss})
        self.history.draw()
        self.say(f"evaluation at step {step}: {_evaluation_text(metrics, loss)}")
        for line in self._curve.lines(self.history.rows):
            self.say(line)

    def pictures(self, kind: str, step: int, name: str, pictures: Sequence[Image.Image]) -> None:
        """Writes pictures to TensorBoard, as ``Summaries.pictures`` does."""
        self._summaries.pictures(kind, step, name, pictures)

    def curves(
        self,
        step: int,
        name: str,
        curves: Curves,
        class_names: Sequence[str],
        positives: Sequence[int],
    ) -> None:
        """Writes PR curves to TensorBoard, and thresholds.json.

        Args:
            step: number of finished steps.
            name: of the evaluation set.
            curves: of its evaluation.
            class_names: of the labels 1, 2, ….
            positives: number of objects of each class that are to be found.
        """
        self._summaries.curves(step, curves, class_names, positives)
        content = json.dumps(thresholds(name, step, curves, class_names), ensure_ascii=False)
        self._writing.attempt(
            lambda: run_folder.write_text(self._run_dir / THRESHOLDS, content + "\n")
        )

    def dispensable(self, name: str) -> Dispensable:
        """For another file of the run folder, whose failure is said in common with the others."""
        return Dispensable(self._run_dir / name, self._voice.say, self._outage)

    def save_pictures(self, pictures: Sequence[tuple[str, Image.Image]]) -> None:
        """Writes pictures/, in place of those of an earlier evaluation.

        Args:
            pictures: (source_id, picture).
        """
        self._writing.attempt(lambda: write_pictures(self._run_dir / "pictures", pictures))

    def say(self, text: str) -> None:
        """Prints lines of text between the progress lines."""
        self._voice.say(text)

    def close(self) -> None:
        """Draws the curves, if there is something new in them, and closes the event files."""
        self.history.draw()
        self._summaries.close()


def _evaluation_text(metrics: dict[str, Any], loss: float) -> str:
    text = f"loss {loss:.4f}, {_metrics_text(metrics)}"
    return f"{text}; raw weights: {_metrics_text(metrics['raw'])}" if "raw" in metrics else text


def _metrics_text(metrics: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {metrics[name]:.4f}"
        for name in ("voc07_map", "voc12_map", "coco_ap")
        if metrics[name] is not None  # None if no object counts
    )


def _always_the_same(config: TrainConfig, num_replicas: int) -> set[str]:
    """Names of the numbers that cannot change in a run of ``config``: they make no curve."""
    names = set()
    if num_replicas == 1:
        names.add("images_per_s_per_replica")
    if config.input.reading.on_bad_record != "skip":
        names.add("bad_records")
    # It scales the loss; without it, no step is skipped but by --skip_nonfinite.
    if config.devices.precision != "mixed_float16":
        names |= {"skipped_steps", "loss_scale"}
    if _is_constant(config.optimizer):
        names.add("learning_rate")
    return names


def _is_constant(options: OptimizerOptions) -> bool:
    return not (options.lr_schedule == "cosine" or options.lr_boundaries or options.warmup_steps)
