"""A scene of the demo: objects laid over a background, and the truth about what stays visible."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from ssd_tfrecord.datasets.demo.backgrounds import draw_background
from ssd_tfrecord.datasets.demo.objects import CLASSES, draw_object

# (left, top, right, bottom) in whole pixels, right and bottom excluded.
Box = tuple[int, int, int, int]

# Sides as shares of the image's shorter side: what VOC calls difficult, a few that are small,
# and the rest, spread evenly on a logarithmic scale.
TINY, SMALL, LARGE = (0.035, 0.048), (0.08, 0.097), (0.2, 0.75)
# The least share of an object that must stay visible, and the share below which it is difficult.
MIN_VISIBLE = 0.1
DIFFICULT_BELOW = 0.25
# Above TINY, below SMALL: whole objects that are tiny are difficult, small ones are not.
DIFFICULT_SIDE = 0.05


@dataclass(frozen=True)
class SceneObject:
    """The truth about one object.

    ``box`` is tight around the pixels that are seen; ``visible`` is their share of all pixels that
    the object has.
    """

    name: str
    box: Box
    truncated: bool
    difficult: bool
    visible: float


@dataclass(frozen=True)
class Scene:
    """A drawn image and the truth about it.

    ``pixels`` is uint8 [H, W, 3]; ``owner`` int8 [H, W], the index of the object seen there, or -1.
    """

    pixels: np.ndarray
    owner: np.ndarray
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class _Plan:
    """An object before it is drawn, ``side`` pixels long.

    ``way`` is where it will be put: apart (from all others), over (one of them), or cut (by the
    border).
    """

    name: str
    side: float
    way: str


class _Canvas:
    """Pixels, float32 up to 255, and their owners while objects are laid, the nearer ones later.

    Each object has a name, a frame (the box of its sprite) and three counts of pixels: ``areas``
    (all), ``inside`` (the image) and ``seen`` (not hidden so far).
    """

    def __init__(self, pixels: np.ndarray, light: tuple[float, float]) -> None:
        self.pixels, self.light = pixels, light
        self.height, self.width = pixels.shape[:2]
        self.owner = np.full((self.height, self.width), -1, np.int8)
        self.names: list[str] = []
        self.frames: list[Box] = []
        self.areas, self.inside, self.seen = (np.zeros(0, int) for _ in range(3))

    def clip(
        self, left: int, top: int, mask: np.ndarray
    ) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Slices of the canvas and of ``mask`` [h, w] where they meet."""
        right, bottom = left + mask.shape[1], top + mask.shape[0]
        # An end is never before its start: a mask outside of the canvas has empty slices.
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = max(min(right, self.width), x0), max(min(bottom, self.height), y0)
        return np.s_[y0:y1, x0:x1], np.s_[y0 - top : y1 - top, x0 - left : x1 - left]

    def fits(self, left: int, top: int, solid: np.ndarray, apart: bool) -> bool:
        """Whether ``solid`` bool [h, w] and all that it covers would stay visible enough.

        Args:
            left: of the corner where it would be laid, in pixels.
            top: of the same corner.
            solid: the pixels that hide what is behind them.
            apart: whether it must touch no other object's frame.
        """
        here, part = self.clip(left, top, solid)
        frame = (left, top, left + solid.shape[1], top + solid.shape[0])
        if apart and any(_meet(frame, other) for other in self.frames):
            return False
        covered = self.owner[here][solid[part]]
        left_over = self.seen - self._count(covered)
        return covered.size >= MIN_VISIBLE * solid.sum() and bool(
            np.all(left_over >= MIN_VISIBLE * self.areas)
        )

    def _count(self, covered: np.ndarray) -> np.ndarray:
        """Pixels of each object among ``covered``, values of ``owner``."""
        # bincount accepts no negative numbers: the background's -1 becomes 0, and is cut off.
        return np.bincount(covered + 1, minlength=len(self.areas) + 1)[1:]

    def lay(self, name: str, left: int, top: int, rgb: np.ndarray, alpha: np.ndarray) -> None:
        """Draws an object in front of all others, with its shadow.

        Args:
            name: of its class.
            left: of the corner where it is laid, in pixels.
            top: of the same corner.
            rgb: float [h, w, 3] in [0, 1].
            alpha: float [h, w] in [0, 1].
        """
        # First, or it would darken the object too.
        self._cast_shadow(left, top, alpha)
        here, part = self.clip(left, top, alpha)
        cover = alpha[part][..., None]
        self.pixels[here] += (rgb[part] * 255 - self.pixels[here]) * cover
        # The truth is about whole pixels: each belongs to the object that covers more than half.
        solid = alpha > 0.5
        covered = self.owner[here][solid[part]]
        self.seen = np.append(self.seen - self._count(covered), covered.size)
        self.inside = np.append(self.inside, covered.size)
        self.areas = np.append(self.areas, solid.sum())
        self.owner[here][solid[part]] = len(self.names)
        self.names.append(name)
        self.frames.append((left, top, left + alpha.shape[1], top + alpha.shape[0]))

    def _cast_shadow(self, left: int, top: int, alpha: np.ndarray) -> None:
        reach = max(2, round(0.05 * max(alpha.shape)))
        # Padded, so that the blur is not cut off at the sprite's border.
        mask = Image.fromarray(np.pad(np.round(alpha * 255).astype(np.uint8), 2 * reach))
        shadow = np.asarray(mask.filter(ImageFilter.BoxBlur(reach)), np.float32) / 255
        # Away from the light, and back by the padding.
        shift_x, shift_y = (round(-reach * axis) - 2 * reach for axis in self.light)
        here, part = self.clip(left + shift_x, top + shift_y, shadow)
        self.pixels[here] *= 1 - 0.45 * shadow[part][..., None]


