"""SSD on VGG-16 as files hold it: shapes, and what the shapes of the heads tell of the model.

Their networks are ours but for the L2 norm of conv4_3: torchvision divides by max(|x|, 1e-12),
amdegroot and lufficc by |x| + 1e-10, Caffe and we by sqrt(|x|² + 1e-10). In float32 that shows only
where |x| of a cell is below 0.03; a cell of zeros stays 0 in all. torchvision
subtracts 0.48235 * 255 and so on from images, less than 0.001 from our mean.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published.layouts.layer_sources import (
    CONVOLUTION,
    ArraySource,
    FileEntries,
    LayerSource,
)

# (channels, convolutions) of block1 to block5; Liu et al., SSD, arXiv 1512.02325, figure 2.
_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
# (1x1 channels, channels, kernel) of conv6, conv7 ….
_EXTRAS = {
    300: ((256, 512, 3), (128, 256, 3), (128, 256, 3), (128, 256, 3)),
    512: ((256, 512, 3), (128, 256, 3), (128, 256, 3), (128, 256, 3), (128, 256, 4)),
}
# Input channels of the heads.
_HEADS = {300: (512, 1024, 512, 256, 256, 256), 512: (512, 1024, 512, 256, 256, 256, 256)}
# Aspect ratios by the number of anchors of a cell, two of which are square.
_RATIOS = {4: "2", 6: "2,3"}
_PUBLISHED_ANCHORS = {300: (4, 6, 6, 6, 4, 4), 512: (4, 6, 6, 6, 6, 4, 4)}

NORM = "conv4_3_norm"
# amdegroot's files for COCO have 200, all others 80.
_COCO_CLASSES = 80


@dataclass(frozen=True)
class Vgg16Facts:
    """What the shapes in a file tell.

    ``anchors`` are their number in a cell of each map; ``depth`` is the number of classes with the
    background.
    """

    input_size: int
    anchors: tuple[int, ...]
    depth: int

    @property
    def aspect_ratios(self) -> str:
        """``--aspect_ratios``: "" if they are the published ones."""
        if self.anchors == _PUBLISHED_ANCHORS[self.input_size]:
            return ""
        return ":".join(_RATIOS[number] for number in self.anchors)


@dataclass(frozen=True)
class Vgg16Names:
    """The names of a layout.

    ``layers`` is {our layer: its name in the file}, heads excepted: ``logits`` and ``offsets`` are
    theirs, of SSD512 in the order of the maps. ``array_fn`` is called with the name of a layer in
    the file and "kernel", "bias" or "scale". ``bgr``: conv1_1 takes blue, green and red.
    ``height_first``: kernels are [height, width, in, out].
    """

    layers: Mapping[str, str]
    logits: Sequence[str]
    offsets: Sequence[str]
    array_fn: Callable[[str, str], str]
    bgr: bool = False
    height_first: bool = False


def convolutions(input_size: int) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """(our layer, (out, in, height, width)) of all convolutions but the heads."""
    channels = 3
    for block, (filters, count) in enumerate(_BLOCKS, start=1):
        for index in range(1, count + 1):
            yield f"block{block}_conv{index}", (filters, channels, 3, 3)
            channels = filters
    yield "fc6", (1024, 512, 3, 3)
    yield "fc7", (1024, 1024, 1, 1)
    channels = 1024
    for number, (squeezed, filters, kernel) in enumerate(_EXTRAS[input_size], start=6):
        yield f"conv{number}_1", (squeezed, channels, 1, 1)
        yield f"conv{number}_2", (filters, squeezed, kernel, kernel)
        channels = filters


def facts_of(names: Vgg16Names, entries: FileEntries, title: str) -> Vgg16Facts:
    """Reads from the heads of a file what model it is.

    Args:
        names: of the layout.
        entries: of the file.
        title: of the layout, for errors.

    Raises:
        InputError: the heads are not those of an SSD300 or SSD512.
    """
    # The seventh map is that of SSD512.
    last = names.array_fn(names.offsets[6], "kernel")
    input_size = 512 if last in entries.names else 300
    outputs = [
        [_outputs(names, entries, title, head) for head in heads[: len(_HEADS[input_size])]]
        for heads in (names.offsets, names.logits)
    ]
    anchors = tuple(count // 4 for count in outputs[0])
    for head, count in zip(names.offsets, outputs[0]):
        if count % 4 or count // 4 not in _RATIOS:
            raise InputError(
                f"{entries.path}: {title}: {entries.shown(head)} has {count} channels; must be 16 "
                "or 24, for 4 or 6 anchors of a cell"
            )
    depth = outputs[1][0] // anchors[0]
    for head, count, number in zip(names.logits, outputs[1], anchors):
        if depth < 2 or count != depth * number:
            raise InputError(
                f"{entries.path}: {title}: {entries.shown(head)} has {count} channels; must be "
                f"{number} anchors times {max(depth, 2)} classes (background included)"
            )
    return Vgg16Facts(input_size, anchors, depth)


def _outputs(names: Vgg16Names, entries: FileEntries, title: str, head: str) -> int:
    name = names.array_fn(head, "kernel")
    shape = entries.shape(name)
    if len(shape) != 4:
        found = f"has {list(shape)}" if name in entries.names else "is missing"
        raise InputError(
            f"{entries.path}: {title}: {entries.shown(name)} {found}; must be the kernel of a head"
        )
    return shape[3] if names.height_first else shape[0]


def scales_by_classes(facts: Vgg16Facts) -> str:
    """``--anchor_scales`` of a layout that has others for COCO: its files tell by their classes."""
    return "coco" if facts.depth - 1 >= _COCO_CLASSES else "voc"


def sources(names: Vgg16Names, facts: Vgg16Facts) -> list[LayerSource]:
    """Where all layers lie in a file of the layout ``names``."""
    found = [
        _convolution(names, layer, names.layers[layer], shape, bgr=names.bgr and shape[1] == 3)
        for layer, shape in convolutions(facts.input_size)
    ]
    scale = ArraySource(names.array_fn(names.layers[NORM], "scale"), (512,))
    found.append(LayerSource(NORM, (scale,)))
    for index, (channels, number) in enumerate(zip(_HEADS[facts.input_size], facts.anchors)):
        logits, offsets = names.logits[index], names.offsets[index]
        shape = (number * facts.depth, channels, 3, 3)
        found.append(_convolution(names, f"head_{index}_logits", logits, shape))
        shape = (number * 4, channels, 3, 3)
        found.append(_convolution(names, f"head_{index}_offsets", offsets, shape, swaps=True))
    return found


def _convolution(
    names: Vgg16Names,
    layer: str,
    theirs: str,
    shape: tuple[int, int, int, int],
    *,
    bgr: bool = False,
    swaps: bool = False,
) -> LayerSource:
    axes: tuple[int, ...] = CONVOLUTION
    held: tuple[int, ...] = shape
    if names.height_first:
        axes, held = (), tuple(shape[axis] for axis in CONVOLUTION)
    kernel = ArraySource(names.array_fn(theirs, "kernel"), held, axes, swaps=swaps, bgr=bgr)
    bias = ArraySource(names.array_fn(theirs, "bias"), shape[:1], swaps=swaps)
    return LayerSource(layer, (kernel, bias))
