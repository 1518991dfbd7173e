"""Detector: from images to boxes with a trained model."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.data.order import Host, share
from ssd_tfrecord.data.passes import Passes
from ssd_tfrecord.data.pipeline import check_counts
from ssd_tfrecord.data.whole_images import (
    EvaluationBatch,
    evaluation_dataset,
    num_evaluation_batches,
)
from ssd_tfrecord.detection.detections import Detections, unpad
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.detection.image_files import LoadedImage, load_image
from ssd_tfrecord.detection.speed import Speed, timed
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.geometry import suppression
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import DetectionOptions, ImageOptions
from ssd_tfrecord.pixels.color import subtract_mean
from ssd_tfrecord.pixels.resampling import resample
from ssd_tfrecord.records.images.formats import to_rgb
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.processes.progress import steady_bar
from ssd_tfrecord.runs import checkpoints
from ssd_tfrecord.tracing import not_converted

# A file's path, a file's bytes, RGB pixels uint8 [height, width, 3], or a Pillow image.
AnyImage: TypeAlias = str | os.PathLike[str] | bytes | np.ndarray | Image.Image


@dataclass(frozen=True)
class Prepared:
    """An image of ``height`` x ``width`` pixels as the network takes it: uint8 [S, S, 3]."""

    source_id: str
    height: int
    width: int
    pixels: np.ndarray


class Detector:
    """A model with its anchors, classes and thresholds.

    The only path from images to boxes, shared by detection and evaluation (during training too).

        detector = Detector.load("runs/a")
        for found in detector.detect(["a.jpg", "b.png"]):
            print(found.source_id, [detector.class_names[label - 1] for label in found.labels])

    ``class_names[i - 1]`` is the class of label i, ``original_ids[i - 1]`` its id in the source
    (COCO's category id); ``input_size`` is the side of the square to which images are warped, in
    pixels; ``step`` is the number of steps that the model was trained for; ``speed`` tells how fast
    the last record set went. Each graph is traced once.
    """

    def __init__(
        self,
        model: keras.Model,
        anchors: np.ndarray,
        class_names: Sequence[str],
        options: DetectionOptions = DetectionOptions(),
        *,
        original_ids: Sequence[int] = (),
        step: int = 0,
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        """Makes a Detector from a model in memory.

        Args:
            model: made by ``model.ssd.build`` in the scope of ``strategy``.
            anchors: float32 [A, 4].
            class_names: of the labels 1, 2, ….
            options: thresholds and counts.
            original_ids: of the labels 1, 2, …; default: the labels themselves.
            step: number of steps that the model was trained for.
            strategy: of one host; default: the current one.
        """
        self.class_names = tuple(class_names)
        self.original_ids = tuple(original_ids) or tuple(range(1, len(self.class_names) + 1))
        self.input_size = model.input_shape[1]
        self.step = step
        self.speed = Speed()
        self._strategy = strategy or tf.distribute.get_strategy()
        anchors_A4 = tf.constant(anchors)

        @not_converted
        def network(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return model(subtract_mean(images), training=False)

        @not_converted
        def suppress(outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return suppression.detect(outputs["offsets"], outputs["logits"], anchors_A4, options)

        def detect(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return suppress(network(images))

        # The index goes along, so that results can be put in order after the replicas.
        def replica_fn(batch: EvaluationBatch) -> dict[str, tf.Tensor]:
            result, seconds = timed(network, suppress, batch.images)
            places = {"indices": batch.indices, "valid": batch.valid}
            return {**result, **places, "seconds": seconds}

        size = self.input_size
        # A free batch dimension: without a signature, a last, smaller batch would be traced again.
        self._detect = tf.function(
            detect,
            input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8)],
            autograph=False,
        )
        self._detect_distributed = tf.function(
            lambda batch: self._strategy.run(replica_fn, (batch,)), autograph=False
        )

    @classmethod
    def load(
        cls,
        run_dir: str | os.PathLike[str],
        checkpoint: str = "best",
        options: DetectionOptions = DetectionOptions(),
        *,
        strategy: tf.distribute.Strategy | None = None,
    ) -> "Detector":
        """Loads the Detector of a run.

        Args:
            run_dir: its folder.
            checkpoint: best (the last one if there is no best), last, or a path like
                ``…/checkpoints/ckpt-N``.
            options: thresholds and counts.
            strategy: of one host; default: the current one.

        Raises:
            InputError: the folder is not a run's, or there is no such checkpoint.
        """
        strategy = strategy or tf.distribute.get_strategy()
        # Variables belong to the strategy in whose scope they are created.
        with strategy.scope():
            run = checkpoints.load_run(run_dir, checkpoint)
        return cls(
            run.model,
            anchor_boxes(run.config.anchors, run.config.model.maps),
            run.class_names,
            options,
            original_ids=run.original_ids,
            step=run.step,
            strategy=strategy,
        )

    def detect(
        self,
        images: AnyImage | Iterable[AnyImage],
        *,
        batch_size: int = 8,
        stretch: str = "none",
        max_pixels: int = ImageOptions.max_pixels,
    ) -> list[Detections]:
        """Detects in images of any size.

        Files and bytes are seen as a record made of them would be: what is not a JPEG becomes one.
        Their detections are those of ``detect_records``, unless EXIF turns them.

        Args:
            images: read as they are needed; one alone is a list of one.
            batch_size: number of images in memory at a time.
            stretch: how 16 bits become 8: --stretch of the conversion of the training set.
            max_pixels: files with more are not decoded.

        Returns:
            The detections of each image, in order. Their ``source_id`` is the path of the image, or
            else its position among ``images``, from 0.

        Raises:
            InputError: an image cannot be read; the message says which.
        """
        check_counts(batch_size=batch_size)
        # Validated as the flags are: a misspelt word would count as none.
        ImageOptions(stretch=stretch, max_pixels=max_pixels)
        found: list[Detections] = []
        batch: list[Prepared] = []
        for place, image in enumerate(_several(images)):
            name = os.fspath(image) if isinstance(image, (str, os.PathLike)) else str(place)
            batch.append(self.prepare(_loaded(image, name, stretch, max_pixels), name))
            if len(batch) == batch_size:
                found += self.detect_prepared(batch)
                batch = []
        return found + (self.detect_prepared(batch) if batch else [])

    def trace(self) -> None:
        """Traces the graph of ``detect`` without running it, so that the first batch is faster."""
        self._detect.get_concrete_function()

    def prepare(self, image: LoadedImage, name: str) -> Prepared:
        """Resizes an image for the network; for any thread.

        Args:
            image: of any size.
            name: the ``source_id`` of its detections.
        """
        # With the kernel of training and of evaluation_dataset.
        small = resample(image.pixels, [self.input_size] * 2)
        return Prepared(name, *image.size, small.numpy())

    def detect_prepared(self, batch: Sequence[Prepared]) -> list[Detections]:
        """The detections of each of at least one image.

        Each number of images is compiled once, which takes half a second of CPU.
        """
        results = self._detect(tf.constant(np.stack([image.pixels for image in batch])))
        arrays = {name: tensor.numpy() for name, tensor in results.items()}
        return [
            unpad(
                image.source_id,
                image.height,
                image.width,
                {key: array[row] for key, array in arrays.items()},
            )
            for row, image in enumerate(batch)
        ]

    def detect_records(
        self,
        manifest: Manifest,
        truths: Sequence[GroundTruth],
        *,
        batch_size: int = 32,
        num_workers: int = 0,
    ) -> list[Detections]:
        """Detects in every record of a set, on all replicas.

        Only the detections stay in memory, not the images.

        Args:
            manifest: of the record set.
            truths: its ground truths, in record order; names and sizes are taken from them.
            batch_size: images per step over all replicas; rounded up to a multiple of their number.
            num_workers: threads of the input pipeline; 0: one per core.

        Returns:
            The detections of each record, in record order.

        Raises:
            InputError: there is not one of ``truths`` for each record.
            RuntimeError: an image was not returned exactly once.
        """
        passes = self.passes(manifest, batch_size=batch_size, num_workers=num_workers)
        return self.detect_pass(passes, manifest, truths)

    def passes(
        self,
        manifest: Manifest,
        *,
        batch_size: int = 32,
        num_workers: int = 0,
        host: Host = Host(),
    ) -> Passes:
        """The images of a record set for ``detect_pass``, however often.

        Args:
            manifest: of the record set.
            batch_size: images per step over all replicas; rounded up to a multiple of their number.
            num_workers: threads of the input pipeline; 0: one per core.
            host: whose share of the records.
        """
        check_counts(batch_size=batch_size)
        replicas = self._strategy.num_replicas_in_sync
        # Rounded up, so that all replicas get the same number of images.
        batch_size = -(-batch_size // replicas) * replicas

        def dataset() -> tf.data.Dataset:
            return evaluation_dataset(
                manifest,
                input_size=self.input_size,
                batch_size=batch_size // host.count,
                num_workers=num_workers,
                host=host,
            )

        num_batches = num_evaluation_batches(manifest, batch_size // host.count, host.count)
        return Passes(dataset, num_batches, self._strategy)

    def detect_pass(
        self,
        passes: Passes,
        manifest: Manifest,
        truths: Sequence[GroundTruth],
        *,
        host: Host = Host(),
        quiet: bool = False,
    ) -> list[Detections]:
        """``detect_records``, with a pipeline that is made once for several evaluations.

        Args:
            passes: of ``passes``.
            manifest: of the record set that they were made of.
            truths: its ground truths, in record order; names and sizes are taken from them.
            host: that of ``passes``.
            quiet: without a progress bar.

        Returns:
            The detections of each record of ``order.share``, in record order: those of all hosts,
            one after the other, are those of the set.

        Raises:
            InputError: there is not one of ``truths`` for each record.
            RuntimeError: an image was not returned exactly once.
        """
        if len(truths) != manifest.num_records:
            raise InputError(
                f"{manifest.directory}: {len(truths)} ground truths; must be those of all "
                f"{manifest.num_records} records, as read_ground_truths gives them"
            )
        found: dict[int, Detections] = {}
        wanted = share(manifest.num_records, host)
        self.speed = Speed()
        with steady_bar(len(wanted), " images", quiet=quiet) as progress:
            for batch in passes:
                for index, padded in self._valid_rows(self._detect_distributed(batch)):
                    if index in found:
                        raise RuntimeError(
                            f"{manifest.directory}: record {index} was returned twice"
                        )
                    truth = truths[index]
                    found[index] = unpad(truth.source_id, truth.height, truth.width, padded)
                    progress.update()
        # A batch that was split wrongly would otherwise change the metrics without a word.
        if sorted(found) != list(wanted):
            raise RuntimeError(
                f"{manifest.directory}: {len(found)} of {len(wanted)} images were returned"
            )
        return [found[index] for index in wanted]

    def _valid_rows(
        self, results: Mapping[str, tf.Tensor | tf.distribute.DistributedValues]
    ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """(record index, {boxes, scores, labels}) of each image that does not just fill a batch."""
        local_results = self._strategy.experimental_local_results
        results = dict(results)
        seconds = [value.numpy() for value in local_results(results.pop("seconds"))]
        num_images = sum(len(value) for value in local_results(results["indices"]))
        # The replicas work at the same time.
        self.speed.add(np.mean(seconds, axis=0), num_images)
        names = list(results)
        # One tensor per replica; of the default strategy, a tuple of one.
        for tensors in zip(*(local_results(results[name]) for name in names)):
            arrays = {name: tensor.numpy() for name, tensor in zip(names, tensors)}
            indices, valid = arrays.pop("indices"), arrays.pop("valid")
            for row in valid.nonzero()[0]:
                yield int(indices[row]), {name: array[row] for name, array in arrays.items()}


def _several(images: AnyImage | Iterable[AnyImage]) -> Iterable[AnyImage]:
    if isinstance(images, (str, os.PathLike, bytes, Image.Image)):
        return [images]
    # Of several images, an array has a fourth axis.
    if isinstance(images, np.ndarray) and images.ndim == 3:
        return [images]
    return images


def _loaded(image: AnyImage, name: str, stretch: str, max_pixels: int) -> LoadedImage:
    if isinstance(image, (str, os.PathLike, bytes)):
        return load_image(image, name, stretch=stretch, max_pixels=max_pixels)
    # Neither turned by EXIF nor made a JPEG, unlike files: the caller may have done so already.
    if isinstance(image, Image.Image):
        _check_size(name, *image.size[::-1])
        try:
            image, _ = to_rgb(image, stretch)
        except ValueError as error:
            raise InputError(f"image {name}: {error}; must have 8 or 16 bits per channel") from None
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(
            f"image {name}: {pixels.dtype} {list(pixels.shape)}; must be uint8 [height, width, 3]"
        )
    _check_size(name, *pixels.shape[:2])
    return LoadedImage.of_array(pixels)


def _check_size(name: str, height: int, width: int) -> None:
    if not (height and width):
        raise InputError(f"image {name}: {height} x {width} pixels; must have at least one")
