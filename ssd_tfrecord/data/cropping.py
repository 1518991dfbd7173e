"""The crop's window, drawn from boxes alone: the original's samplers, torchvision's, mmdetection's.

Axes: B images, S crop samplers with a minimum (two more have none) or A attempts, T trials, N
objects. All trials of all samplers of a batch are drawn at once. Samplers are numbered: 0 is the
whole canvas, then come ``crop_min_ious`` in their order, and last the one that accepts any window.
"""

from collections.abc import Sequence

import tensorflow as tf

from ssd_tfrecord.options import FramingOptions

# Sides are fractions of the canvas; aspect is width / height.
MIN_SIDE, MAX_SIDE = 0.3, 1.0
MIN_ASPECT, MAX_ASPECT = 0.5, 2.0

# torchvision and mmdetection draw another sampler until one succeeds. One attempt in seven takes
# the whole canvas, and one accepts any window, which nearly always exists. Where nothing else fits,
# all 12 attempts fail in (5/7)^12 = 1.8 % of cases and the whole canvas is shown, wrongly in half
# of them. Without objects torchvision ends with the whole canvas in any case.
ATTEMPTS = 12


def num_uniforms(options: FramingOptions) -> int:
    """Number of random numbers that one window needs."""
    # Four per trial, and one to choose the sampler: of the window, or of each attempt.
    if options.crop_semantics == "original":
        return 1 + (len(options.crop_min_ious) + 1) * options.crop_trials * 4
    return ATTEMPTS * (1 + options.crop_trials * 4)