def compose_scene(rng: np.random.Generator) -> Scene:
    """Draws a scene of one to six objects; ``rng`` is the only source of its randomness."""
    height, width = _draw_size(rng)
    # From somewhere above: y points down, so these angles have a negative sine.
    angle = rng.uniform(-2.6, -0.5)
    canvas = _Canvas(draw_background(height, width, rng), (math.cos(angle), math.sin(angle)))
    for plan in _draw_plans(min(height, width), rng):
        rgb, alpha = draw_object(plan.name, plan.side, canvas.light, rng)
        # An object for which no place is found is left out.
        corner = _find_corner(canvas, plan.way, alpha > 0.5, rng)
        if corner:
            canvas.lay(plan.name, *corner, rgb, alpha)
    objects = tuple(_visible_object(canvas, index) for index in range(len(canvas.names)))
    return Scene(_develop(canvas.pixels, rng), canvas.owner, objects)


def _draw_size(rng: np.random.Generator) -> tuple[int, int]:
    # (height, width), shaped as VOC's images, more often landscape, but nearer to the 300 pixels
    # that a network sees: of VOC's 400 to 500 pixels, half as many again would have to be drawn.
    longer = int(rng.integers(320, 401))
    shorter = max(256, int(longer * rng.uniform(0.66, 0.95)))
    return (shorter, longer) if rng.random() < 0.65 else (longer, shorter)


def _draw_plans(shorter: int, rng: np.random.Generator) -> list[_Plan]:
    """The scene's objects, largest first: small ones are laid last, so none hides under another."""
    count = rng.choice(6, p=(0.1, 0.19, 0.27, 0.21, 0.14, 0.09)) + 1
    ranges = [(TINY, SMALL, LARGE)[i] for i in rng.choice(3, count, p=(0.03, 0.05, 0.92))]
    sides = sorted((math.exp(rng.uniform(*np.log(ends))) for ends in ranges), reverse=True)
    return [
        _Plan(
            name=list(CLASSES)[rng.integers(len(CLASSES))],
            side=side * shorter,
            way=rng.choice(("apart", "over", "cut"), p=(0.7, 0.18, 0.12))
            if side >= LARGE[0]
            else "apart",
        )
        for side in sides
    ]


def _find_corner(
    canvas: _Canvas, way: str, solid: np.ndarray, rng: np.random.Generator
) -> tuple[int, int] | None:
    """(left, top) for ``solid`` bool [h, w] laid in this ``way``, or None after 20 trials."""
    if way == "over" and not canvas.frames:
        way = "apart"
    corner_fn = {"apart": _corner_inside, "over": _corner_over, "cut": _corner_cut}[way]
    height, width = solid.shape
    for _ in range(20):
        corner = corner_fn(canvas, height, width, rng)
        if canvas.fits(*corner, solid, apart=way != "over"):
            return corner
    return None


def _corner_inside(
    canvas: _Canvas, height: int, width: int, rng: np.random.Generator
) -> tuple[int, int]:
    left = rng.integers(0, max(canvas.width - width, 0) + 1)
    return int(left), int(rng.integers(0, max(canvas.height - height, 0) + 1))


def _corner_over(
    canvas: _Canvas, height: int, width: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Near an object that is already there: from half beside it to well in front of it."""
    left, top, right, bottom = canvas.frames[rng.integers(len(canvas.frames))]
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.75)
    x = (left + right) / 2 + reach * np.cos(angle) * (right - left + width) / 2
    y = (top + bottom) / 2 + reach * np.sin(angle) * (bottom - top + height) / 2
    inside_x = np.clip(x - width / 2, 0, max(canvas.width - width, 0))
    inside_y = np.clip(y - height / 2, 0, max(canvas.height - height, 0))
    return round(inside_x), round(inside_y)


def _corner_cut(
    canvas: _Canvas, height: int, width: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Across one of the four borders, by between 6 and 81 % of its side."""
    left, top = _corner_inside(canvas, height, width, rng)
    # The power prefers small shares.
    outside = rng.uniform(0.12, 0.85) ** 1.3
    return (
        (-round(outside * width), top),
        (canvas.width - width + round(outside * width), top),
        (left, -round(outside * height)),
        (left, canvas.height - height + round(outside * height)),
    )[rng.integers(4)]


def _meet(first: Box, second: Box) -> bool:
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )


def _visible_object(canvas: _Canvas, index: int) -> SceneObject:
    seen = canvas.owner == index
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    visible = float(canvas.seen[index] / canvas.areas[index])
    side = max(box[2] - box[0], box[3] - box[1])
    tiny = side < DIFFICULT_SIDE * min(canvas.owner.shape)
    return SceneObject(
        name=canvas.names[index],
        box=box,
        truncated=bool(canvas.inside[index] < canvas.areas[index]),
        difficult=tiny or visible < DIFFICULT_BELOW,
        visible=visible,
    )


def _develop(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Adds exposure, a colour cast and sensor noise, in place; returns uint8 [H, W, 3]."""
    pixels *= (rng.uniform(0.8, 1.12) * rng.uniform(0.95, 1.05, 3)).astype(np.float32)
    noise = rng.integers(-128, 128, pixels.shape, np.int8)
    pixels += noise * np.float32(rng.uniform(2, 12) / 256)
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)
