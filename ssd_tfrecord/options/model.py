"""The options of anchors, network and loss."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from ssd_tfrecord.backbones import BACKBONES, Backbone, FeatureMaps, comparison
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options.option import Options, option

# --anchor_scales by name: the published sizes, kept with each backbone's feature maps.
_PUBLISHED = ("voc", "coco", "ssdlite")

# --anchor_variant: how the anchors of the published models differ. Sources: prior_box_layer of the
# authors' Caffe code; torchvision's DefaultBoxGenerator; PriorBox of amdegroot/ssd.pytorch.
CAFFE, TORCHVISION, AMDEGROOT = "caffe", "torchvision", "amdegroot"


@dataclass(frozen=True)
class AnchorOptions(Options):
    """The anchors (default boxes)."""

    anchor_scales: str = option(
        "voc",
        "sizes of the anchors: voc, coco (smaller) or ssdlite (larger) for the published ones, or "
        "one scale per feature map plus one, as fractions of the input side, in increasing order: "
        "0.1,0.2,0.37,0.54,0.71,0.88,1.05",
    )
    aspect_ratios: str = option(
        "",
        "aspect ratios greater than 1 of the anchors, feature maps separated by ':', as in "
        "2:2,3:2,3:2,3:2:2. Each ratio adds a wide and a tall anchor; square ones are always "
        "there. Empty: the published ratios",
    )
    anchor_variant: str = option(
        "",
        "whose anchors, where published models differ: caffe, as the authors' (not clipped, sizes "
        "truncated to whole pixels); torchvision (width and height clipped to the image's); "
        "amdegroot, also lufficc's (centre, width and height clipped). Empty: that of "
        "--init_checkpoint, or caffe",
        choices=("", CAFFE, TORCHVISION, AMDEGROOT),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # For their errors alone: a list that cannot be read is refused with the flags.
        self.scales()
        self.ratios()

    def scales(self) -> tuple[float, ...] | None:
        """The list of scales as fractions of the input side, or None for published ones.

        Raises:
            InputError: it is not a list of increasing positive numbers.
        """
        if self.anchor_scales in _PUBLISHED:
            return None
        what = f"--anchor_scales={self.anchor_scales}"
        wanted = f"{what}: must be {', '.join(_PUBLISHED)} or a list of numbers"
        scales = _floats(self.anchor_scales, wanted)
        if len(scales) < 2 or any(a >= b for a, b in pairwise(scales)) or scales[0] <= 0:
            raise InputError(
                f"{what}: must be positive and in increasing order, one scale per feature map, "
                "plus one"
            )
        return scales

    def ratios(self) -> tuple[tuple[float, ...], ...] | None:
        """The aspect ratios of each feature map, or None for the published ones.

        Raises:
            InputError: a ratio is not a number greater than 1.
        """
        if not self.aspect_ratios:
            return None
        what = (
            f"--aspect_ratios={self.aspect_ratios}: must be numbers greater than 1, feature maps "
            "separated by ':'"
        )
        ratios = tuple(_floats(part, what) for part in self.aspect_ratios.split(":"))
        if any(ratio <= 1 for part in ratios for ratio in part):
            raise InputError(what)
        return ratios

    def check_maps(self, maps: FeatureMaps) -> None:
        """Checks that there are as many scales and ratios as ``maps`` need.

        Raises:
            InputError: there are more or fewer.
        """
        scales, ratios, num_maps = self.scales(), self.ratios(), len(maps.sides)
        size = f"--input_size={maps.input_size}"
        if scales is None and self.anchor_scales not in maps.sizes:
            raise InputError(
                f"--anchor_scales={self.anchor_scales}: not published for this --backbone and "
                f"{size}; must be {', '.join(maps.sizes)} or a list of {num_maps + 1} numbers"
            )
        # Map k has anchors of scale k and of sqrt(scale k * scale (k + 1)), hence one scale more.
        if scales and len(scales) != num_maps + 1:
            raise InputError(
                f"--anchor_scales={self.anchor_scales}: has {len(scales)} scales; {size} needs "
                f"{num_maps + 1}, one per feature map, plus one"
            )
        if ratios and len(ratios) != num_maps:
            raise InputError(
                f"--aspect_ratios={self.aspect_ratios}: has ratios for {len(ratios)} feature maps; "
                f"{size} needs {num_maps}"
            )


def _floats(text: str, message: str) -> tuple[float, ...]:
    try:
        values = tuple(float(item) for item in text.split(","))
    except ValueError:
        raise InputError(message) from None
    # float() accepts "nan" and "inf".
    if not all(math.isfinite(value) for value in values):
        raise InputError(message)
    return values


def _sizes_of(backbone: Backbone) -> str:
    *others, last = map(str, backbone.inputs)
    return f"{', '.join(others)} or {last}" if others else last


def _grouped(texts: Mapping[str, str]) -> str:
    """{backbone: text} with each text once, as in "300 or 512 for vgg16, resnet50"."""
    named: dict[str, list[str]] = {}
    for name, text in texts.items():
        named.setdefault(text, []).append(name)
    return "; ".join(f"{text} for {', '.join(names)}" for text, names in named.items())


def _input_sizes() -> str:
    return _grouped({name: _sizes_of(item) for name, item in BACKBONES.items()})


def _widths() -> str:
    ranges = {name: item.widths for name, item in BACKBONES.items()}
    return _grouped(
        {name: f"{low:g} to {high:g}" for name, (low, high) in ranges.items() if low < high}
    )


def _published_widths() -> str:
    texts = []
    for name, item in BACKBONES.items():
        if item.weights is None:
            texts.append(f"there are none for {name}")
        elif len(item.weights.widths) > 1:
            *others, last = (f"{width:g}" for width in item.weights.widths)
            texts.append(f"for {name} only with --width={', '.join(others)} or {last}")
    return "; ".join(texts)


@dataclass(frozen=True)
class ModelOptions(Options):
    """The network."""

    # Ranges that depend on the backbone are spelt out from BACKBONES, so that help and checks agree
    # with a new one.
    input_size: int = option(300, f"side of the square network input in pixels: {_input_sizes()}")
    backbone: str = option(
        "vgg16",
        f"feature extractor. {comparison.backbones_text()}; counted with 20 classes, CPU time "
        "measured in float32 with AVX-512",
        choices=BACKBONES,
    )
    width: float = option(
        1.0,
        "factor for the number of channels, to make the backbone smaller or larger: "
        f"{_widths()}; 1 for others",
    )
    backbone_weights: str = option(
        "imagenet",
        "initial weights of the backbone: imagenet (downloaded by Keras into ~/.keras; "
        f"{_published_widths()}), none (random), or a Keras file, .h5 or .weights.h5, with or "
        "without the classifier; from a file without it, fc6 and fc7 of vgg16 start at random",
    )
    batch_norm: str = option(
        "sync",
        "batch normalisation, for backbones that have it. sync: over the global batch of all "
        "replicas; frozen: with the moving averages of the initial weights, as --xla on several "
        "GPUs requires",
        choices=("sync", "frozen"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        backbone = BACKBONES[self.backbone]
        if self.input_size not in backbone.inputs:
            raise InputError(
                f"--input_size={self.input_size}: must be {_sizes_of(backbone)} for {backbone.name}"
            )
        low, high = backbone.widths
        if not low <= self.width <= high:
            wanted = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            raise InputError(f"--width={self.width:g}: must be {wanted} for {backbone.name}")

    @property
    def maps(self) -> FeatureMaps:
        """The feature maps that the heads predict from."""
        return BACKBONES[self.backbone].inputs[self.input_size]


@dataclass(frozen=True)
class LossOptions(Options):
    """The multibox loss."""

    box_loss: str = option(
        "smooth_l1",
        "loss of the boxes: smooth_l1, as published, or an IoU loss",
        choices=("smooth_l1", "giou", "diou", "ciou"),
    )
    box_loss_weight: float = option(
        1.0, "weight of the box loss relative to the class loss", minimum=0.0
    )
    negative_ratio: float = option(
        3.0,
        "hard negative mining: number of background anchors in the class loss, per anchor that is "
        "matched to an object",
        minimum=0.0,
    )
    focal: bool = option(
        False,
        "focal loss of all anchors (Lin et al., ICCV 2017), of softmax probabilities, instead of "
        "cross-entropy of mined ones; at the start the background has probability 0.99",
    )
    focal_alpha: float = option(
        0.25,
        "focal loss: weight of objects; that of the background is 1 less this",
        minimum=0.0,
        maximum=1.0,
    )
    focal_gamma: float = option(
        2.0, "focal loss: exponent; the larger, the less easy anchors count", minimum=0.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in () if self.focal else ("focal_alpha", "focal_gamma"):
            if getattr(self, name) != getattr(LossOptions, name):
                raise InputError(f"--{name}={getattr(self, name):g} requires --focal")
