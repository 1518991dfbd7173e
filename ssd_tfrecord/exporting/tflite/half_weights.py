"""Weights in float16, half the size, from which the runtime makes float32 when it loads them.

The converter would do so to every constant; then the anchors would lose what comes after their
third digit, a pixel of 2,000.
"""

import copy

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from ssd_tfrecord.exporting.tflite.flat_model import FlatModel

_WITH_WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D")
# As the converter marks such models: a device may compute in float16 too.
_MARK = ("reduced_precision_support", b"fp16")
# Of DEQUANTIZE: the first for float16.
_VERSION = 3


def with_half_weights(content: bytes) -> bytes:
    """A float32 model with the weights and biases of its convolutions in float16.

    Args:
        content: the model; convolutions are all that has weights in it.
    """
    model = FlatModel(content)
    graph = model.graph
    weights = dict.fromkeys(
        int(tensor)
        for name in _WITH_WEIGHTS
        for operator in model.operators(name)
        for tensor in operator.inputs[1:]
    )
    code = model.add_operation(schema.BuiltinOperator.DEQUANTIZE, _VERSION)
    restoring = []
    for index in weights:
        tensor = graph.tensors[index]
        values = model.root.buffers[tensor.buffer].data.view(np.float32)
        half = copy.copy(tensor)
        half.name = tensor.name + b"_half"
        half.type = schema.TensorType.FLOAT16
        half.buffer = model.add_buffer(values.astype(np.float16).tobytes())
        # Of what is computed, by the format's rule.
        tensor.buffer = 0
        graph.tensors.append(half)
        operator = schema.OperatorT()
        operator.opcodeIndex = code
        operator.inputs = np.array([len(graph.tensors) - 1], np.int32)
        operator.outputs = np.array([index], np.int32)
        restoring.append(operator)
    graph.operators = restoring + graph.operators
    model.drop_unused_buffers()
    model.add_metadata(*_MARK)
    return model.to_bytes()
