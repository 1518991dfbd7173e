"""The layouts of amdegroot/ssd.pytorch and lufficc/SSD: one network under two sets of names.

Sources: ssd.py and layers/ of the former; ssd/modeling/backbone/vgg.py and box_head/ of the latter.
"""

from ssd_tfrecord.model.weights.published.layouts import vgg16_layers
from ssd_tfrecord.model.weights.published.layouts.layer_sources import FileEntries, FoundNetwork
from ssd_tfrecord.model.weights.published.layouts.vgg16_layers import Vgg16Names
from ssd_tfrecord.options import AMDEGROOT

# Names that only these layouts have.
AMDEGROOT_MARKER = "L2Norm.weight"
LUFFICC_MARKER = "backbone.l2_norm.weight"

# Every max pooling and every ReLU has a number, too.
_VGG = {
    1: (0, 2),
    2: (5, 7),
    3: (10, 12, 14),
    4: (17, 19, 21),
    5: (24, 26, 28),
}


def _array(layer: str, kind: str) -> str:
    return f"{layer}.bias" if kind == "bias" else f"{layer}.weight"


def _names(prefix: str, norm: str, logits: str, offsets: str) -> Vgg16Names:
    layers = {
        f"block{block}_conv{index}": f"{prefix}vgg.{number}"
        for block, numbers in _VGG.items()
        for index, number in enumerate(numbers, start=1)
    }
    layers |= {"fc6": f"{prefix}vgg.31", "fc7": f"{prefix}vgg.33", vgg16_layers.NORM: norm}
    for number in range(6, 11):
        layers[f"conv{number}_1"] = f"{prefix}extras.{2 * (number - 6)}"
        layers[f"conv{number}_2"] = f"{prefix}extras.{2 * (number - 6) + 1}"
    return Vgg16Names(
        layers=layers,
        logits=[f"{logits}.{index}" for index in range(7)],
        offsets=[f"{offsets}.{index}" for index in range(7)],
        array_fn=_array,
    )


AMDEGROOT_NAMES = _names("", "L2Norm", "conf", "loc")
LUFFICC_NAMES = _names(
    "backbone.",
    "backbone.l2_norm",
    "box_head.predictor.cls_headers",
    "box_head.predictor.reg_headers",
)


def find_amdegroot(entries: FileEntries) -> FoundNetwork:
    """The network in a file of amdegroot/ssd.pytorch.

    Args:
        entries: of the file; ``AMDEGROOT_MARKER`` is among them.

    Raises:
        InputError: its heads are not those of such a network.
    """
    return _find(AMDEGROOT_NAMES, entries, "amdegroot ssd{}")


def find_lufficc(entries: FileEntries) -> FoundNetwork:
    """The network in a file of lufficc/SSD.

    Args:
        entries: of the file; ``LUFFICC_MARKER`` is among them.

    Raises:
        InputError: its heads are not those of such a network.
    """
    return _find(LUFFICC_NAMES, entries, "lufficc ssd{} vgg16")


def _find(names: Vgg16Names, entries: FileEntries, title: str) -> FoundNetwork:
    facts = vgg16_layers.facts_of(names, entries, title.format("300"))
    return FoundNetwork(
        title=title.format(facts.input_size),
        backbone="vgg16",
        input_size=facts.input_size,
        anchor_scales=vgg16_layers.scales_by_classes(facts),
        aspect_ratios=facts.aspect_ratios,
        anchor_variant=AMDEGROOT,
        depth=facts.depth,
        sources=tuple(vgg16_layers.sources(names, facts)),
    )
