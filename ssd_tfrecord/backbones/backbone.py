"""What a backbone is: facts shared by options, anchors, network and weight files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from ssd_tfrecord.keras import keras

# Subtracted from the RGB input of every backbone: ImageNet's mean, as in the authors' Caffe code.
MEAN_RGB = (123.0, 117.0, 104.0)

# {layer: its weights in Keras's order}. Quoted, because an alias is evaluated at import.
Arrays = dict[str, "list[np.ndarray]"]


@dataclass(frozen=True)
class FeatureMaps:
    """The K feature maps that the heads read, finest first, for one input size.

    ``sides`` are in cells; ``steps`` are the distances between the centres of neighbouring cells,
    in pixels. ``ratios`` are the aspect ratios above 1 of each map's anchors. ``sizes`` is {name:
    K + 1 sizes in pixels}, with the names that ``--anchor_scales`` accepts: sizes k and k + 1 are
    the min size and the max size of map k. The authors' code truncates them to whole pixels;
    ``exact_sizes`` are those of ``sizes`` that this changes, as they were before.
    """

    input_size: int
    sides: tuple[int, ...]
    steps: tuple[float, ...]
    ratios: tuple[tuple[float, ...], ...]
    sizes: Mapping[str, tuple[float, ...]]
    exact_sizes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


# Liu et al., SSD, arXiv 1512.02325, section 2.2, and the prototxt files of the authors' Caffe code,
# whose prior_box_layer truncates sizes to whole pixels, which changes only those of SSD512.
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
    # amdegroot/ssd.pytorch and lufficc/SSD.
    exact_sizes={
        "voc": (35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6),
        "coco": (20.48, 51.2, 133.12, 215.04, 296.96, 378.88, 460.8, 542.72),
    },
)


def _fractions(
    input_size: int,
    sides: tuple[int, ...],
    ratios: tuple[tuple[float, ...], ...],
    scales: Mapping[str, tuple[float, ...]],
) -> FeatureMaps:
    """Maps whose cells divide the input evenly, and sizes that are fractions of it."""
    return FeatureMaps(
        input_size=input_size,
        sides=sides,
        steps=tuple(input_size / side for side in sides),
        ratios=ratios,
        sizes={
            name: tuple(round(scale * input_size, 6) for scale in values)
            for name, values in scales.items()
        },
    )


# Those of SSD300 and SSD512 as fractions.
_SIX_MAPS = {
    "voc": (0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05),
    "coco": (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
}
# torchvision's ssdlite320_mobilenet_v3_large: from 0.2 to 0.95 in equal steps, and the last one.
_SSDLITE = {"ssdlite": (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)}

# SSD300's network on a larger input: the same maps but for the first two.
SSD320 = _fractions(320, (40, 20, 10, 5, 3, 1), SSD300.ratios, _SIX_MAPS)
SSDLITE320 = _fractions(320, (20, 10, 5, 3, 2, 1), ((2, 3),) * 6, _SIX_MAPS | _SSDLITE)
SSDLITE512 = _fractions(512, (32, 16, 8, 4, 2, 1), ((2, 3),) * 6, _SIX_MAPS | _SSDLITE)


@dataclass(frozen=True)
class PublishedWeights:
    """Where pretrained weights come from, and how they are converted to ours.

    ``url_fn(width)`` returns the address of the file that ``keras_fn(width)`` downloads and returns
    as a Keras model; ``widths`` are those for which there is one. ``adapt_fn`` converts the file's
    arrays to ours, both {layer: arrays}. ``classifier`` lists layers of the file that the backbone
    itself lacks but ``adapt_fn`` needs.
    """

    url_fn: Callable[[float], str]
    keras_fn: Callable[[float], keras.Model]
    widths: tuple[float, ...] = (1.0,)
    classifier: tuple[str, ...] = ()
    adapt_fn: Callable[[Arrays], Arrays] = dict


@dataclass(frozen=True)
class Cost:
    """What the network of one input size costs, at width 1 with 20 classes, as VOC has.

    ``parameters`` are those that are trained, in millions; ``multiply_adds``, in thousand millions,
    are those of one image. ``training_ms`` and ``detection_ms`` are CPU milliseconds per image of a
    training step and of the network alone (``benchmark --only=model``), in float32 and batches of
    8, or of 2 for VGG-16 and ResNet-50 at 512, on two cores of an AMD EPYC with AVX-512 (TensorFlow
    2.15): a core makes 1000 / milliseconds images a second.
    """

    parameters: float
    multiply_adds: float
    training_ms: float
    detection_ms: float


class BuildFn(Protocol):
    """The type of the functions that build a backbone."""

    def __call__(
        self, maps: FeatureMaps, *, width: float, batch_norm: str, seed: int
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Builds the layers.

        Args:
            maps: the feature maps to produce, and the input size S.
            width: channel multiplier.
            batch_norm: ``--batch_norm``; ignored by backbones without batch normalisation.
            seed: of the initial weights.

        Returns:
            A Keras input [B, S, S, 3], RGB minus ``MEAN_RGB``, and the K maps.
        """


@dataclass(frozen=True)
class Backbone:
    """A feature extractor.

    ``inputs`` are the input sizes that ``build_fn`` accepts, ``widths`` the range of its channel
    multiplier; ``purpose`` and ``costs``, by input size, are what a user chooses by. ``layers`` are
    prefixes of the names of layers for which there are published
    weights. ``blocks`` is a regular expression for the names of blocks; where layers are listed,
    the layers of a block share a row. A ``conv`` head is a 3x3 convolution; a ``separable`` head is
    SSDLite's.
    """

    name: str
    build_fn: BuildFn
    inputs: Mapping[int, FeatureMaps]
    layers: tuple[str, ...]
    blocks: str
    head: Literal["conv", "separable"]
    has_batch_norm: bool
    widths: tuple[float, float] = (1.0, 1.0)
    weights: PublishedWeights | None = None
    purpose: str = ""
    costs: Mapping[int, Cost] = field(default_factory=dict)
