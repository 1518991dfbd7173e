"""Backgrounds of the demo's scenes: muted colours blended by a pattern, with clutter on top."""

import colorsys
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def draw_background(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """RGB float32 [height, width, 3] up to 255, of a kind, palette and clutter drawn by ``rng``."""
    first, second, third = (tuple(color) for color in _palette(rng))
    pattern_fn = PATTERNS[rng.integers(len(PATTERNS))]
    image = Image.new("RGB", (width, height), first)
    image.paste(second, mask=_mask(pattern_fn(height, width, rng)))
    image.paste(third, mask=_mask((_noise(height, width, 3, rng) * 1.6 - 0.8).clip(max=0.7)))
    _draw_clutter(image, rng)
    # Also smooths the clutter, which ImageDraw draws without antialiasing.
    image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.4, 1.5)))
    return np.array(image, np.float32)


def _mask(tone: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(tone * 255, 0, 255).astype(np.uint8))


def _palette(rng: np.random.Generator) -> list[list[int]]:
    """Three muted neighbouring colours, [3][3] up to 255: only the objects are saturated."""
    hue, value = rng.random(), rng.uniform(0.3, 0.85)
    colors = [
        colorsys.hsv_to_rgb(
            (hue + rng.normal(0, 0.07)) % 1,
            rng.uniform(0.05, 0.35),
            np.clip(value + rng.uniform(-0.2, 0.2), 0.15, 0.95),
        )
        for _ in range(3)
    ]
    return np.round(np.array(colors) * 255).astype(int).tolist()


def _noise(height: int, width: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise float32 [height, width] around 0.5, with about ``cells`` hills per side."""
    grid = Image.fromarray(rng.random((cells + 2, cells + 2), np.float32))
    return np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))


def _blotches(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    octaves = ((4, 0.5), (11, 0.3), (40, 0.2))
    tone = np.zeros((height, width), np.float32)
    for cells, share in octaves:
        tone += share * _noise(height, width, cells, rng)
    # Spread over [0, 1]: the noise itself hardly leaves the middle.
    return tone * 1.6 - 0.3


def _horizon(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A sky that pales towards a wavy horizon, and ground that is rougher the nearer it is."""
    line = rng.uniform(0.3, 0.7) + 0.06 * _noise(2, width, 5, rng)[:1]
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    ground = 0.75 + 0.5 * (y - line) * (_noise(height, width, 60, rng) - 0.3)
    return np.where(y < line, 0.45 * y / line, ground).astype(np.float32)


def _planks(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Parallel bands at any angle, with soft joints and a grain along them."""
    angle = rng.uniform(0, np.pi)
    y, x = np.ogrid[:height, :width]
    across = (x * np.cos(angle) + y * np.sin(angle)) / rng.uniform(18, 60)
    across = across.astype(np.float32) + 0.4 * _noise(height, width, 4, rng)
    bands = 0.5 + 0.3 * np.sin(np.floor(across) * 2.4)
    joints = np.abs(across % 1 - 0.5) > 0.46
    return bands + 0.25 * (_noise(height, width, 30, rng) - 0.5) - 0.35 * joints


def _tiles(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A floor of tiles of uneven tone, with joints."""
    side = int(rng.integers(28, 80))
    rows, columns = (np.arange(n) + rng.integers(side) for n in (height, width))
    tones = rng.random((rows[-1] // side + 1, columns[-1] // side + 1), np.float32)
    tone = 0.3 + 0.4 * tones[rows[:, None] // side, columns[None, :] // side]
    joints = (rows[:, None] % side < 3) | (columns[None, :] % side < 3)
    return np.where(joints, 1.0, tone + 0.3 * (_noise(height, width, 8, rng) - 0.5))


def _gravel(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    return 0.7 * _noise(height, width, 90, rng) + 0.6 * _noise(height, width, 5, rng) - 0.15


def _lights(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Soft discs out of focus over a gradient."""
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(5, 14))):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(12, 60)
        around = [x - radius, y - radius, x + radius, y + radius]
        draw.ellipse(around, fill=int(rng.integers(40, 140)))
    discs = np.asarray(image.filter(ImageFilter.BoxBlur(2)), np.float32) / 255
    return discs + np.linspace(0, 0.5, height, dtype=np.float32)[:, None]


# Each draws float [height, width]: how much of the second colour, once it is clipped to [0, 1].
Pattern = Callable[[int, int, np.random.Generator], np.ndarray]
PATTERNS: tuple[Pattern, ...] = (_blotches, _horizon, _planks, _tiles, _gravel, _lights)


def _draw_clutter(image: Image.Image, rng: np.random.Generator) -> None:
    """Plain lines, discs and polygons, translucent and muted, that belong to no class."""
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(int(rng.integers(0, 6))):
        color = (*_palette(rng)[0], int(rng.integers(70, 190)))
        x, y = rng.uniform(0, image.width), rng.uniform(0, image.height)
        reach = rng.uniform(8, 70)
        # On a circle and sorted by angle, so that the sides of a polygon do not cross.
        corners = [
            (x + reach * np.cos(a), y + reach * np.sin(a))
            for a in np.sort(rng.uniform(0, 2 * np.pi, 4))
        ]
        kind = rng.integers(3)
        if kind == 0:
            end = (x + 3 * reach * rng.normal(), y + 3 * reach * rng.normal())
            draw.line([(x, y), end], fill=color, width=int(rng.integers(2, 7)))
        elif kind == 1:
            draw.ellipse([x - reach / 2, y - reach / 3, x + reach / 2, y + reach / 3], fill=color)
        else:
            draw.polygon(corners, fill=color)
