"""Geometry first: SSD's expand, IoU crop and flip drawn from boxes and size alone, no pixel made.

Source: Caffe SSD (sampler.cpp, im_transforms.cpp, annotated_data_layer.cpp). All samplers and all
trials are drawn at once: S samplers, T trials, N objects.

The picture lies somewhere on a canvas (zoom-out), a window is cut from the canvas, and the window
becomes the sample. What a sample needs to know is the part of the picture in the window, and the
rectangle of the sample that this part fills, snapped to whole output pixels.
"""

import tensorflow as tf

from ssd_tfrecord.geometry import boxes as box_ops

MIN_SCALE, MAX_SCALE = 0.3, 1.0
MIN_ASPECT, MAX_ASPECT = 0.5, 2.0
EXPAND_PROBABILITY = 0.5
FLIP_PROBABILITY = 0.5

_EXPAND, _RATIO, _OFFSET_Y, _OFFSET_X, _PICK, _FLIP, _TRIALS = range(7)


def num_uniforms(options):
    """Random numbers that one sample takes."""
    if options.augmentation != "ssd":
        return _TRIALS
    return _TRIALS + (len(options.crop_min_ious) + 1) * options.crop_trials * 4


def frame(boxes_N4, size, uniforms, *, output_size, options):
    """Draws the frame of one training sample.

    Args:
        boxes_N4: float32 [N, 4] objects that the crop's IoU counts.
        size: int32 [2], the picture's height and width in pixels.
        uniforms: float32 [num_uniforms(options)] in [0, 1).
        output_size: side of the sample in pixels.
        options: ``FramingOptions``.

    Returns:
        A dict: ``window`` int32 [4], the pixels of the picture to show as y, x, height, width (at
        least 1 x 1); ``rectangle`` int32 [4], the output pixels that they fill as ymin, xmin, ymax,
        xmax (empty where the window misses the picture), after mirroring; ``mirrored`` bool;
        ``boxes`` float32 [N, 4] in the sample and ``kept`` bool [N]: the centre is in the window;
        ``sampler`` int32: 0 the whole canvas, then ``crop_min_ious`` in their order, last any
        window.
    """
    size = tf.cast(size, tf.float32)
    canvas, offset = size, tf.zeros([2])
    crop = tf.concat([offset, canvas], axis=0)
    sampler = 0
    if options.augmentation == "ssd":
        canvas, offset = _expand(size, uniforms, options.max_expansion)
        boxes_on_canvas = (boxes_N4 * tf.tile(size, [2]) + tf.tile(offset, [2])) / tf.tile(
            canvas, [2]
        )
        crop, sampler = _crop(boxes_on_canvas, uniforms, options)
        crop = _whole_pixels(crop, canvas)
    result = _render_plan(boxes_N4, size, offset, crop, output_size)
    mirrored = tf.constant(False)
    if options.augmentation != "none":
        mirrored = uniforms[_FLIP] < FLIP_PROBABILITY
        result = _mirror(result, mirrored, output_size)
    return {**result, "mirrored": mirrored, "sampler": tf.convert_to_tensor(sampler, tf.int32)}


def _expand(size, uniforms, max_expansion):
    """Canvas size and the picture's offset on it, float32 [2] each, in whole pixels."""
    ratio = 1.0 + uniforms[_RATIO] * (max_expansion - 1.0)
    ratio = tf.where(uniforms[_EXPAND] < EXPAND_PROBABILITY, ratio, 1.0)
    canvas = tf.floor(size * ratio)
    return canvas, tf.floor(uniforms[_OFFSET_Y : _OFFSET_X + 1] * (canvas - size))


