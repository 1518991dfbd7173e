"""What tf2onnx leaves to be done: shapes that are computed, normalisations that are not folded."""

import collections
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference


def fix_shapes(proto: onnx.ModelProto) -> None:
    """Gives each Reshape a constant shape, and removes those that change nothing.

    Keras computes shapes from that of the batch, by Shape, Cast, Gather, Slice and Concat, though
    only its first number is open. And what was a transposition of 1 x 1 pixels, tf2onnx leaves as a
    Reshape between a convolution and its normalisation.

    Args:
        proto: changed in place.
    """
    shapes = known_shapes(proto)
    renamed: dict[str, str] = {}
    kept = []
    for node in proto.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        if node.op_type == "Reshape" and (shape := shapes.get(node.output[0])):
            if shapes.get(node.input[0]) == shape:
                renamed[node.output[0]] = node.input[0]
                continue
            _set_constant(proto.graph, node, 1, "shape", np.array(shape, np.int64))
        kept.append(node)
    _replace_nodes(proto.graph, kept)


def known_shapes(proto: onnx.ModelProto) -> Mapping[str, Sequence[int]]:
    """{tensor: shape} of those whose shape is known but for the batch, which is -1."""
    inferred = shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True).graph
    found = {}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        dims = list(value.type.tensor_type.shape.dim)
        if dims and all(dim.HasField("dim_value") for dim in dims[1:]):
            found[value.name] = [-1, *(dim.dim_value for dim in dims[1:])]
    return found


def shrink_kernels(proto: onnx.ModelProto) -> None:
    """Makes 1 x 1 the kernel of each padded convolution from one pixel to one pixel.

    All that it ever sees beside that pixel is padding. The result is the same but in OpenCV 4.11,
    whose depthwise 3 x 3 convolution of one pixel reads beyond it (tried; of 2 x 2 it is right).

    Args:
        proto: changed in place.
    """
    shapes = known_shapes(proto)
    weights = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type != "Conv":
            continue
        if any(shapes.get(name, ())[2:] != [1, 1] for name in (node.input[0], node.output[0])):
            continue
        options = {item.name: item for item in node.attribute}
        if not any(options["pads"].ints if "pads" in options else ()):
            continue
        kernel = numpy_helper.to_array(weights[node.input[1]])
        # Padding comes in steps of a pixel, the kernel's elements in steps of the dilation.
        dilations = options["dilations"].ints if "dilations" in options else (1, 1)
        top, left = (pad // step for pad, step in zip(options["pads"].ints, dilations))
        _set_constant(proto.graph, node, 1, "center", kernel[:, :, top : top + 1, left : left + 1])
        for name, value in (("kernel_shape", [1, 1]), ("pads", [0] * 4), ("dilations", [1, 1])):
            if name in options:
                options[name].ints[:] = value


def fold_batch_norms(graph: onnx.GraphProto) -> None:
    """Folds each BatchNormalization into the convolution before it, if that has no other use.

    Args:
        graph: changed in place; its initializers hold weights and moments.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    uses = collections.Counter(name for node in graph.node for name in node.input)
    uses.update(value.name for value in graph.output)
    makers = {name: node for node in graph.node for name in node.output}
    kept = []
    for node in graph.node:
        conv = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if conv is None or conv.op_type != "Conv" or uses[conv.output[0]] > 1:
            kept.append(node)
            continue
        _fold(conv, node, weights, graph)
    _replace_nodes(graph, kept)


def _fold(
    conv: onnx.NodeProto,
    norm: onnx.NodeProto,
    weights: Mapping[str, onnx.TensorProto],
    graph: onnx.GraphProto,
) -> None:
    """Makes ``conv`` compute what ``norm`` made of it."""

    def value(name: str) -> np.ndarray:
        # float64, so that the product is rounded once.
        return numpy_helper.to_array(weights[name]).astype(np.float64)

    gamma, beta, mean, variance = (value(name) for name in norm.input[1:5])
    epsilon = next(item.f for item in norm.attribute if item.name == "epsilon")
    factor = gamma / np.sqrt(variance + epsilon)
    kernel = value(conv.input[1]) * factor[:, np.newaxis, np.newaxis, np.newaxis]
    bias = value(conv.input[2]) if len(conv.input) > 2 else 0.0
    conv.output[0] = norm.output[0]
    _set_constant(graph, conv, 1, "kernel", kernel.astype(np.float32))
    _set_constant(graph, conv, 2, "bias", (beta + (bias - mean) * factor).astype(np.float32))


def drop_unused(graph: onnx.GraphProto) -> None:
    """Removes nodes and initializers that no output depends on.

    Args:
        graph: changed in place.
    """
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    _replace_nodes(graph, kept[::-1])
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    # Shapes of tensors that are gone; the others are inferred where they are wanted.
    del graph.value_info[:]


def _set_constant(
    graph: onnx.GraphProto, node: onnx.NodeProto, place: int, part: str, array: np.ndarray
) -> None:
    """Makes ``array`` the input of ``node`` at ``place``, which may be its first free one."""
    name = f"{node.output[0]}/{part}"
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    node.input[place:] = [name, *node.input[place + 1 :]]


def _replace_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    del graph.node[:]
    graph.node.extend(nodes)
