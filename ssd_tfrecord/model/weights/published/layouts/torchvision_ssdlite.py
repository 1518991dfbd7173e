"""The layout of torchvision's ssdlite320_mobilenet_v3_large: its state dict and what it is in ours.

Source: torchvision 0.28, models/detection/ssdlite.py and models/mobilenetv3.py.
"""

from collections.abc import Iterator, Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published.layouts.layer_sources import (
    FileEntries,
    FoundNetwork,
    LayerSource,
    batch_norm,
    convolution,
    depthwise,
)
from ssd_tfrecord.options import TORCHVISION

TITLE = "torchvision ssdlite320_mobilenet_v3_large"
# A name that only this layout has: of the stem.
MARKER = "backbone.features.0.0.0.weight"

# (kernel, expansion, channels, whether it has squeeze-and-excitation) of the 15 blocks: Howard et
# al., arXiv 1905.02244, table 1. The channels of the last three, and so their expansions, are
# halved in the model that torchvision has published.
_BLOCKS = (
    (3, 16, 16, False),
    (3, 64, 24, False),
    (3, 72, 24, False),
    (5, 72, 40, True),
    (5, 120, 40, True),
    (5, 120, 40, True),
    (3, 240, 80, False),
    (3, 200, 80, False),
    (3, 184, 80, False),
    (3, 184, 80, False),
    (3, 480, 112, True),
    (3, 672, 112, True),
    (5, 672, 160, True),
    (5, 960, 160, True),
    (5, 960, 160, True),
)
# The block whose expansion is the first map: torchvision divides the body behind it.
_C4 = 12
_EXTRAS = (512, 256, 256, 128)
# Aspect ratios 2 and 3 on all maps.
ANCHORS = (6,) * 6

_LAST = "backbone.features.1.3"
_OFFSETS, _LOGITS = (f"head.{kind}_head.module_list" for kind in ("regression", "classification"))


def find(entries: FileEntries) -> FoundNetwork:
    """The network in a file of this layout.

    Args:
        entries: of the file; ``MARKER`` is among them.

    Raises:
        InputError: it is not of the published width, or its heads have other anchors.
    """
    what = f"{entries.path}: {TITLE}"
    last, logits = f"{_LAST}.0.weight", f"{_LOGITS}.0.1.weight"
    if entries.shape(last)[:1] not in ((960,), (480,)):
        raise InputError(
            f"{what}: {entries.shown(last)} has {list(entries.shape(last))}; must have 480 or 960 "
            "channels: other widths are not known"
        )
    outputs = (*entries.shape(logits), 0)[0]
    depth = outputs // ANCHORS[0]
    if depth < 2 or outputs % ANCHORS[0]:
        raise InputError(
            f"{what}: {entries.shown(logits)} has {list(entries.shape(logits))}; must be 6 anchors "
            "times at least 2 classes (background included)"
        )
    reduced = entries.shape(last)[0] == 480
    return FoundNetwork(
        title=TITLE,
        backbone="mobilenet_v3_large_reduced" if reduced else "mobilenet_v3_large",
        input_size=320,
        anchor_scales="ssdlite",
        aspect_ratios="",
        anchor_variant=TORCHVISION,
        depth=depth,
        sources=tuple(sources(depth, reduced=reduced)),
    )


def sources(depth: int, *, reduced: bool) -> Iterator[LayerSource]:
    """Where the layers of our network lie in torchvision's state dict.

    Args:
        depth: number of classes with the background.
        reduced: whether the channels behind the first map are halved.
    """
    yield from _normalized("Conv", "backbone.features.0.0", (16, 3, 3, 3))
    channels, first_map = 16, 0
    for index, (kernel, expansion, filters, squeezes) in enumerate(_BLOCKS):
        if index == _C4:
            first_map = expansion
        # The expansion of the first halved block is that of its input, which is not.
        inner = expansion // 2 if reduced and index > _C4 else expansion
        outer = filters // 2 if reduced and index >= _C4 else filters
        yield from _block(index, kernel=kernel, shape=(channels, inner, outer), squeezes=squeezes)
        channels = outer
    yield from _normalized("Conv_1", _LAST, (6 * channels, channels, 1, 1))
    maps = [first_map, 6 * channels]
    for number, filters in enumerate(_EXTRAS):
        yield from _extra(number, maps[-1], filters)
        maps.append(filters)
    for index, (channels, number) in enumerate(zip(maps, ANCHORS)):
        for kind, prefix, outputs in (("logits", _LOGITS, depth), ("offsets", _OFFSETS, 4)):
            yield from _head(
                f"head_{index}_{kind}", f"{prefix}.{index}", channels, number * outputs
            )


def _block(
    index: int, *, kernel: int, shape: tuple[int, int, int], squeezes: bool
) -> Iterator[LayerSource]:
    """An inverted residual; ``shape`` is (input channels, expansion, output channels)."""
    channels, expansion, filters = shape
    name = f"expanded_conv_{index}" if index else "expanded_conv"
    places = iter(_places(index))
    if expansion != channels:
        yield from _normalized(f"{name}_expand", next(places), (expansion, channels, 1, 1))
    yield from _depthwise(f"{name}_depthwise", next(places), expansion, kernel)
    if squeezes:
        place, squeezed = next(places), _eights(expansion // 4)
        excite = f"{name}_squeeze_excite"
        yield convolution(f"{excite}_Conv", f"{place}.fc1", (squeezed, expansion, 1, 1))
        yield convolution(f"{excite}_Conv_1", f"{place}.fc2", (expansion, squeezed, 1, 1))
    yield from _normalized(f"{name}_project", next(places), (filters, expansion, 1, 1))


def _places(index: int) -> Sequence[str]:
    """The names in the file of the parts of a block, one after another."""
    if index == _C4:
        # Cut behind its expansion.
        return ["backbone.features.0.13", *(f"backbone.features.1.0.{part}" for part in (1, 2, 3))]
    place = f"features.0.{index + 1}" if index < _C4 else f"features.1.{index - _C4}"
    return [f"backbone.{place}.block.{part}" for part in range(4)]


def _extra(number: int, channels: int, filters: int) -> Iterator[LayerSource]:
    name, place = f"extra_{number + 1}", f"backbone.extra.{number}"
    yield from _normalized(f"{name}_squeeze", f"{place}.0", (filters // 2, channels, 1, 1))
    yield from _depthwise(f"{name}_depthwise", f"{place}.1", filters // 2, 3)
    yield from _normalized(f"{name}_expand", f"{place}.2", (filters, filters // 2, 1, 1))


def _head(name: str, place: str, channels: int, outputs: int) -> Iterator[LayerSource]:
    yield from _depthwise(f"{name}_depthwise", f"{place}.0", channels, 3)
    shape = (outputs, channels, 1, 1)
    yield convolution(name, f"{place}.1", shape, swaps=name.endswith("_offsets"))


def _normalized(name: str, place: str, shape: tuple[int, int, int, int]) -> Iterator[LayerSource]:
    yield convolution(name, f"{place}.0", shape, bias=False)
    yield batch_norm(f"{name}_BN", f"{place}.1", shape[0])


def _depthwise(name: str, place: str, channels: int, kernel: int) -> Iterator[LayerSource]:
    yield depthwise(name, f"{place}.0", channels, kernel)
    yield batch_norm(f"{name}_BN", f"{place}.1", channels)


def _eights(channels: int) -> int:
    """The nearest multiple of 8 that is not more than a tenth below: 18 -> 24, 30 -> 32."""
    nearest = max(8, (channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
