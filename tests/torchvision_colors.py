"""torchvision's colour distortion of its SSD recipe, in NumPy.

Source: RandomPhotometricDistort (torchvision, transforms/v2/_color.py) with its defaults, and the
kernels for uint8 that it calls (functional/_color.py): each cuts to whole levels, where the
original rounds. Images are uint8 [H, W, 3] RGB.
"""

import cv2
import numpy as np

# Of brightness, contrast and saturation a factor, of hue a part of the circle.
RANGES = {
    "brightness": (0.875, 1.125),
    "contrast": (0.5, 1.5),
    "saturation": (0.5, 1.5),
    "hue": (-0.05, 0.05),
}


def cut(levels):
    return np.clip(levels, 0, 255).astype(np.uint8)


def grey(image):
    """Float32 [H, W, 1], whole levels."""
    return np.floor(image @ np.float32([0.2989, 0.587, 0.114]))[..., None]


def blend(image, other, factor):
    return cut(image * np.float32(factor) + other * np.float32(1 - factor))


def brightness(image, factor):
    return cut(image * np.float32(factor))


def contrast(image, factor):
    return blend(image, grey(image).mean(dtype=np.float64), factor)


def saturation(image, factor):
    return blend(image, grey(image), factor)


def hue(image, turn):
    hsv = cv2.cvtColor(np.float32(image) / 255, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + np.float32(360 * turn)) % 360
    # 1.0 becomes 255, and all levels below get equal parts of what lies between.
    return cut(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * np.float32(256 - 1e-3))


OPERATIONS = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}


def draw(random):
    """The operations of a sample in their order, [(name, value)], and an order of the channels."""
    drawn = {name: random.uniform(*limits) for name, limits in RANGES.items()}
    used = random.random(4) < 0.5
    contrast_first = random.random() < 0.5
    order = ["brightness", "contrast", "saturation", "hue"]
    if not contrast_first:
        order = ["brightness", "saturation", "hue", "contrast"]
    kept = {name for name, use in zip(RANGES, used) if use}
    channels = random.permutation(3) if random.random() < 0.5 else np.arange(3)
    return [(name, drawn[name]) for name in order if name in kept], channels


def distort(image, operations, channels):
    for name, value in operations:
        image = OPERATIONS[name](image, value)
    return image[..., channels]
