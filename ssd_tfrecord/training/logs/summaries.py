"""TensorBoard: numbers, pictures and the flags, in ``train/`` and ``eval/`` of the run folder.

Its two runs share the tags of what both have, so that the curves lie in one chart. It sorts charts
by the first part of their tags, capitals first: what everybody looks at is the Overview.
"""

import io
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.hparams.summary_v2 import HParam, Metric, hparams_config_pb, hparams_pb
from tensorboard.plugins.image.metadata import create_summary_metadata
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb

from ssd_tfrecord.evaluation.analysis.answers import Curves
from ssd_tfrecord.runs.course.dispensable import Dispensable, Outage, Say
from ssd_tfrecord.runs.course.event_files import FLAGS_TAG, EventWriter
from ssd_tfrecord.runs.history import METRICS, OVERVIEW, RAW_WEIGHTS, TRAINING
from ssd_tfrecord.training.logs.curve_summaries import curve_summaries
from ssd_tfrecord.training.logs.flag_tables import plain

KINDS = ("train", "eval")
PER_CLASS, SKIPPED, PICTURES = "Precision per class", "Skipped steps", "Pictures"
_GROUPS = {
    **dict.fromkeys(("loss", "images_per_s", "data_wait"), OVERVIEW),
    **dict.fromkeys(("skipped_steps", "loss_scale"), SKIPPED),
}
# Never a curve: they are the same at every evaluation.
_CONSTANT = {"num_images", "num_objects", "num_detections", "ap_per_class", "measured", "raw"}
# Of the metrics of a class, the one that the run's metric is the mean of.
_CLASS_METRICS = {
    "voc07_map": "voc07",
    "voc12_map": "voc12",
    "coco_ap": "coco",
    "coco_ap50": "coco50",
}
_JPEG_QUALITY = 90


class Summaries:
    """The event files of a run: one for training, one for evaluations.

    Args:
        run_dir: the run folder.
        metric: ``--best_metric``, which is shown first.
        say: prints when they cannot be written; nothing here raises.
        outage: shared with the other files of the run.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        metric: str,
        say: Say = print,
        outage: Outage | None = None,
    ) -> None:
        self._metric = metric
        self._name = plain(pathlib.Path(run_dir).resolve().name)
        self._writers = {kind: EventWriter(pathlib.Path(run_dir) / kind) for kind in KINDS}
        outage = outage or Outage()
        self._writing = {
            kind: Dispensable(pathlib.Path(run_dir) / kind, say, outage) for kind in KINDS
        }

    def flags(
        self, step: int, table: str, hparams: Mapping[str, bool | float | str], *, evaluates: bool
    ) -> None:
        """Writes the flags, as text and as hyperparameters.

        Args:
            step: number of finished steps at this start.
            table: all flags, in Markdown.
            hparams: {flag: value} of those to compare runs by.
            evaluates: whether the run has evaluations, whose metric the hyperparameters are for.
        """
        self._write("train", step, [text_pb(FLAGS_TAG, table)])
        # In the folder of the metric: TensorBoard looks for it nowhere else.
        kind, name = ("eval", self._metric) if evaluates else ("train", "loss")
        metric = Metric(f"{OVERVIEW}/{name}", display_name=name)
        # Without it, TensorBoard would take every number for a metric.
        columns = hparams_config_pb(list(map(HParam, hparams)), [metric])
        self._write(kind, step, [columns, hparams_pb(dict(hparams), self._name)])

    def numbers(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Writes numbers.

        Args:
            kind: train or eval.
            step: number of finished steps.
            values: numbers by name, None for those that do not exist; the metrics of each class
                are in ``ap_per_class``, those of raw weights in ``raw``.
        """
        self._write(kind, step, [scalar_pb(tag, value) for tag, value in self._tagged(values)])

    def pictures(self, kind: str, step: int, name: str, pictures: Sequence[Image.Image]) -> None:
        """Writes pictures, with the tags ``Pictures/name/0``, ``Pictures/name/1``, ….

        Args:
            kind: train or eval.
            step: number of finished steps.
            name: of what they show.
            pictures: Pillow images, RGB.
        """
        tagged = [
            _picture(f"{PICTURES}/{name}/{index}", item) for index, item in enumerate(pictures)
        ]
        self._write(kind, step, tagged)

    def curves(
        self, step: int, curves: Curves, class_names: Sequence[str], positives: Sequence[int]
    ) -> None:
        """Writes the PR curves of an evaluation.

        Args:
            step: number of finished steps.
            curves: of the evaluation.
            class_names: of the labels 1, 2, ….
            positives: number of objects of each class that are to be found.
        """
        self._write("eval", step, list(curve_summaries(curves, class_names, positives)))

    def close(self) -> None:
        """Closes the event files."""
        for writer in self._writers.values():
            writer.close()

    def _write(self, kind: str, step: int, summaries: Sequence[Summary]) -> None:
        if summaries:
            self._writing[kind].attempt(lambda: self._writers[kind].write(summaries, step))

    def _tagged(self, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
        for name, value in values.items():
            if value is not None and name not in _CONSTANT:
                yield f"{self._group(name)}/{name}", value
        for name, value in values.get("raw", {}).items():
            if value is not None:
                yield f"{RAW_WEIGHTS}/{name}", value
        for name, metrics in values.get("ap_per_class", {}).items():
            # The others are in metrics.json: three charts for each of COCO's classes are 240.
            value = metrics[_CLASS_METRICS[self._metric]]
            if value is not None:
                yield f"{PER_CLASS}/{plain(name)}", value

    def _group(self, name: str) -> str:
        if name == self._metric:
            return OVERVIEW
        is_metric = name in _CLASS_METRICS or name.startswith("coco_")
        return METRICS if is_metric else _GROUPS.get(name, TRAINING)


def _picture(tag: str, picture: Image.Image) -> Summary:
    # JPEG: an event's checksum is computed in Python, at 4 MB/s, and PNGs are five times as long.
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    size = [str(side).encode() for side in picture.size]
    tensor = TensorProto(dtype=DT_STRING, string_val=[*size, buffer.getvalue()])
    tensor.tensor_shape.dim.add(size=3)
    metadata = create_summary_metadata(display_name=None, description="")
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])
