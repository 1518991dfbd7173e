"""The periodic evaluation: the metrics, and the training loss on the evaluation set."""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data.host import Host
from ssd_tfrecord.data.order import share
from ssd_tfrecord.detection import pictures, recorded
from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.detector import Detector
from ssd_tfrecord.detection.recorded import read_ground_truths
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation import measurement
from ssd_tfrecord.evaluation.analysis.answers import Confusion, Curves
from ssd_tfrecord.evaluation.analysis.confusion import confuse
from ssd_tfrecord.evaluation.analysis.curves import curves
from ssd_tfrecord.evaluation.analysis.matches import match
from ssd_tfrecord.evaluation.image_ids import image_ids
from ssd_tfrecord.evaluation.metrics import measure
from ssd_tfrecord.evaluation.overlaps import Overlaps, find_overlaps
from ssd_tfrecord.evaluation.report import charts
from ssd_tfrecord.evaluation.scored_set import ScoredSet, score_set
from ssd_tfrecord.evaluation.set_loss import SetLoss, mean_loss
from ssd_tfrecord.keras import keras
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs.course.history_file import METRICS
from ssd_tfrecord.runs.record_content import RecordContent
from ssd_tfrecord.training.cluster import host_share
from ssd_tfrecord.training.cluster.host_share import HostShare
from ssd_tfrecord.training.logs.event_journal import Journal
from ssd_tfrecord.training.update.averages import Averages


