"""The network as an ONNX graph: images to boxes and scores."""

import contextlib
import gc
import warnings
from collections.abc import Iterator

import onnx
import tensorflow as tf

from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.exporting.onnx import graph_passes
from ssd_tfrecord.geometry.coding import decode
from ssd_tfrecord.tracing import not_converted

# Old enough for the runtimes on devices; 18 gave Pad and the reductions another form.
OPSET = 17


def convert(model: Exportable) -> onnx.ModelProto:
    """The network, decoding and softmax, in plain operations with constant shapes.

    Args:
        model: the trained model.

    Returns:
        A model with the input ``images``, float32 [B, 3, S, S] RGB levels from 0 to 255, and the
        outputs ``boxes``, float32 [B, A, 4] as [xmin, ymin, xmax, ymax] in [0, 1] of the image, not
        clipped, and ``scores``, float32 [B, A, C] without the background.
    """
    with warnings.catch_warnings():
        # Of its own code, which the user cannot change.
        warnings.simplefilter("ignore", DeprecationWarning)
        import tf2onnx

    function = _function(model)
    with _frequent_collection():
        proto, _ = tf2onnx.convert.from_function(
            function, function.input_signature, opset=OPSET, inputs_as_nchw=["images"]
        )
    graph_passes.fix_shapes(proto)
    graph_passes.fold_batch_norms(proto.graph)
    graph_passes.shrink_kernels(proto)
    graph_passes.drop_unused(proto.graph)
    return proto


@contextlib.contextmanager
def _frequent_collection() -> Iterator[None]:
    """Collects garbage often, but only what was made since.

    tf2onnx copies the graph with its weights for each of some forty steps, in cycles that by
    default are collected too late: VGG16 takes 9.4 GB and 25 s of CPU time, so 4.7 GB and 17 s.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(1000, 1, 1)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _function(model: Exportable) -> tf.types.experimental.GenericFunction:
    size = model.input_size
    outputs_fn = not_converted(model.outputs)

    # Not itself wrapped: tf2onnx finds the inputs' names in its signature.
    def network(images: tf.Tensor) -> dict[str, tf.Tensor]:
        offsets, logits = outputs_fn(images)
        # A tensor from outside would become an input of the file.
        boxes = decode(offsets, tf.constant(model.anchors))
        boxes = tf.gather(boxes, [1, 0, 3, 2], axis=2)
        return {"boxes": boxes, "scores": tf.nn.softmax(logits)[..., 1:]}

    images = tf.TensorSpec([None, size, size, 3], tf.float32, name="images")
    return tf.function(network, input_signature=[images], autograph=False)
