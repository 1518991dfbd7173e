"""Each pass on a graph made by hand: what it removes, and that the result is the same."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from ssd_tfrecord.exporting.onnx import graph_passes

FLOAT = onnx.TensorProto.FLOAT


def model(nodes, constants, shape, outputs):
    """A model with the input x [batch, *shape]."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info(name, FLOAT, sides) for name, sides in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def run(proto, x):
    onnx.checker.check_model(proto, full_check=True)
    return onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})


def operators(proto):
    return [node.op_type for node in proto.graph.node]


def noise(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def test_computed_shapes_become_constants():
    # As Keras's Reshape comes out: [batch of x, 6, 2].
    proto = model(
        [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Gather", ["shape", "zero"], ["first"]),
            helper.make_node("Concat", ["first", "rest"], ["target"], axis=0),
            helper.make_node("Reshape", ["x", "target"], ["y"]),
        ],
        {"zero": np.array([0]), "rest": np.array([6, 2])},
        [3, 4],
        {"y": ["batch", 6, 2]},
    )
    x = noise(5, 3, 4)
    expected = run(proto, x)
    graph_passes.fix_shapes(proto)
    graph_passes.drop_unused(proto.graph)
    assert operators(proto) == ["Reshape"]
    assert [item.name for item in proto.graph.initializer] == ["y/shape"]
    np.testing.assert_array_equal(run(proto, x), expected)


def test_reshape_to_the_same_shape_is_removed():
    proto = model(
        [
            helper.make_node("Relu", ["x"], ["a"]),
            helper.make_node("Reshape", ["a", "same"], ["b"]),
            helper.make_node("Neg", ["b"], ["y"]),
        ],
        {"same": np.array([-1, 3, 1, 1])},
        [3, 1, 1],
        {"y": ["batch", 3, 1, 1]},
    )
    graph_passes.fix_shapes(proto)
    assert operators(proto) == ["Relu", "Neg"]
    x = noise(2, 3, 1, 1)
    np.testing.assert_array_equal(run(proto, x)[0], -x.clip(0))


def normalised(conv_inputs, group, outputs):
    channels = 4
    constants = {
        "w": noise(channels, channels // group, 3, 3),
        "bias": noise(channels),
        "gamma": noise(channels) + 1,
        "beta": noise(channels),
        "mean": noise(channels),
        "variance": noise(channels) ** 2 + 0.5,
    }
    nodes = [
        helper.make_node("Conv", conv_inputs, ["c"], group=group, pads=[1] * 4),
        helper.make_node(
            "BatchNormalization", ["c", "gamma", "beta", "mean", "variance"], ["y"], epsilon=1e-3
        ),
    ]
    return model(nodes, constants, [channels, 5, 5], outputs)


@pytest.mark.parametrize("inputs", [["x", "w"], ["x", "w", "bias"]], ids=["no bias", "bias"])
@pytest.mark.parametrize("group", [1, 4], ids=["full", "depthwise"])
def test_normalisation_is_folded_into_the_convolution(inputs, group):
    proto = normalised(inputs, group, {"y": ["batch", 4, 5, 5]})
    x = noise(2, 4, 5, 5)
    expected = run(proto, x)
    graph_passes.fold_batch_norms(proto.graph)
    graph_passes.drop_unused(proto.graph)
    assert operators(proto) == ["Conv"]
    assert sorted(item.name for item in proto.graph.initializer) == ["y/bias", "y/kernel"]
    np.testing.assert_allclose(run(proto, x), expected, atol=2e-6)


def test_normalisation_stays_where_the_convolution_is_an_output_too():
    shape = ["batch", 4, 5, 5]
    proto = normalised(["x", "w"], 1, {"c": shape, "y": shape})
    graph_passes.fold_batch_norms(proto.graph)
    assert operators(proto) == ["Conv", "BatchNormalization"]


@pytest.mark.parametrize(
    ("pads", "dilation", "strides"),
    [([1, 1, 1, 1], 1, 1), ([0, 1, 2, 1], 1, 1), ([1, 1, 1, 1], 1, 2), ([2, 2, 2, 2], 2, 1)],
)
def test_kernel_over_one_pixel_shrinks_to_what_sees_it(pads, dilation, strides):
    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        group=3,
        kernel_shape=[3, 3],
        pads=pads,
        dilations=[dilation] * 2,
        strides=[strides] * 2,
    )
    proto = model([node], {"w": noise(3, 1, 3, 3)}, [3, 1, 1], {"y": ["batch", 3, 1, 1]})
    x = noise(2, 3, 1, 1)
    expected = run(proto, x)
    graph_passes.shrink_kernels(proto)
    graph_passes.drop_unused(proto.graph)
    assert [list(item.dims) for item in proto.graph.initializer] == [[3, 1, 1, 1]]
    np.testing.assert_allclose(run(proto, x), expected, atol=1e-6)


def test_kernel_over_more_pixels_stays():
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)
    proto = model([node], {"w": noise(3, 3, 3, 3)}, [3, 2, 2], {"y": ["batch", 3, 2, 2]})
    before = proto.SerializeToString()
    graph_passes.shrink_kernels(proto)
    assert proto.SerializeToString() == before
