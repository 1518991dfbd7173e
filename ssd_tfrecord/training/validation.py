"""The periodic evaluation: the metrics, and the training loss on the evaluation set."""

import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.config import TrainConfig
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
from ssd_tfrecord.evaluation.overlaps import find_overlaps
from ssd_tfrecord.evaluation.report import charts
from ssd_tfrecord.evaluation.scored_set import score_set
from ssd_tfrecord.evaluation.set_loss import SetLoss
from ssd_tfrecord.keras import keras
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs.record_content import RecordContent
from ssd_tfrecord.training.logs.event_journal import Journal


class Validator:
    """Evaluates a model while it is being trained.

    Args:
        model: with its current weights at each call.
        anchors: float32 [A, 4].
        manifest: the evaluation set.
        config: of the run.
        strategy: the one that ``model`` was built under.

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
        )
        self._loss = SetLoss(
            model,
            anchors,
            manifest,
            config.loss,
            strategy,
            batch_size=config.global_batch_size,
            num_workers=config.input.reading.num_workers,
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
        """Detects on every image once; returns the numbers of metrics.json without ``step``."""
        self._detections = self._detector.detect_pass(
            self._images, self._manifest, self._ground_truths
        )
        class_names = self._detector.class_names
        scored = score_set(self._ground_truths, self._detections, class_names)
        overlaps = find_overlaps(scored)
        matches = match(scored, overlaps)
        self._positives = matches.positives.tolist()
        self._curves = curves(matches, scored.found.scores)
        self._confusion = confuse(scored, overlaps)
        ids = image_ids(list(scored.source_ids), strings=self._manifest.has_string_ids)
        return measure(scored, overlaps, self._detector.original_ids, ids)

    def measured(self, step: int) -> dict[str, Any]:
        """What ``metrics`` measures, for metrics.json.

        Args:
            step: number of finished steps.
        """
        return measurement.describe(
            records=self._manifest.directory,
            digest=RecordContent.of(self._manifest).digest,
            detections=f"{self._config.run_dir}, while it was trained",
            step=step,
            options=self._config.detection,
        )

    def loss(self) -> float:
        """The training loss over every image once, without augmentation; 0 without any object."""
        return self._loss.measure()

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

    def _read(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """The images of some records, each read once: those that are shown are always the same.

        Reading one takes a hundred operations outside of a graph, and TensorFlow 2.15 on Python
        3.11 leaves 48 bytes behind for each result: with four images, 26 kB an evaluation.
        """
        missing = [index for index in indices if index not in self._shown]
        self._shown.update(zip(missing, recorded.read_images(self._manifest, missing)))
        return (self._shown[index] for index in indices)
