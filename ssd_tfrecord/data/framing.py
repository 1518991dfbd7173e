"""Geometry first: SSD's expand, IoU crop and flip, drawn from boxes and sizes before any pixel.

Source: Caffe SSD (im_transforms.cpp, annotated_data_layer.cpp). A whole batch is drawn at once:
B images, N objects, padded.

The image lies somewhere on a canvas (zoom-out), a window is cut from the canvas, and the window
becomes the sample. To render a sample it is enough to know the part of the image in the window, and
the rectangle of the sample that this part fills, snapped to whole output pixels.
"""

from typing import NamedTuple

import tensorflow as tf

from ssd_tfrecord.data import cropping
from ssd_tfrecord.geometry import boxes as box_ops
from ssd_tfrecord.options import FramingOptions

EXPAND_PROBABILITY = 0.5
FLIP_PROBABILITY = 0.5

# A JPEG can be decoded at full size, a half, a quarter or an eighth.
_REDUCTIONS = (1.0, 2.0, 4.0, 8.0)

# Columns of a sample's random numbers; those of the crop begin at the last.
_EXPAND, _RATIO, _OFFSET_Y, _OFFSET_X, _FLIP, _CROP = range(6)


class Frame(NamedTuple):
    """How B samples are cut from their images, whose N objects are padded.

    ``window`` int32 [B, 4]: the pixels of the image to show as y, x, height, width (at least 1 x
    1). ``reduction`` int32 [B]: 1 where they are decoded at full size, else 2, 4 or 8.
    ``rectangle`` int32 [B, 4]: the output pixels that they fill as ymin, xmin, ymax, xmax, after
    mirroring; empty where the window misses the image. ``placed``: the same before mirroring.
    ``mirrored`` bool [B]. ``boxes`` float32 [B, N, 4] in the sample. ``kept`` bool [B, N]: the
    centre is in the window, and what is left of the object is large enough. ``sampler`` int32 [B]:
    the crop sampler that the window comes from, numbered as in ``cropping``. ``yields``: bool, the
    samplers that found a window, as ``cropping.draw`` returns them; [B, 1] without a crop.
    """

    window: tf.Tensor
    reduction: tf.Tensor
    rectangle: tf.Tensor
    placed: tf.Tensor
    mirrored: tf.Tensor
    boxes: tf.Tensor
    kept: tf.Tensor
    sampler: tf.Tensor
    yields: tf.Tensor


def num_uniforms(options: FramingOptions) -> int:
    """Number of random numbers that one sample needs."""
    return _CROP + (cropping.num_uniforms(options) if options.augmentation == "ssd" else 0)


def frame(
    boxes_BN4: tf.Tensor,
    valid_BN: tf.Tensor,
    size_B2: tf.Tensor,
    uniforms_BK: tf.Tensor,
    *,
    output_size: int,
    options: FramingOptions,
    reduces: bool = False,
) -> Frame:
    """Draws the frames of a batch of training samples.

    Args:
        boxes_BN4: float32 [B, N, 4] objects that the crop's IoU counts.
        valid_BN: bool [B, N], False for padding.
        size_B2: int32 [B, 2], the images' heights and widths in pixels.
        uniforms_BK: float32 [B, num_uniforms(options)] in [0, 1).
        output_size: side of a sample in pixels.
        options: of framing.
        reduces: whether a large window may be decoded at a fraction of its size; its place and
            sides are then cut to multiples of ``reduction``: 2, 4 or 8.
    """
    size = tf.cast(size_B2, tf.float32)
    canvas, offset = size, tf.zeros_like(size)
    crop = tf.concat([offset, canvas], axis=1)
    sampler = tf.zeros_like(size_B2[:, 0])
    yields = tf.ones_like(sampler, tf.bool)[:, tf.newaxis]
    if options.augmentation == "ssd":
        canvas, offset = _expand(size, uniforms_BK, options.max_expansion)
        on_canvas = boxes_BN4 * _twice(size) + _twice(offset)
        crop, sampler, yields = cropping.draw(
            on_canvas / _twice(canvas), valid_BN, canvas, uniforms_BK[:, _CROP:], options
        )
    plan = _render_plan(boxes_BN4, size, offset, crop, output_size, reduces)
    large = _large_enough(plan["boxes"], output_size, options.min_box_size)
    straight = Frame(
        **plan | {"kept": plan["kept"] & valid_BN & large},
        placed=plan["rectangle"],
        mirrored=tf.zeros_like(size_B2[:, 0], tf.bool),
        sampler=sampler,
        yields=yields,
    )
    if options.augmentation == "none":
        return straight
    return _mirror(straight, uniforms_BK[:, _FLIP] < FLIP_PROBABILITY, output_size)


