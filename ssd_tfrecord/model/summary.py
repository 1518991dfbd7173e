"""The table of the network's layers that is printed at the start of a run."""

import math
import re

from ssd_tfrecord.backbones import Backbone
from ssd_tfrecord.keras import keras

_HEAD = r"head_\d+_[a-z]+"


def block_of(layer_name: str, backbone: Backbone) -> str:
    """The block that a layer belongs to, judging by its name; its own name if it stands alone.

    VGG-16's conv6_1 and conv6_2 belong to conv6; MobileNetV2's block_6_expand, block_6_expand_BN …
    to block_6.
    """
    match = re.match(f"{backbone.blocks}|{_HEAD}", layer_name)
    return match[0] if match else layer_name


def multiply_adds(layer: keras.layers.Layer) -> int:
    """Multiplications, each with an addition, that ``layer`` needs for one image.

    Of convolutions alone, whose products nearly all are: other layers count as 0.
    """
    kernel = getattr(layer, "depthwise_kernel", None)
    kernel = getattr(layer, "kernel", None) if kernel is None else kernel
    if kernel is None:
        return 0
    # Every element of the kernel once for each pixel of the output.
    return math.prod(kernel.shape) * math.prod(layer.output_shape[1:-1])


def summary_table(model: keras.Model, backbone: Backbone) -> str:
    """Blocks of ``model`` that have weights: name, output [height, width, channels], parameters.

    A column has the multiply-adds of each for one image, in millions. The last lines state the
    total numbers, and that of trained parameters.
    """
    rows: dict[str, tuple[str, int, int]] = {}
    for layer in model.layers:
        if layer.count_params():
            name = block_of(layer.name, backbone)
            _, count, products = rows.get(name, ("", 0, 0))
            # Overwritten by each layer: the output of a block is that of its last one.
            shape = " × ".join(str(side) for side in layer.output_shape[1:])
            rows[name] = (shape, count + layer.count_params(), products + multiply_adds(layer))
    trained = sum(weight.shape.num_elements() for weight in model.trainable_weights)
    products = sum(products for _, _, products in rows.values())
    lines = [("layer", "output", "parameters", "million multiply-adds")]
    lines += [
        (name, shape, f"{count:,}", _millions(products))
        for name, (shape, count, products) in rows.items()
    ]
    lines += [
        ("all", "", f"{model.count_params():,}", _millions(products)),
        ("trained", "", f"{trained:,}", ""),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widths[2]}}  "
        f"{products:>{widths[3]}}".rstrip()
        for name, shape, count, products in lines
    )


def _millions(number: int) -> str:
    # A head of the last map has less than a million.
    return f"{number / 1e6:,.1f}"
