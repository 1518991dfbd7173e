"""What matching a batch costs in CPU time, beside bare IoU, maximum and argmax of equal shape."""

import numpy as np
import tensorflow as tf

from ssd_tfrecord.backbones import FeatureMaps
from ssd_tfrecord.benchmark import rounds
from ssd_tfrecord.geometry import anchors, boxes, matching
from ssd_tfrecord.options import AnchorOptions

# Heights and widths of the 31,561 boxes of VOC2012 trainval as fractions of the image: geometric
# means, standard deviation of the logarithms, and their correlation.
_VOC_SIDES = (0.31, 0.22)
_VOC_SPREAD = 0.94
_VOC_CORRELATION = 0.77


def measure_match(
    maps: FeatureMaps,
    options: AnchorOptions,
    *,
    num_images: int = 32,
    num_objects: int = 56,
    repeats: int,
    seed: int,
) -> dict[str, float]:
    """CPU milliseconds (user + system of the whole process) of ``matching.match`` on a batch.

    It is compared with what any matching begins with: the IoU of all pairs, its maximum over the
    objects and its argmax over the anchors. Both are compiled and take turns; each figure is the
    median over the turns.

    Args:
        maps: the feature maps that the anchors belong to.
        options: of the anchors.
        num_images: images in the batch.
        num_objects: objects per image, with sizes as in VOC and corners on pixels.
        repeats: turns that are counted, after one that is not.
        seed: of the objects.

    Returns:
        ``images``, ``anchors``, ``objects``, ``match_cpu_ms``, ``bare_cpu_ms``, and
        ``ratio_to_bare``, the median of the ratios per turn.
    """
    anchors_A4 = tf.constant(anchors.anchor_boxes(options, maps))
    boxes_BM4 = tf.constant(_objects(num_images, num_objects, maps.input_size, seed))
    labels_BM = tf.ones([num_images, num_objects], tf.int32)
    match = tf.function(matching.match, jit_compile=True)
    costs = rounds.measure(
        {
            "match": lambda: _wait_for(match(boxes_BM4, labels_BM, anchors_A4)),
            "bare": lambda: _wait_for(_bare(boxes_BM4, anchors_A4)),
        },
        repeats,
    )
    match_ms, bare_ms = ([cost.cpu_ms for cost in costs[name]] for name in ("match", "bare"))
    return {
        "images": float(num_images),
        "anchors": float(len(anchors_A4)),
        "objects": float(num_objects),
        "match_cpu_ms": rounds.median(match_ms),
        "bare_cpu_ms": rounds.median(bare_ms),
        "ratio_to_bare": rounds.median(np.divide(match_ms, bare_ms)),
    }


def _objects(num_images: int, num_objects: int, input_size: int, seed: int) -> np.ndarray:
    """Boxes inside the image, as fractions: float32 [B, M, 4]."""
    random = np.random.default_rng(seed)
    shape = (num_images, num_objects)
    # Of the sides' logarithms, as the constants are.
    covariance = _VOC_SPREAD**2 * np.array([[1.0, _VOC_CORRELATION], [_VOC_CORRELATION, 1.0]])
    sides = np.exp(random.multivariate_normal(np.log(_VOC_SIDES), covariance, shape))
    sides = np.clip(np.rint(sides * input_size), 1, input_size)
    low = np.floor(random.uniform(size=sides.shape) * (input_size - sides + 1))
    return (np.concatenate([low, low + sides], axis=-1) / input_size).astype(np.float32)


@tf.function(jit_compile=True)
def _bare(boxes_BM4: tf.Tensor, anchors_A4: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    iou_BMA = boxes.pairwise_iou(boxes_BM4, anchors_A4)
    return tf.reduce_max(iou_BMA, axis=1), tf.argmax(iou_BMA, axis=2, output_type=tf.int32)


def _wait_for(results: object) -> None:
    for result in tf.nest.flatten(results):
        result.numpy()  # waits for a device that computes asynchronously
