"""A model over a record set: every image once, over all replicas, detections out."""

import sys

import tensorflow as tf
import tqdm

from ssd_tfrecord.data.pipeline import evaluation_dataset
from ssd_tfrecord.evaluation.detections import Detections, unpad
from ssd_tfrecord.geometry import suppression
from ssd_tfrecord.options import DetectionOptions
from ssd_tfrecord.pixels.color import subtract_mean
from ssd_tfrecord.pixels.resampling import resample
from ssd_tfrecord.records.manifest import Manifest


def detection_fn(model, anchors, options: DetectionOptions):
    """The function from uint8 images [B, S, S, 3] to what ``suppression.detect`` returns.

    One replica's part; evaluation, during training too, and detection have no other.
    """
    anchors = tf.constant(anchors)

    @tf.autograph.experimental.do_not_convert
    def detect(images):
        outputs = model(subtract_mean(images), training=False)
        return suppression.detect(outputs["offsets"], outputs["logits"], anchors, options)

    return detect


def detect_records(model, anchors, manifest: Manifest, truths, *, detection, strategy, **reading):
    """``RecordDetector`` for one time: the detections of every record, in record order."""
    return RecordDetector(model, anchors, detection, strategy).detect(manifest, truths, **reading)


class RecordDetector:
    """Detects over record sets; its graph is traced once, however often it is asked.

    Args:
      model: as ``model.ssd.build`` makes it, built in the scope of ``strategy``.
      anchors: float32 [A, 4].
      detection: thresholds and counts.
      strategy: of one host.
    """

    def __init__(self, model, anchors, detection: DetectionOptions, strategy):
        self._strategy = strategy
        detect = detection_fn(model, anchors, detection)

        def replica_fn(batch):
            found = detect(batch["images"])
            return {**found, "indices": batch["indices"], "valid": batch["valid"]}

        self._step = tf.function(lambda batch: strategy.run(replica_fn, (batch,)), autograph=False)

    def detect(
        self, manifest: Manifest, truths, *, num_workers: int, batch_size: int, input_size: int
    ) -> list[Detections]:
        """The detections of every record of ``manifest``, in record order.

        Args:
          manifest: the record set.
          truths: its ``GroundTruth``s, in record order; names and sizes are taken from them.
          num_workers: threads of the input pipeline; 0: one a core.
          batch_size: images a step over all replicas; rounded up to a multiple of them.
          input_size: side S in pixels.

        Memory grows with the detections alone.
        Raises: RuntimeError if an image did not come out exactly once.
        """
        replicas = self._strategy.num_replicas_in_sync
        dataset = evaluation_dataset(
            manifest,
            input_size=input_size,
            batch_size=-(-batch_size // replicas) * replicas,
            num_workers=num_workers,
        )
        found = {}
        with tqdm.tqdm(total=manifest.num_records, unit=" images", file=sys.stderr) as progress:
            for batch in self._strategy.experimental_distribute_dataset(dataset):
                for index, padded in _valid_rows(self._strategy, self._step(batch)):
                    if index in found:
                        raise RuntimeError(f"{manifest.directory}: record {index} came out twice")
                    truth = truths[index]
                    found[index] = unpad(truth.source_id, truth.height, truth.width, padded)
                    progress.update()
        if sorted(found) != list(range(manifest.num_records)):
            raise RuntimeError(
                f"{manifest.directory}: {len(found)} of {manifest.num_records} images came out"
            )
        return [found[index] for index in range(manifest.num_records)]


def image_detector(model, anchors, options: DetectionOptions, *, input_size, batch_size):
    """A function that detects in pictures as ``detect_records`` does in records.

    Returns: a function of names and RGB arrays uint8 [height, width, 3] of any sizes, at most
    ``batch_size`` of them, that gives their ``Detections``. It is compiled before it is returned.
    """
    detect = tf.function(detection_fn(model, anchors, options), autograph=False)
    nothing = tf.zeros([input_size, input_size, 3], tf.uint8)

    def run(names, images):
        small = [resample(image, [input_size, input_size]) for image in images]
        batch = tf.stack(small + [nothing] * (batch_size - len(small)))
        arrays = {name: tensor.numpy() for name, tensor in detect(batch).items()}
        return [
            unpad(name, *image.shape[:2], {key: array[row] for key, array in arrays.items()})
            for row, (name, image) in enumerate(zip(names, images))
        ]

    run([], [])
    return run


def _valid_rows(strategy, results):
    """(record index, {boxes, scores, labels} as NumPy) of each image that is no filling."""
    names = list(results)
    replicas = zip(*(strategy.experimental_local_results(results[name]) for name in names))
    for tensors in replicas:
        arrays = {name: tensor.numpy() for name, tensor in zip(names, tensors)}
        indices, valid = arrays.pop("indices"), arrays.pop("valid")
        for row in valid.nonzero()[0]:
            yield int(indices[row]), {name: array[row] for name, array in arrays.items()}
