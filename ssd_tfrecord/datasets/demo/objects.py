"""The demo's six classes, each a shape and a texture: formulas of u, v, at any size and angle.

Shapes live in u to the right and v down, both within [-1, 1]; a shape returns the distance to its
edge (positive inside), a texture RGB in [0, 1]. Both accept float32 [H, W] and broadcast.
"""

import colorsys
import math
from collections.abc import Callable

import numpy as np

# (u, v, proportion) -> distance to the edge, and (u, v, rng) -> RGB; ``proportion`` in [0, 1]
# varies a shape from one object to the next.
Shape = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
Texture = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]

# Below this side a sprite is drawn at twice its size and averaged, or its texture would alias.
SUPERSAMPLED_BELOW = 96


def draw_object(
    name: str, side: float, light: tuple[float, float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws an object of a class; colour, angle and proportions vary.

    Args:
        name: a key of CLASSES.
        side: about how many pixels the longer visible side has.
        light: (x, y), the direction that the light comes from, of length 1.
        rng: the source of all randomness.

    Returns:
        ``rgb`` float32 [H, W, 3] in [0, 1] and ``alpha`` float32 [H, W] in [0, 1], with a narrow
        transparent margin.
    """
    shape_fn, texture_fn, max_tilt = CLASSES[name]
    proportion = rng.random()
    angle = rng.uniform(-max_tilt, max_tilt)
    mirror = 1 - 2 * int(rng.integers(2))
    cos, sin = math.cos(angle), math.sin(angle)

    def turned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return mirror * (cos * x + sin * y), cos * y - sin * x

    # Coarsely first, to see how far the turned shape extends. Its corners are at most sqrt(2) from
    # the middle.
    coarse = np.linspace(-1.45, 1.45, 88, dtype=np.float32)
    inside = shape_fn(*turned(coarse[None, :], coarse[:, None]), proportion) > 0
    columns, rows = coarse[inside.any(axis=0)], coarse[inside.any(axis=1)]
    factor = 2 if side < SUPERSAMPLED_BELOW else 1
    step = float(coarse[1] - coarse[0])
    scale = factor * side / (float(max(np.ptp(columns), np.ptp(rows))) + step)
    x, y = (_pixel_centers(extent, step, scale, factor) for extent in (columns, rows))
    u, v = turned(x[None, :], y[:, None])
    distance = shape_fn(u, v, proportion)
    rgb = np.clip(texture_fn(u, v, rng) * _shading(distance, scale, light)[..., None], 0, 1)
    # The edge is a ramp of one pixel, half of it on each side.
    alpha = np.clip(distance * scale + 0.5, 0, 1)
    return (_halve(rgb), _halve(alpha)) if factor == 2 else (rgb, alpha)


def _pixel_centers(extent: np.ndarray, step: float, scale: float, factor: int) -> np.ndarray:
    """Coordinates of the pixels that cover ``extent`` and two steps around, for sharp tips."""
    # A multiple of ``factor``, since so many pixels become one.
    count = factor * math.ceil((float(np.ptp(extent)) + 4 * step) * scale / factor + 2)
    middle = (extent[0] + extent[-1]) / 2
    return (middle + (np.arange(count) - (count - 1) / 2) / scale).astype(np.float32)


def _halve(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels."""
    # Slices are ten times as fast as a mean over two axes.
    rows = image[::2] + image[1::2]
    return (rows[:, ::2] + rows[:, 1::2]) / 4


def _shading(distance: np.ndarray, scale: float, light: tuple[float, float]) -> np.ndarray:
    """Brightness of a pillow that rises from the edge over half a unit, in place of a 3-D model."""
    rise = np.clip(distance / 0.5, 0, 1)
    height = 0.5 * np.sqrt(1 - (1 - rise) ** 2)
    slope_y, slope_x = np.gradient(height, np.float32(1 / scale))
    # Clipped, since the quarter circle is vertical at the edge.
    slope = np.clip(light[0] * slope_x + light[1] * slope_y, -1.5, 1.5)
    return 1 - 0.25 * slope


def _color(
    rng: np.random.Generator,
    hue: tuple[float, float],
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> np.ndarray:
    """RGB float32 [3] drawn from three ranges; hue wraps at 1."""
    drawn = (rng.uniform(*hue) % 1, rng.uniform(*saturation), rng.uniform(*value))
    return np.array(colorsys.hsv_to_rgb(*drawn), np.float32)


def _mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """``first`` where ``share`` [H, W] is 0, ``second`` where it is 1; colours [3] or [H, W, 3]."""
    share = np.asarray(share, np.float32)[..., None]
    return first + (second - first) * share


def _ball(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    # A ball is round whatever its proportion.
    return 1 - np.hypot(u, v) + 0 * proportion


def _ball_texture(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A beach ball: meridians of a sphere that is turned towards the viewer."""
    tilt = rng.uniform(0.3, 1.0)
    cos, sin = math.cos(tilt), math.sin(tilt)
    z = np.sqrt(np.clip(1 - u * u - v * v, 0, 1))
    pole = v * sin + z * cos
    longitude = np.arctan2(v * cos - z * sin, u)
    white = np.full(3, 0.95, np.float32)
    red, yellow, blue = (
        _color(rng, (hue - 0.03, hue + 0.03), (0.75, 0.95), (0.75, 1.0)) for hue in (0.0, 0.14, 0.6)
    )
    palette = np.stack([red, white, yellow, white, blue, white])
    sector = np.floor((longitude / np.pi + rng.random()) * 3).astype(int) % 6
    return _mix(palette[sector], white, pole > 0.96)


def _lifebuoy(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    half_width = 0.2 + 0.07 * proportion
    return half_width - np.abs(np.hypot(u, v) - 1 + half_width)


def _lifebuoy_texture(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    paint = _color(rng, (-0.03, 0.05), (0.8, 0.95), (0.8, 0.95))
    turn = np.arctan2(v, u) / (2 * np.pi) + 0.5
    bands = np.abs((turn * 4) % 1 - 0.5) < rng.uniform(0.14, 0.24)
    return _mix(paint, np.full(3, 0.95, np.float32), bands)


def _crate(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    return np.minimum(1 - np.abs(u), 0.72 + 0.28 * proportion - np.abs(v))


def _crate_texture(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Planks between a frame, held by a brace."""
    wood = _color(rng, (0.05, 0.09), (0.55, 0.8), (0.6, 0.85))
    edge = np.abs(np.stack(np.broadcast_arrays(u, v))).max(axis=0)
    plank = (v + 1) * rng.integers(2, 4)
    tone = 0.78 + 0.12 * np.sin(np.floor(plank) * 2.7) + 0.05 * np.sin(u * 9 + v * 43)
    tone = np.where(np.abs(plank % 1 - 0.5) > 0.42, 0.35, tone)
    brace = np.abs(u - v) / 1.4
    tone = np.where(brace < 0.2, np.where(brace < 0.15, 1.12, 0.45), tone)
    frame = np.where(edge < 0.8, 0.45, 1.05 + 0.06 * np.sin((u - v) * 21))
    return wood * np.where(edge > 0.75, frame, tone)[..., None].astype(np.float32)


def _leaf(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    along = np.clip((u + 0.65) / 1.65, 0, 1)
    width = (0.5 + 0.16 * proportion) * np.sin(np.pi * along**0.8).clip(0) ** 0.85
    stem = np.minimum(0.05 - np.abs(v), 0.7 - np.abs(u + 0.3))
    return np.maximum(0.85 * (width - np.abs(v)) - 0.02, stem)


def _leaf_texture(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    green = _color(rng, (0.3, 0.4), (0.7, 0.95), (0.6, 0.95))
    veins = np.abs((u - 0.8 * np.abs(v)) * rng.uniform(3.5, 5) % 1 - 0.5) < 0.1
    veins = np.maximum(veins * 0.6, np.abs(v) < 0.045)
    return _mix(green * (1 - 0.25 * (v > 0))[..., None].astype(np.float32), green + 0.35, veins)


def _starfish(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    radius = np.hypot(u, v)
    arm = 0.5 + 0.5 * np.cos(5 * np.arctan2(u, -v))
    inner = 0.33 + 0.1 * proportion
    return 0.6 * (inner + (1 - inner) * arm**1.6 - radius)


def _starfish_texture(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light warts in rows along the arms."""
    skin = _color(rng, (0.83, 0.95), (0.6, 0.85), (0.7, 0.95))
    radius = np.hypot(u, v)
    around = np.cos(5 * np.arctan2(u, -v))
    warts = (np.sin(radius * rng.uniform(20, 26)) > 0.1) & (around > 0.82)
    return _mix(_mix(skin, skin * 0.7, radius < 0.3), np.minimum(skin + 0.4, 1), warts)


def _fish(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    height = 0.46 + 0.14 * proportion
    body = (1 - np.hypot((u - 0.25) / 0.75, v / height)) * height
    tail = np.minimum(0.6 * (-u - 0.28 - 0.9 * np.abs(v)) + 0.12, u + 1)
    return np.maximum(body, tail)


def _fish_texture(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bands across, a pale belly and an eye."""
    scales = _color(rng, (0.5, 0.66), (0.65, 0.9), (0.65, 0.95))
    bands = np.sin((u + 0.15 * v * v) * rng.uniform(9, 13)) > 0.35
    rgb = _mix(scales, scales * 0.45, bands & (u < 0.5))
    rgb = _mix(rgb, np.array([0.9, 0.95, 0.9], np.float32), np.clip(v * 2.2, 0, 0.6))
    eye = np.hypot(u - 0.68, v + 0.08)
    rgb = _mix(rgb, np.ones(3, np.float32), eye < 0.12)
    return _mix(rgb, np.zeros(3, np.float32), eye < 0.065)


# name: shape, texture, largest turn in radians. Crates and fish have an upright position.
CLASSES: dict[str, tuple[Shape, Texture, float]] = {
    "ball": (_ball, _ball_texture, np.pi),
    "crate": (_crate, _crate_texture, 0.4),
    "fish": (_fish, _fish_texture, 0.6),
    "leaf": (_leaf, _leaf_texture, np.pi),
    "lifebuoy": (_lifebuoy, _lifebuoy_texture, np.pi),
    "starfish": (_starfish, _starfish_texture, np.pi),
}
