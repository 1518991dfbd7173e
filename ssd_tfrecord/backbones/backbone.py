"""What a backbone is: facts that options, anchors, network and weight files share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

# What the input of every backbone is RGB minus: ImageNet's mean, as the authors' Caffe code has it.
MEAN_RGB = (123.0, 117.0, 104.0)

Arrays = dict[str, "list[np.ndarray]"]


@dataclass(frozen=True)
class FeatureMaps:
    """The K maps that the heads look at, finest first, for one input size.

    ``sides`` are in cells, ``steps`` the pixels between the centres of two cells; ``ratios`` the
    aspect ratios above 1 of each map's anchors, and ``sizes`` {name: K + 1 sizes in pixels} those
    that ``--anchor_scales`` takes by name: map k has the min size k and the max size k + 1.
    """

    input_size: int
    sides: tuple[int, ...]
    steps: tuple[int, ...]
    ratios: tuple[tuple[float, ...], ...]
    sizes: Mapping[str, tuple[float, ...]]


# Liu et al., SSD, arXiv 1512.02325, section 2.2, and the prototxt files of the authors' Caffe code,
# whose prior_box_layer truncates sizes to whole pixels: that changes those of SSD512 alone.
SSD300 = FeatureMaps(
    input_size=300,
    sides=(38, 19, 10, 5, 3, 1),
    steps=(8, 16, 32, 64, 100, 300),
    ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    sizes={
        "voc": (30, 60, 111, 162, 213, 264, 315),
        "coco": (21, 45, 99, 153, 207, 261, 315),
    },
)
SSD512 = FeatureMaps(
    input_size=512,
    sides=(64, 32, 16, 8, 4, 2, 1),
    steps=(8, 16, 32, 64, 128, 256, 512),
    ratios=((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    sizes={
        "voc": (35, 76, 153, 230, 307, 384, 460, 537),
        "coco": (20, 51, 133, 215, 296, 378, 460, 542),
    },
)


@dataclass(frozen=True)
class PublishedWeights:
    """Where pretrained weights come from, and how they become ours.

    ``url_fn(width)`` is the file that ``keras_fn(width)`` downloads and returns as a Keras model;
    ``widths`` are those that exist. ``classifier`` names layers of the file that the backbone
    itself lacks but ``adapt_fn`` takes: it makes our arrays of the file's, {layer: arrays} both.
    """

    url_fn: Callable[[float], str]
    keras_fn: Callable[[float], object]
    widths: tuple[float, ...] = (1.0,)
    classifier: tuple[str, ...] = ()
    adapt_fn: Callable[[Arrays], Arrays] = dict


@dataclass(frozen=True)
class Backbone:
    """A feature extractor.

    ``build_fn(maps, width=, batch_norm=, seed=)`` gives a Keras input [B, S, S, 3], RGB minus
    ``MEAN_RGB``, and the K maps; ``inputs`` are the input sizes it takes, ``widths`` the range of
    its channel multiplier. ``layers`` are the beginnings of the names of the layers that published
    weights have, ``blocks`` is a pattern of the names of blocks, whose layers share a row where
    layers are listed. A ``conv`` head is a 3x3 convolution, a ``separable`` one SSDLite's.
    """

    name: str
    build_fn: Callable
    inputs: Mapping[int, FeatureMaps]
    layers: tuple[str, ...]
    blocks: str
    head: Literal["conv", "separable"]
    has_batch_norm: bool
    widths: tuple[float, float] = (1.0, 1.0)
    weights: PublishedWeights | None = None
