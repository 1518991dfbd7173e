"""What anchors, network and loss can be told."""

import math
from dataclasses import dataclass
from itertools import pairwise

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options.option import Options, option

# Feature maps with anchors, for each input size.
_NUM_MAPS = {300: 6, 512: 7}


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
        """The scale list as floats, or None for the published tables."""
        if self.anchor_scales in ("voc", "coco"):
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

    def check_maps(self, input_size):
        """Raises ``InputError`` unless there are as many scales and ratios as maps."""
        scales, ratios, maps = self.scales(), self.ratios(), _NUM_MAPS[input_size]
        takes = f"--input_size={input_size} takes"
        if scales and len(scales) != maps + 1:
            raise InputError(
                f"--anchor_scales={self.anchor_scales}: has {len(scales)} scales; "
                f"{takes} {maps + 1}, one a map and a last one"
            )
        if ratios and len(ratios) != maps:
            raise InputError(
                f"--aspect_ratios={self.aspect_ratios}: has {len(ratios)} maps; {takes} {maps}"
            )


def _floats(text, message):
    try:
        values = tuple(float(item) for item in text.split(","))
    except ValueError:
        raise InputError(message) from None
    if not all(math.isfinite(value) for value in values):
        raise InputError(message)
    return values


@dataclass(frozen=True)
class ModelOptions(Options):
    """The network."""

    input_size: int = option(300, "input side in pixels", choices=(300, 512))
    backbone: str = option("vgg16", "feature extractor", choices=("vgg16", "mobilenet_v2"))
    width: float = option(1.0, "channel multiplier of mobilenet_v2", minimum=0.1, maximum=2.0)
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
        if self.backbone == "mobilenet_v2" and self.input_size != 300:
            raise InputError(
                f"--input_size={self.input_size}: mobilenet_v2 takes 300; vgg16 takes 300 or 512"
            )
        if self.backbone == "vgg16" and self.width != 1.0:
            raise InputError(f"--width={self.width:g}: vgg16 takes 1; mobilenet_v2 takes others")


@dataclass(frozen=True)
class LossOptions(Options):
    """The multibox loss."""

    box_loss: str = option(
        "smooth_l1", "loss of the boxes", choices=("smooth_l1", "giou", "diou", "ciou")
    )
    box_loss_weight: float = option(1.0, "weight of the box loss", minimum=0.0)
    negative_ratio: float = option(3.0, "mined negatives per positive", minimum=0.0)
