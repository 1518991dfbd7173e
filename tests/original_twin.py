"""The original's training samples in NumPy and OpenCV, step by step as its C++ makes them.

Independent of the package: sampler by sampler and trial by trial, in float64. Sources: Caffe SSD's
im_transforms.cpp, sampler.cpp, bbox_util.cpp and annotated_data_layer.cpp. M samples of one image
are drawn side by side, N objects; within a sampler windows and objects are [4, M], edge by edge.
"""

import cv2
import numpy as np

THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
MEAN = (123, 117, 104)
# One of these at random, with equal chances.
INTERPOLATIONS = (
    *(cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_NEAREST),
    *(cv2.INTER_CUBIC, cv2.INTER_LANCZOS4),
)


# Geometry.


def draw_windows(random, count):
    scale = random.uniform(0.3, 1.0, count)
    low, high = np.maximum(0.5, scale**2), np.minimum(2.0, scale**-2)
    return place(random, scale, low + random.random(count) * (high - low))


def place(random, scale, aspect):
    root = np.sqrt(aspect)
    return place_sides(random, scale / root, scale * root)


def place_sides(random, height, width):
    y = random.random(len(height)) * (1 - height)
    x = random.random(len(width)) * (1 - width)
    return np.stack([y, x, y + height, x + width])


