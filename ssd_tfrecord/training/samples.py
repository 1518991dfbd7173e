"""Training samples as the network sees them, with their boxes drawn."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from PIL import Image

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.passes import Wait
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.data.reading import RecordSource
from ssd_tfrecord.detection import pictures
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.pixels import color

# Enlarged to about this many pixels, by a whole factor, so that names can be read.
_SIDE = 700


class Samples:
    """Augmented samples of a run as pictures, others at each call.

    They are augmented as those of the run, but in another order: no buffer is filled for them. The
    pipeline is made once, as each would be traced anew.

    Args:
        config: of the run.
        source: of the records that it trains on.
        step: number of finished steps when the run starts; it chooses the samples.
        count: number of samples at a call.
    """

    def __init__(self, config: TrainConfig, source: RecordSource, step: int, count: int) -> None:
        self._config = config
        self._source = source
        self._seed = (config.seed + step + 1) % 2**31
        self._count = count
        self._batches: Iterator[Batch] | None = None
        self._wait = Wait()

    def pictures(self) -> list[Image.Image]:
        """The next samples, with their boxes drawn."""
        if self._batches is None:  # tracing takes seconds, and not every run shows any
            self._batches = self._made()
        batch = self._wait.next(self._batches)
        # What the network gets is RGB minus the mean.
        seen = pipeline.network_images(batch, self._config.input.color).numpy()
        pixels = np.clip(seen + color.MEAN_RGB, 0, 255).astype(np.uint8)
        names = self._source.manifests[0].class_names
        return [
            pictures.draw_ground_truth(_enlarged(image), _truth(image, boxes, labels), names)
            for image, boxes, labels in zip(pixels, batch.boxes.numpy(), batch.labels.numpy())
        ]

    def _made(self) -> Iterator[Batch]:
        options = self._config.input
        # On this machine, without reading many records to fill a buffer for a handful of samples.
        reading = dataclasses.replace(options.reading, shuffle_buffer_mb=0, data_service="")
        return iter(
            pipeline.batches(
                self._source,
                dataclasses.replace(options, reading=reading),
                input_size=self._config.model.input_size,
                batch_size=self._count,
                seed=self._seed,
            )
        )

    def waiting(self) -> float:
        """For how many seconds a batch has been waited for; for any thread."""
        return self._wait.seconds()


def _enlarged(pixels: np.ndarray) -> Image.Image:
    # To squares: every pixel that the network sees can be seen.
    factor = max(1, round(_SIDE / pixels.shape[0]))
    return Image.fromarray(pixels.repeat(factor, axis=0).repeat(factor, axis=1))


def _truth(image: np.ndarray, boxes: np.ndarray, labels: np.ndarray) -> GroundTruth:
    # Label 0 is padding.
    boxes, labels = boxes[labels > 0], labels[labels > 0]
    nothing = np.zeros(len(labels), bool)
    return GroundTruth(
        source_id="",
        height=image.shape[0],
        width=image.shape[1],
        boxes=boxes,
        labels=labels,
        difficult=nothing,
        crowd=nothing,
        area=np.zeros(len(labels), np.float32),
    )
