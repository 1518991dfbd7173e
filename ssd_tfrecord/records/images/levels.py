"""From the 16 bits of a grey pixel to 8: thermal, depth and X-ray images."""

import functools
from collections.abc import Iterator

import numpy as np
from PIL import Image

# Notes about an image.
FEW_LEVELS, STRETCHED = "few_levels", "stretched"
# Of 256. Thermal images often use 1000 of 65,536 levels, of which 4 are left: all looks the same.
_FEW = 64
# One pixel in so many, 0.1 %, is darker than what becomes black, and brighter than what becomes
# white: dead pixels and the sun would otherwise take up the range.
_TAIL = 1000
_NUM_LEVELS = 65536
# At a time, since NumPy needs 8 bytes for each pixel that it looks up.
_BAND_PIXELS = 2**22


def to_8_bits(image: Image.Image, stretch: str) -> tuple[Image.Image, dict[str, str]]:
    """Reduces a grey image of 16 bits, as ``ImageOptions.stretch`` says, to 8.

    ``none``: level v becomes v / 257, so 65535 becomes 255. ``percentile``: with a and b as the
    0.1 % and 99.9 % percentiles of the image (by nearest rank: the lowest level that at least so
    many of the pixels do not exceed), v becomes 255 (v - a) / (b - a), limited to 0 and 255; where
    a and b are equal there is nothing to stretch, and v becomes v / 257. Both are rounded.

    Args:
        image: of one of Pillow's modes I, I;16 …
        stretch: none or percentile.

    Returns:
        (image of mode L, {what is to be noted about it: details, or ""}).

    Raises:
        ValueError: a level is beyond 16 bits.
    """
    pixels = np.asarray(image)
    # Pillow's 32-bit mode I holds some 16-bit files too.
    if pixels.min() < 0 or pixels.max() >= _NUM_LEVELS:
        raise ValueError("more than 16 bits per channel")
    counts = np.zeros(_NUM_LEVELS, np.int64)
    for band in _bands(pixels):
        counts += np.bincount(pixels[band].ravel(), minlength=_NUM_LEVELS)
    low, high = _percentiles(counts) if stretch == "percentile" else (0, 0)
    table = _stretched(low, high) if low < high else _scaled()
    reduced = np.empty(pixels.shape, np.uint8)
    for band in _bands(pixels):
        reduced[band] = table[pixels[band]]
    done = {STRETCHED: ""} if low < high else {}
    return Image.fromarray(reduced), {**done, **_few_levels(counts, table, stretch)}


def _bands(pixels: np.ndarray) -> Iterator[slice]:
    rows = max(1, _BAND_PIXELS // pixels.shape[1])
    return (slice(begin, begin + rows) for begin in range(0, len(pixels), rows))


def _percentiles(counts: np.ndarray) -> tuple[int, int]:
    ranks = np.cumsum(counts)
    number = int(ranks[-1])
    # In whole numbers, rounded up: at least so many.
    low, high = np.searchsorted(ranks, [-(-number // _TAIL), number - number // _TAIL])
    return int(low), int(high)


@functools.cache
def _scaled() -> np.ndarray:
    """uint8 [65536]: what each level becomes if nothing is stretched."""
    # 257 = 65535 / 255, so white stays white; 128 rounds to the nearest.
    return ((np.arange(_NUM_LEVELS) + 128) // 257).astype(np.uint8)


def _stretched(low: int, high: int) -> np.ndarray:
    """uint8 [65536]: what each level becomes if ``low`` and all below become 0, ``high`` 255."""
    inside = np.clip(np.arange(_NUM_LEVELS), low, high) - low
    return ((510 * inside + high - low) // (2 * (high - low))).astype(np.uint8)


def _few_levels(counts: np.ndarray, table: np.ndarray, stretch: str) -> dict[str, str]:
    """The note about an image whose levels have become so few that objects may have vanished."""
    used = np.flatnonzero(counts)
    left = np.unique(table[used]).size
    # Where as many levels are left as there were, as of a mask, nothing was lost.
    if left >= _FEW or left == used.size:
        return {}
    levels = "1 grey level of 256 is left" if left == 1 else f"{left} grey levels of 256 are left"
    hint = "; see --stretch" if stretch == "none" else ""
    return {FEW_LEVELS: f"16 bits, {used[0]} to {used[-1]} of 65535: {levels}{hint}"}
