import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from ssd_tfrecord.exporting.tflite.flat_model import FlatModel


def test_weights_are_halved_and_anchors_are_not(toy):
    plain, half = (FlatModel(toy.path(name).read_bytes()) for name in ("float32", "float16"))

    def weights(model):
        (first, *_) = model.operators("CONV_2D")
        return model.graph.tensors[first.inputs[1]]

    def producers(model, tensor):
        return [one for one in model.graph.operators if tensor in one.outputs]

    (first, *_) = half.operators("CONV_2D")
    (restoring,) = producers(half, first.inputs[1])
    assert half.operation(restoring) == "DEQUANTIZE"
    stored = half.graph.tensors[restoring.inputs[0]]
    assert stored.type == schema.TensorType.FLOAT16
    values = half.root.buffers[stored.buffer].data.view(np.float16)
    expected = plain.root.buffers[weights(plain).buffer].data.view(np.float32)
    np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-6)
    # The full values are gone, those of the anchors stay.
    assert half.root.buffers[weights(half).buffer].data is None
    sizes = [len(buffer.data) for buffer in half.root.buffers if buffer.data is not None]
    # Centres and sides.
    assert sizes.count(8732 * 2 * 4) >= 2


def test_the_file_says_that_half_precision_is_enough(toy):
    model = FlatModel(toy.path("float16").read_bytes())
    marks = {entry.name: entry.buffer for entry in model.root.metadata}
    assert model.root.buffers[marks[b"reduced_precision_support"]].data.tobytes() == b"fp16"