def draw(
    boxes_BN4: tf.Tensor,
    valid_BN: tf.Tensor,
    canvas_B2: tf.Tensor,
    uniforms_BK: tf.Tensor,
    options: FramingOptions,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The windows of a batch.

    Args:
        boxes_BN4: float32 [B, N, 4] objects in [0, 1] of the canvas.
        valid_BN: bool [B, N], False for padding.
        canvas_B2: float32 [B, 2], height and width in whole pixels.
        uniforms_BK: float32 [B, num_uniforms(options)] in [0, 1).
        options: of framing; those that begin with ``crop_`` are used.

    Returns:
        ``windows`` float32 [B, 4] as ymin, xmin, ymax, xmax in pixels of the canvas, whole numbers,
        at least 1 x 1; ``samplers`` int32 [B], the sampler that each window comes from; ``yields``
        bool [B, S + 2], the samplers that found a window (for the attempts, [B, A]).
    """
    draw_fn = {"original": _original, "torchvision": _torchvision, "mmdetection": _mmdetection}
    # Four tensors of edges instead of one of boxes: no trial's window is ever stacked.
    boxes = [edge[:, tf.newaxis, tf.newaxis, :] for edge in tf.unstack(boxes_BN4, axis=2)]
    valid = valid_BN[:, tf.newaxis, tf.newaxis, :]
    return draw_fn[options.crop_semantics](boxes, valid, canvas_B2, uniforms_BK, options)


def _original(
    boxes: Sequence[tf.Tensor],
    valid: tf.Tensor,
    canvas_B2: tf.Tensor,
    uniforms_BK: tf.Tensor,
    options: FramingOptions,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Caffe SSD, sampler.cpp: each sampler's first fitting window, then one of those found.

    Scale s is U(0.3, 1), aspect U(0.5, 2) within [s², 1/s²]; the IoU with any object must reach the
    sampler's minimum. The last sampler takes its first window if there is any object.
    """
    thresholds_S = tf.constant(options.crop_min_ious, tf.float32)
    num_samplers = len(options.crop_min_ious) + 1
    uniforms = tf.reshape(uniforms_BK[:, 1:], [-1, 4, num_samplers, options.crop_trials])
    windows = _scale_and_aspect_windows(*tf.unstack(uniforms, axis=1))
    # The last sampler accepts any window, so its IoUs are not needed.
    iou_BSTN = _iou([edge[:, :-1, :, tf.newaxis] for edge in windows], boxes)
    accepted_BST = tf.reduce_any(
        (iou_BSTN >= thresholds_S[:, tf.newaxis, tf.newaxis]) & valid, axis=3
    )
    any_object_B1 = tf.reduce_any(valid, axis=[1, 2, 3])[:, tf.newaxis]
    yields_BS = tf.concat(
        [tf.ones_like(any_object_B1), tf.reduce_any(accepted_BST, axis=2), any_object_B1], axis=1
    )
    # One of the samplers that found a window, uniformly: the first whose rank exceeds the draw.
    rank_BS = tf.cumsum(tf.cast(yields_BS, tf.int32), axis=1)
    drawn_B = tf.cast(uniforms_BK[:, 0] * tf.cast(rank_BS[:, -1], tf.float32), tf.int32)
    sampler_B = tf.argmax(rank_BS > drawn_B[:, tf.newaxis], axis=1, output_type=tf.int32)
    first_BS = tf.pad(_first(accepted_BST), [[0, 0], [0, 1]])
    # Sampler 0, the whole canvas, has no windows among those drawn.
    window_B4 = _taken(windows, first_BS, sampler_B - 1)
    window_B4 = tf.where(sampler_B[:, tf.newaxis] > 0, window_B4, [0.0, 0.0, 1.0, 1.0])
    return _whole_pixels(window_B4, canvas_B2), sampler_B, yields_BS


def _scale_and_aspect_windows(
    scale: tf.Tensor, aspect: tf.Tensor, y: tf.Tensor, x: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """ymin, xmin, ymax, xmax of windows, each of the shape of the four uniforms."""
    scale = MIN_SIDE + scale * (MAX_SIDE - MIN_SIDE)
    # Aspects outside [s², 1/s²] would make a side longer than the canvas.
    low = tf.maximum(MIN_ASPECT, tf.square(scale))
    high = tf.minimum(MAX_ASPECT, 1.0 / tf.square(scale))
    root = tf.sqrt(low + aspect * (high - low))
    height, width = scale / root, scale * root
    ymin, xmin = y * (1.0 - height), x * (1.0 - width)
    return ymin, xmin, ymin + height, xmin + width


def _torchvision(
    boxes: Sequence[tf.Tensor],
    valid: tf.Tensor,
    canvas_B2: tf.Tensor,
    uniforms_BK: tf.Tensor,
    options: FramingOptions,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Torchvision's RandomIoUCrop: the minima, the whole canvas, and any window (minimum 0).

    Height and width are drawn independently and truncated to whole pixels, and their ratio must lie
    in [0.5, 2]; the IoU with any object *whose centre is inside* must reach the minimum.
    """
    sampler_BA, minimum, uniforms = _attempts(uniforms_BK, options)
    height, width = _pixels(canvas_B2)
    rows, columns = tf.floor(_side(uniforms[0]) * height), tf.floor(_side(uniforms[1]) * width)
    top, left = tf.floor((height - rows) * uniforms[2]), tf.floor((width - columns) * uniforms[3])
    windows = top / height, left / width, (top + rows) / height, (left + columns) / width
    inside_BATN, iou_BATN = _centers_inside(windows, boxes) & valid, _overlaps(windows, boxes)
    accepted_BAT = tf.reduce_any(inside_BATN & (iou_BATN >= minimum), axis=3)
    accepted_BAT &= _fits_aspect(rows, columns)
    return _first_attempt(windows, accepted_BAT, sampler_BA, canvas_B2)


def _mmdetection(
    boxes: Sequence[tf.Tensor],
    valid: tf.Tensor,
    canvas_B2: tf.Tensor,
    uniforms_BK: tf.Tensor,
    options: FramingOptions,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Mmdetection's MinIoURandomCrop: as torchvision's, but *every* object's IoU must reach it.

    Corners, not sizes, are truncated to whole pixels, and some object's centre must be inside;
    without objects any window is accepted. The upper left corner lies between 1 pixel and the room
    that is left, because mmdetection calls ``numpy.random.uniform(room)``, whose range is from room
    to 1: unless less than 1 pixel is left, no window begins at the first pixel.
    """
    sampler_BA, minimum, uniforms = _attempts(uniforms_BK, options)
    height, width = _pixels(canvas_B2)
    rows, columns = _side(uniforms[0]) * height, _side(uniforms[1]) * width
    top = 1.0 + (height - rows - 1.0) * uniforms[2]
    left = 1.0 + (width - columns - 1.0) * uniforms[3]
    corners = [tf.floor(edge) for edge in (top, left, top + rows, left + columns)]
    windows = [edge / side for edge, side in zip(corners, (height, width) * 2)]
    accepted_BAT = tf.reduce_all((_overlaps(windows, boxes) >= minimum) | ~valid, axis=3)
    inside_BAT = tf.reduce_any(_centers_inside(windows, boxes) & valid, axis=3)
    accepted_BAT &= inside_BAT | ~tf.reduce_any(valid, axis=3)
    accepted_BAT &= _fits_aspect(rows, columns)
    return _first_attempt(windows, accepted_BAT, sampler_BA, canvas_B2)


def _attempts(
    uniforms_BK: tf.Tensor, options: FramingOptions
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """The sampler of each attempt, int32 [B, A], its minimum [B, A, 1, 1], four uniforms [B, A, T].

    The whole canvas has a minimum of 0 here, but is accepted in any case.
    """
    minima = tf.constant([0.0, *options.crop_min_ious, 0.0])
    lots_BA, trials = uniforms_BK[:, :ATTEMPTS], uniforms_BK[:, ATTEMPTS:]
    sampler_BA = tf.cast(lots_BA * float(len(options.crop_min_ious) + 2), tf.int32)
    trials = tf.reshape(trials, [-1, 4, ATTEMPTS, options.crop_trials])
    return sampler_BA, tf.gather(minima, sampler_BA)[:, :, None, None], tf.unstack(trials, axis=1)


def _first_attempt(
    windows: Sequence[tf.Tensor],
    accepted_BAT: tf.Tensor,
    sampler_BA: tf.Tensor,
    canvas_B2: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The window of the first attempt that succeeds; the whole canvas where none does."""
    yields_BA = tf.reduce_any(accepted_BAT, axis=2) | (sampler_BA == 0)
    attempt_B = _first(yields_BA)
    sampler_B = tf.gather(sampler_BA, attempt_B, batch_dims=1)
    sampler_B = tf.where(tf.reduce_any(yields_BA, axis=1), sampler_B, 0)
    window_B4 = _taken(windows, _first(accepted_BAT), attempt_B)
    window_B4 = tf.where(sampler_B[:, tf.newaxis] > 0, window_B4, [0.0, 0.0, 1.0, 1.0])
    return _whole_pixels(window_B4, canvas_B2), sampler_B, yields_BA


def _side(uniforms: tf.Tensor) -> tf.Tensor:
    return MIN_SIDE + uniforms * (MAX_SIDE - MIN_SIDE)


def _pixels(canvas_B2: tf.Tensor) -> list[tf.Tensor]:
    """Height and width, [B, 1, 1] each."""
    return tf.unstack(canvas_B2[:, :, tf.newaxis, tf.newaxis], axis=1)


def _fits_aspect(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    # On a canvas of a few pixels, a window may be truncated to no rows at all.
    aspect = columns / tf.maximum(rows, 1.0)
    return (aspect >= MIN_ASPECT) & (aspect <= MAX_ASPECT)


def _centers_inside(windows: Sequence[tf.Tensor], boxes: Sequence[tf.Tensor]) -> tf.Tensor:
    """Bool [B, A, T, N]: an object's centre lies within a window, not on its border."""
    ymin, xmin, ymax, xmax = [edge[..., tf.newaxis] for edge in windows]
    y, x = (boxes[0] + boxes[2]) / 2.0, (boxes[1] + boxes[3]) / 2.0
    return (y > ymin) & (y < ymax) & (x > xmin) & (x < xmax)


def _overlaps(windows: Sequence[tf.Tensor], boxes: Sequence[tf.Tensor]) -> tf.Tensor:
    return _iou([edge[..., tf.newaxis] for edge in windows], boxes)


def _iou(windows: Sequence[tf.Tensor], boxes: Sequence[tf.Tensor]) -> tf.Tensor:
    """IoU of boxes as four edges each, which broadcast; 0 without area.

    Does not use ``geometry.boxes``, which would need the many windows stacked.
    """
    height = tf.minimum(windows[2], boxes[2]) - tf.maximum(windows[0], boxes[0])
    width = tf.minimum(windows[3], boxes[3]) - tf.maximum(windows[1], boxes[1])
    common = tf.maximum(height, 0.0) * tf.maximum(width, 0.0)
    areas = [(edges[2] - edges[0]) * (edges[3] - edges[1]) for edges in (windows, boxes)]
    return common / tf.maximum(areas[0] + areas[1] - common, 1e-12)


def _first(accepted: tf.Tensor) -> tf.Tensor:
    """Index of the first True of the last axis, int32; 0 where there is none."""
    # argmax returns the first of equal maxima.
    return tf.argmax(accepted, axis=-1, output_type=tf.int32)


def _taken(windows: Sequence[tf.Tensor], trial_BS: tf.Tensor, sampler_B: tf.Tensor) -> tf.Tensor:
    """Edges [B, S, T] -> float32 [B, 4] at ``trial_BS`` of ``sampler_B``; any if it is below 0."""
    sampler_B = tf.maximum(sampler_B, 0)
    trial_B = tf.gather(trial_BS, sampler_B, batch_dims=1)
    at_B2 = tf.stack([sampler_B, trial_B], axis=1)
    return tf.stack([tf.gather_nd(edge, at_B2, batch_dims=1) for edge in windows], axis=1)


def _whole_pixels(window_B4: tf.Tensor, canvas_B2: tf.Tensor) -> tf.Tensor:
    """Canvas fractions -> ymin, xmin, ymax, xmax in pixels, origin and size truncated."""
    # 1e-3 px: the whole canvas must not lose a pixel to float32 rounding.
    origin = tf.floor(window_B4[:, :2] * canvas_B2 + 1e-3)
    extent = tf.floor((window_B4[:, 2:] - window_B4[:, :2]) * canvas_B2 + 1e-3)
    extent = tf.maximum(extent, 1.0)
    # A window that was widened to 1 pixel must not reach beyond the canvas.
    origin = tf.minimum(origin, canvas_B2 - extent)
    return tf.concat([origin, origin + extent], axis=1)
