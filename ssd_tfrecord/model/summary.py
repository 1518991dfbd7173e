"""The table of the network's layers that is printed at the start of a run."""

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


def summary_table(model: keras.Model, backbone: Backbone) -> str:
    """Blocks of ``model`` that have weights: name, output [height, width, channels], parameters.

    The last lines state the total number of parameters and the number of trained ones.
    """
    rows: dict[str, tuple[str, int]] = {}
    for layer in model.layers:
        if layer.count_params():
            name = block_of(layer.name, backbone)
            count = rows.get(name, ("", 0))[1] + layer.count_params()
            # Overwritten by each layer: the output of a block is that of its last one.
            rows[name] = " × ".join(str(side) for side in layer.output_shape[1:]), count
    lines = [("layer", "output", "parameters")]
    lines += [(name, shape, f"{count:,}") for name, (shape, count) in rows.items()]
    trained = sum(weight.shape.num_elements() for weight in model.trainable_weights)
    lines += [("all", "", f"{model.count_params():,}"), ("trained", "", f"{trained:,}")]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return "\n".join(
        f"{name:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widths[2]}}"
        for name, shape, count in lines
    )