def iou(a, b):
    height = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    width = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    common = np.maximum(height, 0) * np.maximum(width, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return common / (areas[0] + areas[1] - common)


RULES = {"draw": draw_windows, "holds": np.any, "trials": 50}


def sample(random, objects_N4M, limits, rules):
    """One sampler: the first windows with IoU within ``limits``; bool [M], whether there is one."""
    windows, waiting = np.zeros([4, objects_N4M.shape[2]]), np.arange(objects_N4M.shape[2])
    yields = np.zeros(len(waiting), bool)
    # Without objects no constraint holds, however often it is tried.
    for _ in range(rules["trials"] if len(objects_N4M) else 0):
        if not len(waiting):
            break
        drawn = rules["draw"](random, len(waiting))
        overlaps = iou(drawn, np.moveaxis(objects_N4M[:, :, waiting], 1, 0))
        good = rules["holds"]((overlaps >= limits[0]) & (overlaps <= limits[1]), axis=0)
        windows[:, waiting[good]] = drawn[:, good]
        yields[waiting[good]] = True
        waiting = waiting[~good]
    return windows, yields


def expand(random, size, count, max_expansion):
    ratio = np.where(random.random(count) < 0.5, random.uniform(1, max_expansion, count), 1.0)
    canvas = np.floor(size * ratio[:, None])
    return canvas, np.floor(random.random([count, 2]) * (canvas - size))


def crop(random, objects_N4M, rules=RULES):
    """Windows [M, 4], their samplers [M], and yields [M, 7]."""
    count = objects_N4M.shape[2]
    limits = [(threshold, np.inf) for threshold in THRESHOLDS] + [(-np.inf, 1.0)]
    whole = np.tile([[0.0], [0], [1], [1]], [1, count]), np.ones(count, bool)
    results = [whole] + [sample(random, objects_N4M, limit, rules) for limit in limits]
    yields = np.stack([yields for _, yields in results], axis=1)
    sampler = np.where(yields, random.random(yields.shape), -1).argmax(1)
    windows = np.stack([windows.T for windows, _ in results])
    return windows[sampler, np.arange(count)], sampler, yields


def mirror(boxes_MN4, mirrored):
    ymin, xmin, ymax, xmax = np.moveaxis(boxes_MN4, -1, 0)
    flipped = np.stack([ymin, 1 - xmax, ymax, 1 - xmin], axis=-1)
    return np.where(mirrored[:, None, None], flipped, boxes_MN4)


def frames(random, boxes, size, count, max_expansion, rules=RULES):
    """``count`` samples of an image of ``size`` with ``boxes`` [N, 4], by name.

    ``canvas``, ``offset``, ``low`` and ``sides`` are [M, 2] in pixels: the canvas, the image's
    place on it, the window's place and size. ``boxes`` [M, N, 4] are in the sample, ``kept`` [M, N]
    those whose centre is in the window; ``visible`` [M]: some of the image is.
    """
    canvas, offset = expand(random, size, count, max_expansion)
    pixels = boxes * np.tile(size, 2) + np.tile(offset, 2)[:, None]
    objects_N4M = np.ascontiguousarray(np.moveaxis(pixels / np.tile(canvas, 2)[:, None], 0, 2))
    window, sampler, yields = crop(random, objects_N4M, rules)
    low = np.floor(window[:, :2] * canvas + 1e-6)
    sides = np.floor((window[:, 2:] - window[:, :2]) * canvas + 1e-6)
    centers = (pixels[..., :2] + pixels[..., 2:]) / 2 - low[:, None]
    seen = np.concatenate(
        [np.maximum(low - offset, 0), np.minimum(low + sides - offset, size)], axis=1
    )
    mirrored = random.random(count) < 0.5

    def to_sample(box_MN4):
        return np.clip((box_MN4 - np.tile(low, 2)[:, None]) / np.tile(sides, 2)[:, None], 0, 1)

    return {
        "canvas": canvas,
        "offset": offset,
        "low": low,
        "sides": sides,
        "sampler": sampler,
        "yields": yields,
        "mirrored": mirrored,
        "visible": (seen[:, 2:] > seen[:, :2]).all(1),
        "seen": seen / np.tile(size, 2),
        "rectangle": mirror(to_sample((seen + np.tile(offset, 2))[:, None]), mirrored)[:, 0],
        "boxes": mirror(to_sample(pixels), mirrored),
        "kept": ((centers >= 0) & (centers <= sides[:, None])).all(-1),
    }


# Pixels, uint8 [H, W, 3] RGB.


def paint(pixels, canvas, offset, window, side, interpolation=cv2.INTER_LINEAR):
    """The sample: ``pixels`` on a canvas of the mean, of which ``window`` is cut and resized.

    All in whole pixels; ``window`` is (ymin, xmin, ymax, xmax) on the canvas.
    """
    whole = np.full([*np.int_(canvas), 3], MEAN, np.uint8)
    y, x = np.int_(offset)
    whole[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    ymin, xmin, ymax, xmax = np.int_(window)
    return cv2.resize(whole[ymin:ymax, xmin:xmax], (side, side), interpolation=interpolation)


# Colours.


def scaled(image, factor, delta=0.0):
    """OpenCV's saturating ``convertTo``, which Python has under another name."""
    return cv2.addWeighted(image, factor, image, 0.0, delta)


def in_hsv(image, channel, change):
    """Images of one column take the path of OpenCV that rounds, as all of Caffe's days did."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., channel] = change(np.ascontiguousarray(hsv[..., channel]))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def distort(image, row):
    """The whole distortion, as im_transforms.cpp orders OpenCV's calls.

    ``row``: brightness, contrast, saturation, hue, and 1 where contrast comes before the last two.
    """
    brightness, contrast, saturation, hue, contrast_first = (float(value) for value in row)
    if brightness:
        image = scaled(image, 1.0, brightness)
    if contrast_first and contrast != 1.0:
        image = scaled(image, contrast)
    if saturation != 1.0:
        image = in_hsv(image, 1, lambda plane: scaled(plane, saturation))
    if hue:
        image = in_hsv(image, 0, lambda plane: scaled(plane, 1.0, hue))
    if not contrast_first and contrast != 1.0:
        image = scaled(image, contrast)
    return image


def draw_colors(random):
    """A row of ``distort``: each change with probability 1/2, contrast first likewise."""
    drawn = random.uniform([-32, 0.5, 0.5, -18], [32, 1.5, 1.5, 18])
    return [*np.where(random.random(4) < 0.5, drawn, [0, 1, 1, 0]), random.random() < 0.5]
