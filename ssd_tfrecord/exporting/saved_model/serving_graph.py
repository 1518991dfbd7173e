"""The graph that a SavedModel holds: from files, pixels or records to the eight outputs.

Legend: B images, S side of the input, A anchors, C classes, D detections of an image.
"""

from collections.abc import Callable

import tensorflow as tf

from ssd_tfrecord.exporting import suppression_graph
from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.geometry.coding import decode
from ssd_tfrecord.options import ImageOptions
from ssd_tfrecord.pixels.resampling import resample
from ssd_tfrecord.records.schema import ENCODED
from ssd_tfrecord.tracing import not_converted

# As in evaluation: see data/rendering.
_DCT = "INTEGER_ACCURATE"
# Of a batch, the images that are decoded at the same time: what one asks for in memory is limited
# by ``ImageOptions.max_pixels``.
_PARALLEL_IMAGES = 4

_PNG = b"\x89PNG\r\n\x1a\n"
# The signature, and the length, name, width and height of the first chunk. PNG specification, 11.2.
_PNG_HEADER = 24

INPUT = "input_tensor"
SIGNATURES = {
    "encoded": tf.TensorSpec([None], tf.string, INPUT),
    "image_tensor": tf.TensorSpec([None, None, None, 3], tf.uint8, INPUT),
    "float_image_tensor": tf.TensorSpec([None, None, None, 3], tf.float32, INPUT),
    "tf_example": tf.TensorSpec([None], tf.string, INPUT),
}


