"""A batch like those of ``data.pipeline.batches``, of noise: for steps without records."""

import numpy as np

from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.pixels import color


def synthetic_batch(
    input_size: int, batch_size: int, num_classes: int, *, num_objects: int = 3, seed: int = 0
) -> Batch:
    """Noise with objects at random places, colours as they are, every second image mirrored.

    Args:
        input_size: side of a sample in pixels.
        batch_size: images in the batch.
        num_classes: labels are 1 to this.
        num_objects: in each image; padded as the pipeline pads them, to 8, 16, 32, … rows.
        seed: of the noise.

    Returns:
        The batch, of NumPy arrays.
    """
    random = np.random.default_rng(seed)
    # Sides from 0.1 to 0.5, none beyond the image.
    low = random.uniform(0.0, 0.5, [batch_size, num_objects, 2])
    boxes = np.concatenate([low, low + random.uniform(0.1, 0.5, low.shape)], axis=2)
    labels = random.integers(1, num_classes + 1, [batch_size, num_objects])
    num_rows = max(8, 1 << max(0, num_objects - 1).bit_length())
    padding = [[0, 0], [0, num_rows - num_objects]]
    pixels = random.integers(0, 256, [batch_size, input_size, input_size, 3], np.uint8)
    return Batch(
        images=pixels,
        boxes=np.pad(boxes, [*padding, [0, 0]]).astype(np.float32),
        labels=np.pad(labels, padding).astype(np.int32),
        rectangles=np.tile(np.array([0, 0, input_size, input_size], np.int32), [batch_size, 1]),
        color=np.tile(np.array(color.IDENTITY, np.float32), [batch_size, 1]),
        # Every second one, as half of them are in training.
        mirrored=np.arange(batch_size) % 2 == 0,
        indices=np.arange(batch_size),
        substituted=np.zeros(batch_size, bool),
    )