class Validator:
    """Evaluates a model while it is being trained; where there are averages, these, which count.

    Each host detects in its share of the images and sums the loss over it (``detect``,
    ``loss_sums``); one of them judges what all have found (``judge``).

    Args:
        model: with its current weights at each call.
        anchors: float32 [A, 4].
        manifest: the evaluation set.
        config: of the run.
        strategy: the one that ``model`` was built under.
        averages: of the weights of ``model``, if there are any.
        host: this one.

    Raises:
        InputError: the set has no images.
    """

    def __init__(
        self,
        model: keras.Model,
        anchors: np.ndarray,
        manifest: Manifest,
        config: TrainConfig,
        strategy: tf.distribute.Strategy,
        *,
        averages: Averages | None = None,
        host: Host = Host(),
    ) -> None:
        if not manifest.num_records:
            raise InputError(f"--eval_records={manifest.directory}: the set has no images")
        self._detector = Detector(
            model,
            anchors,
            manifest.class_names,
            config.detection,
            original_ids=manifest.original_ids,
            strategy=strategy,
        )
        self._manifest = manifest
        self._config = config
        self._averages = averages
        self._host = host
        self._ground_truths = read_ground_truths(manifest)
        self._detections: list[Detections] = []
        self._shown: dict[int, Image.Image] = {}
        self._curves: Curves | None = None
        self._positives: list[int] = []
        self._confusion: Confusion | None = None
        # Made once: each would be traced anew at every evaluation.
        self._images = self._detector.passes(
            manifest,
            batch_size=config.global_batch_size,
            num_workers=config.input.reading.num_workers,
            host=host,
        )
        self._loss = SetLoss(
            model,
            anchors,
            manifest,
            config.loss,
            strategy,
            batch_size=config.global_batch_size,
            num_workers=config.input.reading.num_workers,
            host=host,
        )

    @property
    def has_objects(self) -> bool:
        """Whether the set has an object that counts for ``best_metric``, which else is None."""
        # VOC's metrics ignore difficult objects and crowds; COCO's ignore crowds.
        is_voc = self._config.checkpoints.best_metric.startswith("voc")
        return any(
            (~(truth.crowd | (truth.difficult & is_voc))).any() for truth in self._ground_truths
        )

    def metrics(self) -> dict[str, Any]:
        """``judge`` of what this host, which is alone, has found."""
        return self.judge([self.detect()])

    def loss(self) -> float:
        """The training loss over every image once, without augmentation; for one host alone."""
        return mean_loss(self.loss_sums())

    def detect(self) -> HostShare:
        """What is found in this host's images; with averages, and then with the raw weights."""
        with self._weights_that_count():
            found = self._detect()
        return HostShare(found, self._detect() if self._averages else ())

    def loss_sums(self) -> np.ndarray:
        """What ``set_loss.mean_loss`` takes, of this host's images; those of hosts are added."""
        with self._weights_that_count():
            return self._loss.sums()

    def share_of(self, host: Host, arrays: Mapping[str, np.ndarray]) -> HostShare:
        """What another host has found.

        Args:
            host: that one.
            arrays: of its ``HostShare``.

        Raises:
            RuntimeError: the arrays are not of its records.
        """
        records = share(self._manifest.num_records, host)
        return host_share.of_arrays(arrays, self._ground_truths[records.start : records.stop])

    def judge(self, shares: Sequence[HostShare]) -> dict[str, Any]:
        """The numbers of metrics.json without ``step``, of what all hosts have found.

        Args:
            shares: of each host, by its index.

        Returns:
            If there are averages, they include ``raw``: {name: value} of ``METRICS``, those of the
            weights that are trained.

        Raises:
            RuntimeError: the shares are not of all records.
        """
        whole = host_share.joined(shares, self._manifest.num_records)
        self._detections = list(whole.detections)
        scored, overlaps, metrics = self._measured(whole.detections)
        matches = match(scored, overlaps)
        self._positives = matches.positives.tolist()
        self._curves = curves(matches, scored.found.scores)
        self._confusion = confuse(scored, overlaps)
        if whole.raw:
            raw = self._measured(whole.raw)[2]
            metrics["raw"] = {name: raw[name] for name in METRICS}
        return metrics

    def measured(self, step: int) -> dict[str, Any]:
        """What ``metrics`` measures, for metrics.json.

        Args:
            step: number of finished steps.
        """
        weights = ", averaged weights" if self._averages else ""
        return measurement.describe(
            records=self._manifest.directory,
            digest=RecordContent.of(self._manifest).digest,
            detections=f"{self._config.run_dir}{weights}, while it was trained",
            step=step,
            options=self._config.detection,
        )

    def show(self, journal: Journal, step: int, num_pictures: int) -> None:
        """Shows the last evaluation: PR curves, thresholds, confusion, and pictures.

        Args:
            journal: told of them.
            step: number of finished steps.
            num_pictures: of detections beside ground truth, at most.
        """
        # The first point of a run comes before its first evaluation.
        if self._curves is None or self._confusion is None:
            return
        names = self._detector.class_names
        journal.curves(step, self._manifest.name, self._curves, names, self._positives)
        png = charts.to_png(charts.confusion_figure(self._confusion, names))
        journal.pictures("eval", step, "confusion", [Image.open(io.BytesIO(png)).convert("RGB")])
        drawn = self.pictures(num_pictures)
        journal.pictures("eval", step, "detections", [picture for _, picture in drawn])
        journal.save_pictures(drawn)

    def waiting(self) -> float:
        """For how many seconds an evaluation has waited for a batch; for any thread."""
        return max(self._images.wait.seconds(), self._loss.waiting())

    def pictures(self, count: int) -> list[tuple[str, Image.Image]]:
        """(source_id, picture) of at most ``count`` images.

        They show the detections of the last ``metrics`` beside the ground truth.
        """
        if not self._detections:
            return []
        return pictures.beside_truth(
            self._read, self._ground_truths, self._detections, self._detector.class_names, count
        )

    def _weights_that_count(self) -> contextlib.AbstractContextManager[None]:
        return self._averages.swapped() if self._averages else contextlib.nullcontext()

    def _detect(self) -> list[Detections]:
        return self._detector.detect_pass(
            self._images,
            self._manifest,
            self._ground_truths,
            host=self._host,
            quiet=self._host.index > 0,
        )

    def _measured(
        self, detections: Sequence[Detections]
    ) -> tuple[ScoredSet, Overlaps, dict[str, Any]]:
        """The detections beside the ground truth, what they overlap, and the numbers of both."""
        scored = score_set(self._ground_truths, detections, self._detector.class_names)
        overlaps = find_overlaps(scored)
        ids = image_ids(list(scored.source_ids), strings=self._manifest.has_string_ids)
        return scored, overlaps, measure(scored, overlaps, self._detector.original_ids, ids)

    def _read(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """The images of some records, each read once: those that are shown are always the same.

        Reading one takes a hundred operations outside of a graph, and TensorFlow 2.15 on Python
        3.11 leaves 48 bytes behind for each result: with four images, 26 kB an evaluation.
        """
        missing = [index for index in indices if index not in self._shown]
        self._shown.update(zip(missing, recorded.read_images(self._manifest, missing)))
        return (self._shown[index] for index in indices)
