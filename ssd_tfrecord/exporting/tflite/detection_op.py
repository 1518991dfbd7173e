"""From offsets and logits to detections, with TensorFlow Lite's own operation at the end.

``TFLite_Detection_PostProcess`` is part of every TensorFlow Lite runtime, and by it tools recognise
a detector. It decodes and suppresses too, but not as we do; so it is given only the boxes that
remain, for the last step. On its own it would (tensorflow/lite/kernels/detection_postprocess.cc):

    "regular", class by class: lose class T where it runs on T > 1 threads and there are more
        classes (each thread begins with one of the first T, and the next is number T + 1). Frigate
        runs on 3, MediaPipe on up to 4. Seen in TensorFlow 2.15 and 2.21 and in LiteRT 2.3.
    "fast": compare boxes of all classes, and keep one class an anchor.
    both: compare all candidates, where we compare ``nms_candidates`` of a class; after 120 steps of
        training, more than half of an image's 100 best detections are others without the limit.
    both: leave boxes that go beyond the image; MediaPipe moves those, or drops them.

What is here gives the Detector's detections, and is faster from 20 classes on. CPU ms of
8732 anchors, TensorFlow 2.15, one thread; few: at most 13 scores of a class above the threshold,
many: thousands:

                            3 classes       20 classes      80 classes
                            few   many      few   many      few   many
    this                    1.7    1.4      2.4    6.0      7.7   19.5
    the operation, with
    a limit of candidates   0.8    1.5      2.5    8.1      9.2   35.3

Legend: A anchors, C classes, K candidates of a class, N detections of a class, D of the image.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from ssd_tfrecord.exporting.suppression_graph import kernel_threshold
from ssd_tfrecord.geometry.coding import CENTER_VARIANCE, MAX_LOG_SIZE, SIZE_VARIANCE, decode
from ssd_tfrecord.options import DetectionOptions

NAME = "TFLite_Detection_PostProcess"
# The order of its outputs, in which clients read them.
PORTS = ("boxes", "classes", "scores", "count")
# What is here has names below this one.
SCOPE = "detection"

# Runtimes before TensorFlow 2.6 stop at a box without width, so no side may vanish in float32.
_LEAST_SIDE = 1e-6
# Keeps centres finite: no box is so many sides away from its anchor.
_MAX_SHIFT = 1000.0
_LIMITS = np.array(
    [_MAX_SHIFT / CENTER_VARIANCE] * 2 + [MAX_LOG_SIZE / SIZE_VARIANCE] * 2, np.float32
)


def attributes(max_detections: int, num_classes: int) -> dict[str, int | float | bool]:
    """The operation's attributes: it keeps every box that it is given, in order of the scores."""
    return {
        "max_detections": max_detections,
        "max_classes_per_detection": 1,
        "detections_per_class": max_detections,
        "use_regular_nms": False,
        # Zeros too, which fill up the end: what the operation does not fill in holds anything.
        "nms_score_threshold": 0.0,
        # No IoU is above 1.
        "nms_iou_threshold": 1.0,
        "num_classes": num_classes,
        "y_scale": 1 / CENTER_VARIANCE,
        "x_scale": 1 / CENTER_VARIANCE,
        "h_scale": 1 / SIZE_VARIANCE,
        "w_scale": 1 / SIZE_VARIANCE,
    }


def detections(
    offsets: tf.Tensor, logits: tf.Tensor, anchors: np.ndarray, options: DetectionOptions
) -> dict[str, tf.Tensor]:
    """The detections of one image, as the converter understands them; not to be run.

    Args:
        offsets: float32 [1, A, 4] as ``geometry.coding`` reads them.
        logits: float32 [1, A, C + 1]; class 0 is the background.
        anchors: float32 [A, 4].
        options: thresholds and counts.

    Returns:
        {port of the operation: float32 [1, D, 4] as [ymin, xmin, ymax, xmax] in [0, 1], [1, D] from
        0 without the background, [1, D] best first, [1]}. Zeros fill up classes and scores.
    """
    num_classes = logits.shape[2] - 1
    with tf.name_scope(SCOPE):
        offsets_A4 = tf.minimum(tf.maximum(offsets[0], -_LIMITS), _LIMITS)
        boxes_A4 = decode(offsets_A4, tf.constant(anchors))
        scores_CK, anchors_CK = _candidates(tf.nn.softmax(logits)[0, :, 1:], options)
        scores_CN, places_CN = _suppress(tf.gather(boxes_A4, anchors_CK), scores_CK, options)
        scores_D, rows_D = _best(scores_CN, options.max_detections)
        places_D = tf.gather(_padded(places_CN, options.max_detections), rows_D)
        anchors_D = tf.gather(tf.reshape(anchors_CK, [-1]), places_D)
        classes_D = places_D // scores_CK.shape[1]
        scores_DC = tf.one_hot(classes_D, num_classes) * scores_D[:, tf.newaxis]
        # Boxes in the image are what the operation takes for anchors, from which nothing is offset.
        boxes_D4 = tf.clip_by_value(tf.gather(boxes_A4, anchors_D), 0.0, 1.0)
        boxes, classes, scores, _ = _operation(options.max_detections, num_classes)(
            tf.zeros([1, options.max_detections, 4]), scores_DC[tf.newaxis], _center_size(boxes_D4)
        )
        # The operation would count the zeros.
        count = tf.reduce_sum(tf.cast(scores_D > 0.0, tf.float32), keepdims=True)
    return dict(zip(PORTS, (boxes, classes, scores, count)))


