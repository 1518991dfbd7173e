"""How fast a model detects: its network and its post-processing apart, without compilation."""

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf


class Speed:
    """Counts images and seconds of the batches of a pass, the first one excepted.

    The first batch is compiled, which takes longer than many batches do.
    """

    def __init__(self) -> None:
        self._seconds = np.zeros(2)
        self._num_images = 0
        self._num_batches = 0
        self._began = self._ended = 0.0

    def add(self, seconds: np.ndarray, num_images: int) -> None:
        """Adds a batch.

        Args:
            seconds: float64 [2], of ``timed``: in the network and in post-processing.
            num_images: in the batch.
        """
        self._num_batches += 1
        self._ended = time.perf_counter()
        if self._num_batches == 1:
            self._began = self._ended
            return
        self._seconds += seconds
        self._num_images += num_images

    def text(self) -> str:
        """In words; "" unless there were two batches."""
        if not self._num_images:
            return ""
        each = 1000 * (self._ended - self._began) / self._num_images
        network, rest = self._num_images / np.maximum(self._seconds, 1e-9)
        return (
            f"{each:.1f} ms per image, reading included; network {network:,.0f} images/s, "
            f"post-processing {rest:,.0f} images/s"
        )


def timed(
    network: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    after: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]],
    images: tf.Tensor,
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """``after(network(images))``, and how long each of the two took; in a graph.

    Args:
        network: images -> outputs.
        after: outputs -> result.
        images: of a batch.

    Returns:
        (result, float64 [2] seconds).
    """
    start = tf.timestamp()
    with tf.control_dependencies([start]):
        outputs = network(tf.identity(images))
    between = _when(outputs)
    with tf.control_dependencies([between]):
        result = after({name: tf.identity(value) for name, value in outputs.items()})
    end = _when(result)
    return result, tf.stack([between - start, end - between])


def _when(tensors: dict[str, tf.Tensor]) -> tf.Tensor:
    """The time at which all ``tensors`` have been computed, float64."""
    firsts = [tf.reshape(value, [-1])[:1] for value in tensors.values()]
    # A GPU computes after the call has returned: only a value that the host has tells.
    with tf.device("CPU:0"):
        arrived = [tf.identity(value) for value in firsts]
    with tf.control_dependencies(arrived):
        return tf.timestamp()
