"""The table of the network's layers that is printed at the start of a run."""

import math
import re
from collections.abc import Sequence

from ssd_tfrecord.backbones import Backbone
from ssd_tfrecord.keras import keras

_HEAD = r"head_\d+_[a-z]+"
# Keras's MobileNetV2 has bn_Conv1 and Conv_1_bn.
_BATCH_NORM = r"^bn_|_(BN|bn)$"


def block_of(layer_name: str, backbone: Backbone) -> str:
    """The block that a layer belongs to, judging by its name; its own name if it stands alone.

    VGG-16's conv6_1 and conv6_2 belong to conv6; MobileNetV2's block_6_expand, block_6_expand_BN …
    to block_6. The batch normalisation of a layer that stands alone belongs to that layer.
    """
    match = re.match(f"{backbone.blocks}|{_HEAD}", layer_name)
    return match[0] if match else re.sub(_BATCH_NORM, "", layer_name)


def blocks_of(model: keras.Model, backbone: Backbone) -> dict[str, list[keras.layers.Layer]]:
    """{block: its layers that have weights}, in the order of the table."""
    blocks: dict[str, list[keras.layers.Layer]] = {}
    for layer in model.layers:
        if layer.weights:
            blocks.setdefault(block_of(layer.name, backbone), []).append(layer)
    return blocks


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

    A column has the multiply-adds of each for one image, in millions; the last one, if there are
    any, says which blocks are frozen. The last lines state the total numbers, and that of trained
    parameters.
    """
    rows, products = [], 0
    for name, layers in blocks_of(model, backbone).items():
        own = sum(map(multiply_adds, layers))
        products += own
        # The output of a block is that of its last layer.
        shape = " × ".join(str(side) for side in layers[-1].output_shape[1:])
        count = sum(layer.count_params() for layer in layers)
        rows.append((name, shape, f"{count:,}", _millions(own), _frozen(layers)))
    trained = sum(weight.shape.num_elements() for weight in model.trainable_weights)
    lines = [
        ("layer", "output", "parameters", "million multiply-adds", ""),
        *rows,
        ("all", "", f"{model.count_params():,}", _millions(products), ""),
        ("trained", "", f"{trained:,}", "", ""),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widths[2]}}  "
        f"{products:>{widths[3]}}  {frozen}".rstrip()
        for name, shape, count, products, frozen in lines
    )


def _frozen(layers: Sequence[keras.layers.Layer]) -> str:
    """Whether a block is frozen.

    Batch normalisation that is frozen alone, as by --batch_norm=frozen, does not count: that would
    mark every block.
    """
    frozen = [layer for layer in layers if not layer.trainable]
    if len(frozen) == len(layers):
        return "frozen"
    normalising = keras.layers.BatchNormalization
    return "" if all(isinstance(layer, normalising) for layer in frozen) else "partly frozen"


def _millions(number: int) -> str:
    # A head of the last map has less than a million.
    return f"{number / 1e6:,.1f}"