def _center_size(boxes_D4: tf.Tensor) -> tf.Tensor:
    """Boxes float32 [D, 4] as the operation takes anchors: (yc, xc, h, w)."""
    low, high = boxes_D4[:, :2], boxes_D4[:, 2:]
    return tf.concat([(low + high) / 2.0, tf.maximum(high - low, _LEAST_SIDE)], axis=1)


def _candidates(scores_AC: tf.Tensor, options: DetectionOptions) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores and anchors [C, K] of the candidates of each class, best first; score 0 is none."""
    # Where hardly anything competes, TOPK_V2 is three times as fast. Not tf.where, whose kernel is
    # slow.
    scores_AC *= tf.cast(scores_AC > options.score_threshold, tf.float32)
    # The lower index first among equals, as in TensorFlow: that is the tie rule.
    return tf.math.top_k(
        tf.transpose(scores_AC), min(options.nms_candidates, int(scores_AC.shape[0]))
    )


def _suppress(
    boxes_CK4: tf.Tensor, scores_CK: tf.Tensor, options: DetectionOptions
) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores [C, N] of what suppression leaves of each class, and its places among the C·K."""
    num_classes, num_candidates = scores_CK.shape
    num_kept = min(options.max_detections, num_candidates)
    # Ranks in place of scores: among equal scores the kernel would take any first.
    ranks_CK = tf.cast(scores_CK > 0.0, tf.float32) * np.arange(
        num_candidates, 0, -1, dtype=np.float32
    )
    places_CN, found_CN = [], []
    for index in range(num_classes):
        places_N, count = tf.raw_ops.NonMaxSuppressionV4(
            boxes=boxes_CK4[index],
            scores=ranks_CK[index],
            max_output_size=num_kept,
            iou_threshold=kernel_threshold(options.nms_iou),
            score_threshold=0.0,
            pad_to_max_output_size=True,
        )
        places_CN.append(tf.ensure_shape(places_N, [num_kept]) + index * num_candidates)
        found_CN.append(tf.cast(tf.range(num_kept) < count, tf.float32))
    places = tf.stack(places_CN)
    return tf.gather(tf.reshape(scores_CK, [-1]), places) * tf.stack(found_CN), places


def _best(scores_CN: tf.Tensor, max_detections: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The D best scores, and where they are in ``_padded``; the lower class first among equals."""
    return tf.math.top_k(_padded(scores_CN, max_detections), max_detections)


def _padded(values_CN: tf.Tensor, length: int) -> tf.Tensor:
    """The values as a vector of at least ``length``, with zeros at its end."""
    missing = max(0, length - int(np.prod(values_CN.shape)))
    values = tf.reshape(values_CN, [-1])
    return tf.pad(values, [[0, missing]]) if missing else values


def _operation(max_detections: int, num_classes: int) -> tf.types.experimental.GenericFunction:
    """A function that the converter replaces by the operation, whatever the function computes."""
    shape = [1, max_detections]

    def function(
        offsets: tf.Tensor, scores: tf.Tensor, anchors: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        del offsets, scores, anchors
        return tf.zeros([*shape, 4]), tf.zeros(shape), tf.zeros(shape), tf.zeros([1])

    implements = _as_text(attributes(max_detections, num_classes))
    return tf.function(function, experimental_implements=implements, autograph=False)


def _as_text(values: Mapping[str, int | float | bool]) -> str:
    """A NameAttrList in protobuf's text format."""
    kinds = {bool: "b", int: "i", float: "f"}
    items = (
        f'attr {{ key: "{name}" value {{ {kinds[type(value)]}: {str(value).lower()} }} }}'
        for name, value in values.items()
    )
    return " ".join([f'name: "{NAME}"', *items])
