"""What clients of TensorFlow Lite detectors expect where, in one file for all of them.

Frigate, pycoral before 2.0, scripts for TensorFlow 1   outputs by position: boxes, classes,
                                                        scores, count; or names of tensors
scripts for TensorFlow 2                                names in the signature
Task Library, MediaPipe                                 metadata (``tflite_metadata``)
"""

from collections.abc import Mapping

import numpy as np
from flatbuffers import flexbuffers

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.tflite.detection_op import NAME, PORTS
from ssd_tfrecord.exporting.tflite.flat_model import FlatModel
from ssd_tfrecord.exporting.tflite.tflite_network import INPUT_NAME

# As in the TF Object Detection API's exports for TensorFlow 1.
INPUT_TENSOR = "normalized_input_image_tensor"
# As in its exports for TensorFlow 2: {port: output of the signature}.
SIGNATURE = {
    "count": "output_0",
    "scores": "output_1",
    "classes": "output_2",
    "boxes": "output_3",
}
METADATA_NAME = "TFLITE_METADATA"


def for_clients(
    content: bytes, *, attributes: Mapping[str, int | float | bool], metadata: bytes
) -> bytes:
    """A converted model with names, order and metadata as clients expect them.

    Args:
        content: the model; its signature has the outputs ``detection_op.PORTS``.
        attributes: of the detection operation; the converter drops some.
        metadata: of ``tflite_metadata``.

    Raises:
        InputError: the model has not exactly one detection operation.
    """
    model = FlatModel(content)
    operators = model.operators(NAME)
    if len(operators) != 1:
        raise InputError(
            f"--format=tflite: the converted model has {len(operators)} operations {NAME}, not one"
        )
    operators[0].customOptions = np.frombuffer(_flexible(attributes), np.uint8)
    _set_outputs(model)
    model.add_metadata(METADATA_NAME, metadata)
    return model.to_bytes()


def _set_outputs(model: FlatModel) -> None:
    graph, (image,), (signature,) = model.graph, model.graph.inputs, model.root.signatureDefs
    named = {entry.name.decode(): int(entry.tensorIndex) for entry in signature.outputs}
    # Not the operation's own last output, which would count zeros too.
    graph.outputs = np.array([named[port] for port in PORTS], np.int32)
    for tensor in model.operators(NAME)[0].outputs:
        model.rename(tensor, f"{NAME}/unused")
    for place, port in enumerate(PORTS):
        model.rename(named[port], f"{NAME}:{place}" if place else NAME)
    model.rename(image, INPUT_TENSOR)
    signature.inputs = [model.tensor_map(INPUT_NAME, image)]
    signature.outputs = [model.tensor_map(name, named[port]) for port, name in SIGNATURE.items()]


def _flexible(attributes: Mapping[str, int | float | bool]) -> bytes:
    """The attributes as a FlexBuffers map."""
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, value in attributes.items():
            builder.Add(name, value)
    return bytes(builder.Finish())
