"""The layout of torchvision's ssd300_vgg16: its state dict, and what it is in ours.

Source: torchvision 0.28, models/detection/ssd.py.
"""

from ssd_tfrecord.model.weights.published.layouts import vgg16_layers
from ssd_tfrecord.model.weights.published.layouts.layer_sources import (
    FileEntries,
    FoundNetwork,
    LayerSource,
)
from ssd_tfrecord.model.weights.published.layouts.vgg16_layers import Vgg16Facts, Vgg16Names
from ssd_tfrecord.options import TORCHVISION

TITLE = "torchvision ssd300_vgg16"
# A name that only this layout has.
MARKER = "backbone.scale_weight"

# Every max pooling and every ReLU has a number, too.
_FEATURES = {
    **{f"block1_conv{index}": number for index, number in enumerate((0, 2), 1)},
    **{f"block2_conv{index}": number for index, number in enumerate((5, 7), 1)},
    **{f"block3_conv{index}": number for index, number in enumerate((10, 12, 14), 1)},
    **{f"block4_conv{index}": number for index, number in enumerate((17, 19, 21), 1)},
}
_EXTRA = {
    **{f"block5_conv{index}": f"0.{number}" for index, number in enumerate((1, 3, 5), 1)},
    "fc6": "0.7.1",
    "fc7": "0.7.3",
    **{f"conv{number}_1": f"{number - 5}.0" for number in range(6, 11)},
    **{f"conv{number}_2": f"{number - 5}.2" for number in range(6, 11)},
}


def _array(layer: str, kind: str) -> str:
    # The scale is a parameter of the backbone itself.
    return layer if kind == "scale" else f"{layer}.{'weight' if kind == 'kernel' else kind}"


NAMES = Vgg16Names(
    layers={
        **{layer: f"backbone.features.{number}" for layer, number in _FEATURES.items()},
        **{layer: f"backbone.extra.{place}" for layer, place in _EXTRA.items()},
        vgg16_layers.NORM: MARKER,
    },
    logits=[f"head.classification_head.module_list.{index}" for index in range(7)],
    offsets=[f"head.regression_head.module_list.{index}" for index in range(7)],
    array_fn=_array,
)


def find(entries: FileEntries) -> FoundNetwork:
    """The network in a file of this layout.

    Args:
        entries: of the file; ``MARKER`` is among them.

    Raises:
        InputError: its heads are not those of such a network.
    """
    facts = vgg16_layers.facts_of(NAMES, entries, TITLE)
    return FoundNetwork(
        title=TITLE,
        backbone="vgg16",
        input_size=facts.input_size,
        # Those of ssd300_vgg16 whatever its classes: 0.07 to 1.05.
        anchor_scales="coco",
        aspect_ratios=facts.aspect_ratios,
        anchor_variant=TORCHVISION,
        depth=facts.depth,
        sources=tuple(vgg16_layers.sources(NAMES, facts)),
    )


def sources(anchors: tuple[int, ...], depth: int) -> list[LayerSource]:
    """Where the layers of our SSD300 on VGG-16 lie in torchvision's state dict.

    Args:
        anchors: their number in a cell of each map.
        depth: number of classes with the background.
    """
    return vgg16_layers.sources(NAMES, Vgg16Facts(300, anchors, depth))
