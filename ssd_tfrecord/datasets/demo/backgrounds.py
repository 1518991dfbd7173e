"""Backgrounds of the demo's scenes: muted colours blended by a pattern, with clutter on top."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def draw_background(height, width, rng):
    """RGB float32 [height, width, 3] up to 255, of a kind, palette and clutter drawn by ``rng``."""
    first, second, third = (tuple(color) for color in _palette(rng))
    pattern_fn = PATTERNS[rng.integers(len(PATTERNS))]
    image = Image.new("RGB", (width, height), first)
    image.paste(second, mask=_mask(pattern_fn(height, width, rng)))
    image.paste(third, mask=_mask((_noise(height, width, 3, rng) * 1.6 - 0.8).clip(max=0.7)))
    _draw_clutter(image, rng)
    image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.4, 1.5)))
    return np.array(image, np.float32)


def _mask(tone):
    return Image.fromarray(np.clip(tone * 255, 0, 255).astype(np.uint8))


def _palette(rng):
    """Three muted neighbours, ints [3, 3] of 255: the objects alone are saturated."""
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


def _noise(height, width, cells, rng):
    """Smooth noise [height, width] about 0.5, with about ``cells`` hills a side."""
    grid = Image.fromarray(rng.random((cells + 2, cells + 2), np.float32))
    return np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))


def _blotches(height, width, rng):
    octaves = ((4, 0.5), (11, 0.3), (40, 0.2))
    return sum(share * _noise(height, width, cells, rng) for cells, share in octaves) * 1.6 - 0.3


def _horizon(height, width, rng):
    """Sky that pales towards a wavy horizon, and ground that is rougher the nearer it is."""
    line = rng.uniform(0.3, 0.7) + 0.06 * _noise(2, width, 5, rng)[:1]
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    ground = 0.75 + 0.5 * (y - line) * (_noise(height, width, 60, rng) - 0.3)
    return np.where(y < line, 0.45 * y / line, ground).astype(np.float32)


def _planks(height, width, rng):
    """Parallel bands at any angle, with soft joints and a grain along them."""
    angle = rng.uniform(0, np.pi)
    y, x = np.ogrid[:height, :width]
    across = (x * np.cos(angle) + y * np.sin(angle)) / rng.uniform(18, 60)
    across = across.astype(np.float32) + 0.4 * _noise(height, width, 4, rng)
    bands = 0.5 + 0.3 * np.sin(np.floor(across) * 2.4)
    joints = np.abs(across % 1 - 0.5) > 0.46
    return bands + 0.25 * (_noise(height, width, 30, rng) - 0.5) - 0.35 * joints


def _tiles(height, width, rng):
    """A floor of tiles of uneven tone, with joints."""
    side = int(rng.integers(28, 80))
    rows, columns = (np.arange(n) + rng.integers(side) for n in (height, width))
    tones = rng.random((rows[-1] // side + 1, columns[-1] // side + 1), np.float32)
    tone = 0.3 + 0.4 * tones[rows[:, None] // side, columns[None, :] // side]
    joints = (rows[:, None] % side < 3) | (columns[None, :] % side < 3)
    return np.where(joints, 1.0, tone + 0.3 * (_noise(height, width, 8, rng) - 0.5))


def _gravel(height, width, rng):
    return 0.7 * _noise(height, width, 90, rng) + 0.6 * _noise(height, width, 5, rng) - 0.15


def _lights(height, width, rng):
    """Soft discs out of focus over a gradient."""
    discs = Image.new("L", (width, height))
    draw = ImageDraw.Draw(discs)
    for _ in range(int(rng.integers(5, 14))):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(12, 60)
        around = [x - radius, y - radius, x + radius, y + radius]
        draw.ellipse(around, fill=int(rng.integers(40, 140)))
    discs = np.asarray(discs.filter(ImageFilter.BoxBlur(2)), np.float32) / 255
    return discs + np.linspace(0, 0.5, height, dtype=np.float32)[:, None]


PATTERNS = (_blotches, _horizon, _planks, _tiles, _gravel, _lights)


def _draw_clutter(image, rng):
    """Plain lines, discs and polygons, see-through and muted, that are no object of any class."""
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(int(rng.integers(0, 9))):
        color = (*_palette(rng)[0], int(rng.integers(70, 190)))
        x, y = rng.uniform(0, image.width), rng.uniform(0, image.height)
        reach = rng.uniform(8, 70)
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