class ServingGraph(tf.Module):
    """A trained model with all that goes before and after it.

    Holds the network's variables, but no Keras object: it is loaded without Keras, in any version.
    """

    def __init__(self, model: Exportable, default: str) -> None:
        """Traces the graph.

        Args:
            model: the trained model.
            default: of ``SIGNATURES``; which of the two kinds of strings ``__call__`` takes.
        """
        super().__init__(name="ssd")
        self.weights = list(model.model.variables)
        size = model.input_size
        outputs = tf.function(
            not_converted(lambda levels: _outputs_of_any(model, levels)), autograph=False
        )
        # A concrete function, because saving traces all others once more: 5 s of a MobileNetV2.
        self.detect_levels = outputs.get_concrete_function(
            tf.TensorSpec([None, size, size, 3], tf.float32, "levels")
        )
        self._levels_fns: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
            "encoded": lambda files: _of_files(files, size),
            "image_tensor": lambda images: _of_images(images, size),
            "float_image_tensor": lambda images: _of_floats(images, size),
            "tf_example": lambda examples: _of_examples(examples, size),
        }
        self._of_dtype = {
            tf.string: "tf_example" if default == "tf_example" else "encoded",
            tf.uint8: "image_tensor",
            tf.float32: "float_image_tensor",
        }
        for name in self._of_dtype.values():
            self.__call__.get_concrete_function(SIGNATURES[name])

    # The script of the TF Object Detection API calls what it has loaded.
    @tf.function(autograph=False)
    def __call__(self, input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        """The eight outputs of images, whose kind their dtype tells."""
        return self._detect(self._of_dtype[input_tensor.dtype], input_tensor)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """A function of each of ``SIGNATURES``."""
        return {name: self._signature(name) for name in SIGNATURES}

    def _signature(self, name: str) -> tf.types.experimental.ConcreteFunction:
        graph = tf.function(lambda input_tensor: self._detect(name, input_tensor), autograph=False)
        return graph.get_concrete_function(SIGNATURES[name])

    def _detect(self, name: str, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.detect_levels(not_converted(self._levels_fns[name])(images))


def _outputs_of_any(model: Exportable, levels: tf.Tensor) -> dict[str, tf.Tensor]:
    """``_outputs``, also where B is 0: of TensorFlow 2.21 with oneDNN, convolutions fail there."""
    count = tf.shape(levels)[0]
    blank = tf.zeros(tf.concat([[tf.cast(count < 1, tf.int32)], levels.shape[1:]], axis=0))
    outputs = _outputs(model, tf.concat([levels, blank], axis=0))
    return {name: value[:count] for name, value in outputs.items()}


def _outputs(model: Exportable, levels: tf.Tensor) -> dict[str, tf.Tensor]:
    """The outputs of the TF Object Detection API's ``exporter_lib_v2``, all float32.

    Args:
        model: the trained model.
        levels: float32 [B, S, S, 3].

    Returns:
        Padded with zeros to D: ``detection_boxes`` [B, D, 4] in [0, 1], ``detection_scores``
        [B, D], ``detection_classes`` [B, D] from 1, ``detection_anchor_indices`` [B, D] and
        ``detection_multiclass_scores`` [B, D, C + 1], background first. ``num_detections`` [B]. Of
        all anchors ``raw_detection_boxes`` [B, A, 4], not clipped, and ``raw_detection_scores``
        [B, A, C + 1].
    """
    offsets, logits = model.outputs(levels)
    boxes = decode(offsets, tf.constant(model.anchors))
    scores = tf.nn.softmax(logits, axis=-1)
    found = suppression_graph.select(boxes, scores[..., 1:], model.options)
    is_found = tf.cast(found["labels"] > 0, tf.float32)
    multiclass = tf.gather(scores, found["anchors"], batch_dims=1)
    outputs = {
        # Clipped last, as in ``geometry.suppression.detect``.
        "detection_boxes": tf.clip_by_value(found["boxes"], 0.0, 1.0),
        "detection_scores": found["scores"],
        "detection_classes": found["labels"],
        "detection_anchor_indices": found["anchors"],
        "detection_multiclass_scores": multiclass * is_found[..., tf.newaxis],
        "num_detections": tf.reduce_sum(is_found, axis=1),
        "raw_detection_boxes": boxes,
        "raw_detection_scores": scores,
    }
    return {name: tf.cast(value, tf.float32) for name, value in outputs.items()}


def _of_files(files: tf.Tensor, size: int) -> tf.Tensor:
    """Levels float32 [B, S, S, 3] of JPEG or PNG files, string [B]."""
    return _each(lambda encoded: resample(_decoded(encoded), [size, size]), files, size)


def _of_images(images: tf.Tensor, size: int) -> tf.Tensor:
    """Levels float32 [B, S, S, 3] of uint8 [B, H, W, 3]."""
    return _each(lambda pixels: resample(pixels, [size, size]), images, size)


def _of_floats(images: tf.Tensor, size: int) -> tf.Tensor:
    """Levels float32 [B, S, S, 3] of float32 [B, H, W, 3], 0 to 255; whole as in training."""
    return tf.round(tf.image.resize(images, [size, size]))


def _of_examples(examples: tf.Tensor, size: int) -> tf.Tensor:
    """Levels float32 [B, S, S, 3] of serialized tf.train.Example, string [B]."""
    features = {ENCODED: tf.io.FixedLenFeature([], tf.string)}
    return _of_files(tf.io.parse_example(examples, features)[ENCODED], size)


def _each(resized_fn: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor, size: int) -> tf.Tensor:
    """``resized_fn`` of each image, as float32 [B, S, S, 3]."""
    resized = tf.map_fn(
        resized_fn,
        images,
        fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
        parallel_iterations=_PARALLEL_IMAGES,
    )
    return tf.cast(resized, tf.float32)


def _decoded(encoded: tf.Tensor) -> tf.Tensor:
    """The pixels of a JPEG or PNG file, uint8 [height, width, 3].

    Alpha is left out, and EXIF turns nothing, as in evaluation.
    """
    # A file that ends early is read as if zeros followed: its decoder says what is wrong.
    header = tf.strings.join([tf.strings.substr(encoded, 0, _PNG_HEADER), b"\0" * _PNG_HEADER])
    is_png = tf.equal(tf.strings.substr(header, 0, len(_PNG)), _PNG)
    # At the start alone: the kernel of is_jpeg fails on nothing.
    known = tf.debugging.Assert(
        is_png | tf.io.is_jpeg(encoded),
        [f"{INPUT}: an image is neither a JPEG nor a PNG file; must be the bytes of one"],
    )
    with tf.control_dependencies([known]):
        encoded = tf.identity(encoded)
    size = tf.cond(
        is_png,
        lambda: tf.io.decode_raw(tf.strings.substr(header, 16, 8), tf.int32, little_endian=False),
        lambda: tf.io.extract_jpeg_shape(encoded)[:2],
    )
    num_pixels = tf.reduce_prod(tf.cast(size, tf.int64))
    # A file of a hundred bytes can claim to be huge; a side of 2^31 or more is negative here.
    fits = tf.debugging.Assert(
        tf.reduce_all(size > 0) & (num_pixels <= ImageOptions.max_pixels),
        [f"{INPUT}: an image must have 1 to {ImageOptions.max_pixels} pixels; it has", size],
    )
    with tf.control_dependencies([fits]):
        encoded = tf.identity(encoded)
    return tf.cond(
        is_png,
        lambda: tf.io.decode_png(encoded, channels=3),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method=_DCT),
    )