def _crop(boxes_N4, uniforms, options):
    """The window that is picked, float32 [4] in [0, 1] of the canvas, and its sampler's number."""
    num_thresholds = len(options.crop_min_ious)
    windows_ST4 = _draw_windows(
        tf.reshape(uniforms[_TRIALS:], [4, num_thresholds + 1, options.crop_trials])
    )
    iou_STN = box_ops.iou(windows_ST4[:-1, :, tf.newaxis, :], boxes_N4)
    # Any object will do; without one the maximum is -inf and only the whole canvas is left.
    best_ST = tf.reduce_max(iou_STN, axis=2)
    accepted_ST = best_ST >= tf.constant(options.crop_min_ious)[:, tf.newaxis]
    first_S = tf.concat([tf.argmax(accepted_ST, axis=1), [0]], axis=0)
    yields_any = tf.shape(boxes_N4)[0] > 0
    yields_S = tf.concat([tf.reduce_any(accepted_ST, axis=1), [yields_any]], axis=0)
    choices = tf.concat(
        [[[0.0, 0.0, 1.0, 1.0]], tf.gather(windows_ST4, first_S, batch_dims=1)], axis=0
    )
    rank_S = tf.cumsum(tf.concat([[1], tf.cast(yields_S, tf.int32)], axis=0))
    # One of all that were yielded, uniformly: the first whose rank reaches the number drawn.
    drawn = 1 + tf.cast(uniforms[_PICK] * tf.cast(rank_S[-1], tf.float32), tf.int32)
    sampler = tf.argmax(rank_S >= drawn, output_type=tf.int32)
    return choices[sampler], sampler


def _draw_windows(uniforms_4ST):
    """Windows float32 [S, T, 4]: scale U(0.3, 1), aspect U(0.5, 2) within [s², 1/s²]."""
    scale = MIN_SCALE + uniforms_4ST[0] * (MAX_SCALE - MIN_SCALE)
    low = tf.maximum(MIN_ASPECT, tf.square(scale))
    high = tf.minimum(MAX_ASPECT, 1.0 / tf.square(scale))
    root = tf.sqrt(low + uniforms_4ST[1] * (high - low))
    width, height = scale * root, scale / root
    ymin, xmin = uniforms_4ST[2] * (1.0 - height), uniforms_4ST[3] * (1.0 - width)
    return tf.stack([ymin, xmin, ymin + height, xmin + width], axis=-1)


def _whole_pixels(crop, canvas):
    """Canvas fractions -> ymin, xmin, ymax, xmax in pixels, origin and size truncated."""
    # 1e-3 px: the whole canvas must not lose a pixel to float32.
    origin = tf.floor(crop[:2] * canvas + 1e-3)
    extent = tf.maximum(tf.floor((crop[2:] - crop[:2]) * canvas + 1e-3), 1.0)
    origin = tf.minimum(origin, canvas - extent)
    return tf.concat([origin, origin + extent], axis=0)


def _render_plan(boxes_N4, size, offset, crop, output_size):
    """Window, rectangle and boxes, before mirroring; ``crop`` is in canvas pixels."""
    low, high = crop[:2] - offset, crop[2:] - offset  # in pixels of the picture
    seen_low = tf.clip_by_value(low, 0.0, size - 1.0)
    seen_high = tf.clip_by_value(high, seen_low + 1.0, size)
    is_seen = tf.reduce_all((high > 0.0) & (low < size))
    scale = output_size / (high - low)
    # At least one pixel of what is seen, and never one beyond the sample.
    rect_low = tf.minimum(tf.round((seen_low - low) * scale), output_size - 1.0)
    rect_high = tf.maximum(tf.round((seen_high - low) * scale), rect_low + 1.0)
    # The very mapping that the pixels take: seen part -> rectangle.
    zoom = (rect_high - rect_low) / (seen_high - seen_low)
    pixels = boxes_N4 * tf.tile(size, [2])
    centers = box_ops.centers(pixels)
    kept = is_seen & tf.reduce_all((centers >= low) & (centers <= high), axis=1)
    mapped = (pixels - tf.tile(seen_low, [2])) * tf.tile(zoom, [2]) + tf.tile(rect_low, [2])
    mapped = tf.clip_by_value(mapped, tf.tile(rect_low, [2]), tf.tile(rect_high, [2]))
    rectangle = tf.concat([rect_low, rect_high], axis=0)
    return {
        "window": tf.cast(tf.concat([seen_low, seen_high - seen_low], axis=0), tf.int32),
        "rectangle": tf.where(is_seen, tf.cast(rectangle, tf.int32), 0),
        "boxes": mapped / output_size,
        "kept": kept,
    }


def _mirror(plan, mirrored, output_size):
    ymin, xmin, ymax, xmax = tf.unstack(plan["rectangle"])
    rectangle = tf.stack([ymin, output_size - xmax, ymax, output_size - xmin])
    moves = mirrored & (xmin < xmax)  # an empty rectangle stays [0, 0, 0, 0]
    return {
        **plan,
        "rectangle": tf.where(moves, rectangle, plan["rectangle"]),
        "boxes": tf.where(mirrored, box_ops.flip_left_right(plan["boxes"]), plan["boxes"]),
    }
