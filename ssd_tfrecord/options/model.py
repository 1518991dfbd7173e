"""What anchors, network and loss can be told."""

import math
from dataclasses import dataclass
from itertools import pairwise

from ssd_tfrecord.backbones import BACKBONES, FeatureMaps
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options.option import Options, option

# Names of published scales.
_PUBLISHED = ("voc", "coco")


@dataclass(frozen=True)
class AnchorOptions(Options):
    """The default boxes."""

    anchor_scales: str = option(
        "voc",
        "voc or coco (the published sizes), or a list of one scale a map and a last one, as "
        "fractions of the input: 0.1,0.2,0.37,0.54,0.71,0.88,1.05",
    )
    aspect_ratios: str = option(
        "",
        "aspect ratios above 1 of each map, maps apart by ':' (2:2,3:2,3:2,3:2:2); their flips "
        "come of themselves. Default: the published ones",
    )

    def __post_init__(self):
        super().__post_init__()
        self.scales()
        self.ratios()

    def scales(self):
        """The scale list as floats, or None for published ones."""
        if self.anchor_scales in _PUBLISHED:
            return None
        what = f"--anchor_scales={self.anchor_scales}"
        scales = _floats(self.anchor_scales, f"{what}: must be voc, coco or a list of numbers")
        if len(scales) < 2 or any(a >= b for a, b in pairwise(scales)) or scales[0] <= 0:
            raise InputError(f"{what}: must rise from above 0, one a map and a last one")
        return scales

    def ratios(self):
        """The ratios of each map as tuples of floats, or None for the published ones."""
        if not self.aspect_ratios:
            return None
        what = f"--aspect_ratios={self.aspect_ratios}: must be numbers above 1, maps apart by ':'"
        ratios = tuple(_floats(part, what) for part in self.aspect_ratios.split(":"))
        if any(ratio <= 1 for part in ratios for ratio in part):
            raise InputError(what)
        return ratios

    def check_maps(self, maps: FeatureMaps) -> None:
        """Raises ``InputError`` unless there are as many scales and ratios as ``maps``."""
        scales, ratios, num_maps = self.scales(), self.ratios(), len(maps.sides)
        takes = f"--input_size={maps.input_size} takes"
        if scales and len(scales) != num_maps + 1:
            raise InputError(
                f"--anchor_scales={self.anchor_scales}: has {len(scales)} scales; "
                f"{takes} {num_maps + 1}, one per map and a last one"
            )
        if ratios and len(ratios) != num_maps:
            raise InputError(
                f"--aspect_ratios={self.aspect_ratios}: has {len(ratios)} maps; {takes} {num_maps}"
            )


def _floats(text, message):
    try:
        values = tuple(float(item) for item in text.split(","))
    except ValueError:
        raise InputError(message) from None
    if not all(math.isfinite(value) for value in values):
        raise InputError(message)
    return values


def _sizes_of(backbone):
    return " or ".join(map(str, backbone.inputs))


def _input_sizes():
    return "; ".join(f"{name} {_sizes_of(item)}" for name, item in BACKBONES.items())


def _widths():
    ranges = {name: item.widths for name, item in BACKBONES.items()}
    return "; ".join(
        f"{name} {low:g} to {high:g}" for name, (low, high) in ranges.items() if low < high
    )


@dataclass(frozen=True)
class ModelOptions(Options):
    """The network."""

    input_size: int = option(300, f"input side in pixels: {_input_sizes()}")
    backbone: str = option("vgg16", "feature extractor", choices=BACKBONES)
    width: float = option(1.0, f"channel multiplier of a backbone that has one: {_widths()}")
    backbone_weights: str = option(
        "imagenet",
        "imagenet (downloaded by Keras), none, or a Keras .h5 or .weights.h5 of the backbone "
        "with or without its classifier",
    )
    batch_norm: str = option(
        "sync",
        "batch normalisation: over the global batch, or with its moving averages frozen",
        choices=("sync", "frozen"),
    )

    def __post_init__(self):
        super().__post_init__()
        backbone = BACKBONES[self.backbone]
        if self.input_size not in backbone.inputs:
            raise InputError(
                f"--input_size={self.input_size}: {backbone.name} takes {_sizes_of(backbone)}"
            )
        low, high = backbone.widths
        if not low <= self.width <= high:
            takes = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            raise InputError(f"--width={self.width:g}: {backbone.name} takes {takes}")

    @property
    def maps(self) -> FeatureMaps:
        """The maps that the heads look at."""
        return BACKBONES[self.backbone].inputs[self.input_size]


@dataclass(frozen=True)
class LossOptions(Options):
    """The multibox loss."""

    box_loss: str = option(
        "smooth_l1", "loss of the boxes", choices=("smooth_l1", "giou", "diou", "ciou")
    )
    box_loss_weight: float = option(1.0, "weight of the box loss", minimum=0.0)
    negative_ratio: float = option(3.0, "mined negatives per positive", minimum=0.0)
