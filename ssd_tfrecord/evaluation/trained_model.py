"""The detections of a trained model, and its loss."""

import tensorflow as tf

from ssd_tfrecord.detection.detector import Detector
from ssd_tfrecord.evaluation import measurement
from ssd_tfrecord.evaluation.annotated_set import AnnotatedSet
from ssd_tfrecord.evaluation.files.classes import match_classes
from ssd_tfrecord.evaluation.origins import Outcome
from ssd_tfrecord.evaluation.set_loss import SetLoss
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.options import DetectionOptions
from ssd_tfrecord.runs import checkpoints


class Model:
    """The model of a run.

    Args:
        run_dir: its folder.
        checkpoint: best, last or a path, as ``--checkpoint``.
        strategy: of one host.
        options: thresholds and counts.
        classes: as ``--classes``.
        batch_size: images per step over all replicas; rounded up to a multiple of their number.
        num_workers: threads of the input pipeline; 0: one per core.
        with_loss: measure the training loss, too.

    Raises:
        InputError: the folder is not a run's, or there is no such checkpoint.
    """

    def __init__(
        self,
        run_dir: str,
        checkpoint: str,
        strategy: tf.distribute.Strategy,
        *,
        options: DetectionOptions,
        classes: str,
        batch_size: int,
        num_workers: int,
        with_loss: bool,
    ) -> None:
        self._run_dir = run_dir
        self._checkpoint = checkpoint
        self._strategy = strategy
        self._options = options
        self._classes = classes
        replicas = strategy.num_replicas_in_sync
        self._batch_size = -(-batch_size // replicas) * replicas
        self._num_workers = num_workers
        self._with_loss = with_loss
        with strategy.scope():
            self._run = checkpoints.load_run(run_dir, checkpoint)
        self._anchors = anchor_boxes(self._run.config.anchors, self._run.config.model.maps)
        self._detector = Detector(
            self._run.model,
            self._anchors,
            self._run.class_names,
            options,
            original_ids=self._run.original_ids,
            step=self._run.step,
            strategy=strategy,
        )

    def detect(self, annotated: AnnotatedSet) -> Outcome:
        """Detects in a record set, and measures the loss if the classes are its own."""
        if annotated.manifest is None:
            raise TypeError("a model needs a record set")
        matched = match_classes(
            annotated.class_names,
            self._run.class_names,
            self._classes,
            found_by=self._run_dir,
            is_whole_list=True,
        )
        weights = ", averaged weights," if self._run.averaged else ""
        print(f"evaluating {self._run_dir} at step {self._run.step}{weights} on {annotated.where}")
        found = self._detector.detect_records(
            annotated.manifest,
            annotated.truths,
            batch_size=self._batch_size,
            num_workers=self._num_workers,
        )
        speed = self._detector.speed.text()
        chosen = matched.choose_set(annotated)
        return Outcome(
            annotated=chosen,
            detections=matched.choose_detections(found),
            measured=measurement.describe(
                records=annotated.where,
                digest=annotated.digest,
                detections=f"{self._run_dir}, {self._checkpoint} checkpoint{weights.rstrip(',')}",
                step=self._run.step,
                options=self._options,
            ),
            anchors=self._anchors,
            loss=self._loss(annotated),
            lines=tuple(filter(None, (speed, matched.note))),
        )

    def _loss(self, annotated: AnnotatedSet) -> float | None:
        # Of other labels, or of a set without objects, it would mean nothing.
        same = annotated.class_names == self._run.class_names
        if annotated.manifest is None or not (self._with_loss and same and annotated.has_objects):
            return None
        return SetLoss(
            self._run.model,
            self._anchors,
            annotated.manifest,
            self._run.config.loss,
            self._strategy,
            batch_size=self._batch_size,
            num_workers=self._num_workers,
        ).measure()