def _expand(
    size_B2: tf.Tensor, uniforms_BK: tf.Tensor, max_expansion: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Canvas sizes and the images' offsets on them, float32 [B, 2] each, in whole pixels."""
    ratio = 1.0 + uniforms_BK[:, _RATIO] * (max_expansion - 1.0)
    ratio = tf.where(uniforms_BK[:, _EXPAND] < EXPAND_PROBABILITY, ratio, 1.0)
    # Sizes and offsets are truncated, as in Caffe.
    canvas = tf.floor(size_B2 * ratio[:, tf.newaxis])
    return canvas, tf.floor(uniforms_BK[:, _OFFSET_Y : _OFFSET_X + 1] * (canvas - size_B2))


def _render_plan(
    boxes_BN4: tf.Tensor,
    size_B2: tf.Tensor,
    offset_B2: tf.Tensor,
    crop_B4: tf.Tensor,
    output_size: int,
    reduces: bool,
) -> dict[str, tf.Tensor]:
    """Window, rectangle and boxes, before mirroring; ``crop_B4`` is in canvas pixels."""
    low, high = crop_B4[:, :2] - offset_B2, crop_B4[:, 2:] - offset_B2  # in pixels of the image
    # At least one pixel is decoded, even where the window misses the image.
    seen_low = tf.clip_by_value(low, 0.0, size_B2 - 1.0)
    seen_high = tf.clip_by_value(high, seen_low + 1.0, size_B2)
    is_seen_B1 = tf.reduce_all((high > 0.0) & (low < size_B2), axis=1, keepdims=True)
    scale = output_size / (high - low)
    # What is seen fills at least one pixel, and none beyond the sample.
    rect_low = tf.minimum(tf.round((seen_low - low) * scale), output_size - 1.0)
    rect_high = tf.maximum(tf.round((seen_high - low) * scale), rect_low + 1.0)
    reduction = tf.ones_like(is_seen_B1, tf.float32)
    if reduces:
        sides = seen_high - seen_low
        # A side of 2 n - 1 pixels holds n aligned ones wherever it begins; a shorter one may not.
        times = tf.minimum(sides / (rect_high - rect_low), (sides + 1.0) / 2.0)
        times = tf.reduce_min(times, axis=1)
        reduction = tf.gather(_REDUCTIONS, tf.searchsorted(_REDUCTIONS[1:], times, "right"))
        reduction = reduction[:, tf.newaxis]
        seen_low = tf.math.ceil(seen_low / reduction) * reduction
        seen_high = tf.floor(seen_high / reduction) * reduction
    # Boxes are mapped exactly as the pixels are, seen part -> rectangle, snapping included.
    zoom = (rect_high - rect_low) / (seen_high - seen_low)
    pixels = boxes_BN4 * _twice(size_B2)
    centers = box_ops.centers(pixels)
    inside = (centers >= low[:, tf.newaxis]) & (centers <= high[:, tf.newaxis])
    mapped = (pixels - _twice(seen_low)) * _twice(zoom) + _twice(rect_low)
    # To the rectangle, not to the sample: with ``reduces`` the seen part ends before the window.
    mapped = tf.clip_by_value(mapped, _twice(rect_low), _twice(rect_high))
    rectangle = tf.cast(tf.concat([rect_low, rect_high], axis=1), tf.int32)
    return {
        "window": tf.cast(tf.concat([seen_low, seen_high - seen_low], axis=1), tf.int32),
        "reduction": tf.cast(reduction[:, 0], tf.int32),
        "rectangle": tf.where(is_seen_B1, rectangle, 0),
        "boxes": mapped / output_size,
        "kept": is_seen_B1 & tf.reduce_all(inside, axis=2),
    }


def _large_enough(boxes_BN4: tf.Tensor, output_size: int, min_box_size: float) -> tf.Tensor:
    sides = (boxes_BN4[..., 2:] - boxes_BN4[..., :2]) * output_size
    return tf.reduce_all(sides >= min_box_size, axis=2)


def _mirror(frame: Frame, mirrored_B: tf.Tensor, output_size: int) -> Frame:
    ymin, xmin, ymax, xmax = tf.unstack(frame.rectangle, axis=1)
    rectangle = tf.stack([ymin, output_size - xmax, ymax, output_size - xmin], axis=1)
    moves = mirrored_B & (xmin < xmax)  # an empty rectangle stays [0, 0, 0, 0]
    flipped = box_ops.flip_left_right(frame.boxes)
    return frame._replace(
        rectangle=tf.where(moves[:, tf.newaxis], rectangle, frame.rectangle),
        boxes=tf.where(mirrored_B[:, tf.newaxis, tf.newaxis], flipped, frame.boxes),
        mirrored=mirrored_B,
    )


def _twice(values_B2: tf.Tensor) -> tf.Tensor:
    """[B, 2] as (y, x) -> [B, 1, 4], for arithmetic with boxes."""
    return tf.tile(values_B2, [1, 2])[:, tf.newaxis]
