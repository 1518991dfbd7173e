"""Where in a file each of our layers lies, and how its arrays become ours, and theirs again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published.bounded_file import printable

# PyTorch's and Caffe's [out, in, height, width] as Keras's [height, width, in, out].
CONVOLUTION = (2, 3, 1, 0)
# [channels, 1, height, width] as [height, width, channels, 1].
DEPTHWISE = (2, 3, 0, 1)

# (tx, ty, tw, th) as (ty, tx, th, tw), and back.
_SWAPPED = [1, 0, 3, 2]


@dataclass(frozen=True)
class ArraySource:
    """One array of a layer in a file.

    ``name`` and ``shape`` are the file's. ``axes`` are those of the file in our order; none: as
    ours. ``swaps``: its output channels are offsets as (tx, ty, tw, th). ``bgr``: its input
    channels are blue, green and red.
    """

    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...] = ()
    swaps: bool = False
    bgr: bool = False

    def ours(self, array: np.ndarray) -> np.ndarray:
        """The file's array as float32 in our order."""
        array = np.transpose(array, self.axes) if self.axes else array
        return np.ascontiguousarray(self._turned(array), dtype=np.float32)

    def theirs(self, array: np.ndarray) -> np.ndarray:
        """Our array as float32 in the file's order: the inverse of ``ours``."""
        array = self._turned(array)
        array = np.transpose(array, np.argsort(self.axes)) if self.axes else array
        return np.ascontiguousarray(array, dtype=np.float32)

    def _turned(self, array: np.ndarray) -> np.ndarray:
        """``array``, in our order of axes, with its channels exchanged: its own inverse."""
        if self.swaps:
            array = array.reshape(*array.shape[:-1], -1, 4)[..., _SWAPPED].reshape(array.shape)
        return array[..., ::-1, :] if self.bgr else array


@dataclass(frozen=True)
class LayerSource:
    """A layer of ours and its arrays in a file, in the order of Keras's weights."""

    layer: str
    arrays: tuple[ArraySource, ...]


@dataclass(frozen=True)
class FileEntries:
    """The arrays of a file by the names of a layout.

    ``path`` is named in errors. ``names`` is {name in the layout: name in the file}, of all or some
    ``arrays``; the file's may begin with ``prefix``, as in ``model.vgg.0.weight``.
    """

    path: str
    arrays: Mapping[str, np.ndarray]
    names: Mapping[str, str]
    prefix: str = ""

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array; () if there is none of this name."""
        return self.arrays[self.names[name]].shape if name in self.names else ()

    def shown(self, name: str) -> str:
        """The name in the file, also of an array that it lacks."""
        return printable(self.names.get(name, f"{self.prefix}{name}"))


@dataclass(frozen=True)
class FoundNetwork:
    """What network a file holds, and where its layers lie.

    ``title`` names the layout. ``anchor_scales``, ``aspect_ratios`` and ``anchor_variant`` are
    those of ``AnchorOptions``; ``depth`` is the number of classes with the background.
    """

    title: str
    backbone: str
    input_size: int
    anchor_scales: str
    aspect_ratios: str
    anchor_variant: str
    depth: int
    sources: tuple[LayerSource, ...]


def convolution(
    layer: str, prefix: str, shape: Sequence[int], *, bias: bool = True, swaps: bool = False
) -> LayerSource:
    """A convolution as PyTorch names its arrays.

    Args:
        layer: ours.
        prefix: of the names in the file, without the last dot.
        shape: of the kernel in the file: (out, in, height, width).
        bias: whether there is one.
        swaps: whether its outputs are offsets.
    """
    arrays = [ArraySource(f"{prefix}.weight", tuple(shape), CONVOLUTION, swaps=swaps)]
    if bias:
        arrays.append(ArraySource(f"{prefix}.bias", (shape[0],), swaps=swaps))
    return LayerSource(layer, tuple(arrays))


def depthwise(layer: str, prefix: str, channels: int, kernel: int) -> LayerSource:
    """A depthwise convolution without bias, as PyTorch names its array."""
    shape = (channels, 1, kernel, kernel)
    return LayerSource(layer, (ArraySource(f"{prefix}.weight", shape, DEPTHWISE),))


def batch_norm(layer: str, prefix: str, channels: int) -> LayerSource:
    """Batch normalisation as PyTorch names its arrays: gamma, beta, moving mean and variance."""
    names = ("weight", "bias", "running_mean", "running_var")
    return LayerSource(layer, tuple(ArraySource(f"{prefix}.{name}", (channels,)) for name in names))


def read_layers(
    sources: Sequence[LayerSource], entries: FileEntries, title: str
) -> dict[str, list[np.ndarray]]:
    """Takes the arrays of all layers out of a file.

    Args:
        sources: where they lie.
        entries: of the file.
        title: of the layout, for errors.

    Returns:
        {our layer: its arrays in Keras's order}.

    Raises:
        InputError: an array is missing, has another shape, or holds no finite numbers.
    """
    # All are checked before any is copied.
    for source in sources:
        for item in source.arrays:
            _check_shape(item, source.layer, entries, title)
    return {
        source.layer: [_array(item, source.layer, entries, title) for item in source.arrays]
        for source in sources
    }


def _check_shape(item: ArraySource, layer: str, entries: FileEntries, title: str) -> None:
    what = f"{entries.path}: {title}: {entries.shown(item.name)}"
    if item.name not in entries.names:
        raise InputError(f"{what} is missing; needed for layer {layer}, {list(item.shape)}")
    shape = entries.shape(item.name)
    # Caffe's older files have vectors as [1, 1, 1, N].
    is_vector = len(item.shape) == 1 and shape == (1,) * (len(shape) - 1) + item.shape
    if shape != item.shape and not is_vector:
        raise InputError(f"{what} has {list(shape)}; layer {layer} needs {list(item.shape)}")


def _array(item: ArraySource, layer: str, entries: FileEntries, title: str) -> np.ndarray:
    array = entries.arrays[entries.names[item.name]].reshape(item.shape)
    if not np.isfinite(array).all():
        raise InputError(
            f"{entries.path}: {title}: {entries.shown(item.name)} holds numbers that are not "
            f"finite; layer {layer} needs finite ones"
        )
    return item.ours(array)


def write_layers(
    sources: Iterable[LayerSource], layers: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, np.ndarray]:
    """The inverse of ``read_layers``: {name in the file: array}.

    Args:
        sources: where the layers lie.
        layers: {our layer: its arrays in Keras's order}.
    """
    return {
        item.name: item.theirs(array)
        for source in sources
        for item, array in zip(source.arrays, layers[source.layer], strict=True)
    }


def left_over(sources: Iterable[LayerSource], entries: FileEntries) -> tuple[str, ...]:
    """The names in a file that no layer uses, but for PyTorch's counters of training steps."""
    used = {entries.names.get(item.name) for source in sources for item in source.arrays}
    return tuple(
        name
        for name in entries.arrays
        if name not in used and not name.endswith(".num_batches_tracked")
    )
