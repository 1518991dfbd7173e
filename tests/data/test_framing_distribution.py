"""Framing draws what the original draws: distributions against an independent NumPy twin.

The twin goes sampler by sampler and trial by trial as the original does, in float64, and knows
nothing of ``framing``; only images are drawn side by side. Both sides are reduced to what a sample
shows (part of the picture, rectangle, boxes), and the crop is worked back from that.

Limits: every comparison may be off by what chance gives once in 1.7 million, 5 sigma, so some
thousand comparisons at fixed seeds have no false alarm to expect. For shares that is 5 standard
errors of the difference; for distributions, Kolmogorov-Smirnov's distance at the same level.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.data import framing
from ssd_tfrecord.options import FramingOptions

LAYOUTS = {
    "one": [[0.2, 0.3, 0.7, 0.8]],
    "small": [[0.4, 0.35, 0.6, 0.6]],
    "many": [
        [0.05, 0.05, 0.25, 0.2],
        [0.1, 0.5, 0.45, 0.95],
        [0.3, 0.1, 0.95, 0.6],
        [0.5, 0.55, 0.7, 0.65],
        [0.6, 0.7, 1.0, 1.0],
        [0.0, 0.3, 0.1, 0.4],
    ],
    "tiny": [[0.5, 0.4, 0.53, 0.42], [0.1, 0.9, 0.13, 0.95]],
    "huge": [[0.02, 0.0, 0.99, 0.97]],
    "none": [],
}
THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
TRIALS = 50
# Kind -> largest expansion and picture. Without zoom-out the crop is the sample, and whole pixels
# of a large picture are as good as fractions; with it the picture is an ordinary one.
KINDS = {"crop": (1.0, (20000, 20000)), "expand": (4.0, (375, 500))}
FAST, SLOW, CHUNK = 20_000, 100_000, 2000
OUTPUT = 1_000_000  # so fine that snapping to output pixels does not matter
KS_LEVEL = np.sqrt(np.log(2 / 5.7e-7) / 2)


# The twin. M images, N objects; every array has M rows.


def draw_windows(random, count):
    scale = random.uniform(0.3, 1.0, count)
    low, high = np.maximum(0.5, scale**2), np.minimum(2.0, scale**-2)
    return place(random, scale, low + random.random(count) * (high - low))


def place(random, scale, aspect):
    return place_sides(random, scale / np.sqrt(aspect), scale * np.sqrt(aspect))


def place_sides(random, height, width):
    y = random.random(len(height)) * (1 - height)
    x = random.random(len(width)) * (1 - width)
    return np.stack([y, x, y + height, x + width], axis=1)


def area(box):
    return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])


def iou(window_M4, boxes_MN4):
    window = window_M4[:, None, :]
    sides = np.minimum(window[..., 2:], boxes_MN4[..., 2:]) - np.maximum(
        window[..., :2], boxes_MN4[..., :2]
    )
    common = np.maximum(sides, 0).prod(axis=-1)
    return common / (area(window) + area(boxes_MN4) - common)


def sample(random, boxes_MN4, limits, draw, holds):
    """One sampler: the first of up to 50 windows with IoU within ``limits``; whether there is."""
    windows = np.zeros([len(boxes_MN4), 4])
    waiting = np.arange(len(boxes_MN4))
    for _ in range(TRIALS):
        drawn = draw(random, len(waiting))
        overlap = iou(drawn, boxes_MN4[waiting])
        good = holds((overlap >= limits[0]) & (overlap <= limits[1]), axis=1)
        windows[waiting[good]] = drawn[good]
        waiting = waiting[~good]
    yields = np.ones(len(boxes_MN4), bool)
    yields[waiting] = False
    return windows, yields


def expand(random, size, count, max_expansion):
    ratio = np.where(random.random(count) < 0.5, random.uniform(1, max_expansion, count), 1.0)
    canvas = np.floor(size * ratio[:, None])
    return canvas, np.floor(random.random([count, 2]) * (canvas - size))


def crop(random, boxes_MN4, draw, holds):
    count = len(boxes_MN4)
    limits = [(threshold, np.inf) for threshold in THRESHOLDS] + [(-np.inf, 1.0)]
    results = [(np.tile([0.0, 0, 1, 1], [count, 1]), np.ones(count, bool))]
    results += [sample(random, boxes_MN4, limit, draw, holds) for limit in limits]
    lots = random.random([count, len(results)])
    sampler = np.where(np.stack([yields for _, yields in results], axis=1), lots, -1).argmax(1)
    return np.stack([windows for windows, _ in results])[sampler, np.arange(count)], sampler


def twin(boxes, kind, count, *, seed=1, draw=draw_windows, holds=np.any):
    """``count`` samples of the original, or of a faulty one by ``draw`` or ``holds``."""
    random = np.random.default_rng(seed)
    max_expansion, size = KINDS[kind][0], np.array(KINDS[kind][1])
    canvas, offset = expand(random, size, count, max_expansion)
    twice = functools.partial(np.tile, reps=[1, 2])
    pixels = boxes * np.tile(size, 2) + twice(offset)[:, None]
    window, sampler = crop(random, pixels / twice(canvas)[:, None], draw, holds)
    low = np.floor(window[:, :2] * canvas + 1e-6)
    sides = np.floor((window[:, 2:] - window[:, :2]) * canvas + 1e-6)
    centers = (pixels[..., :2] + pixels[..., 2:]) / 2 - low[:, None]
    seen = np.concatenate(
        [np.maximum(low - offset, 0), np.minimum(low + sides - offset, size)], axis=1
    )
    mirrored = random.random(count) < 0.5

    def to_sample(box_MN4):
        return np.clip((box_MN4 - twice(low)[:, None]) / twice(sides)[:, None], 0, 1)

    return {
        "sampler": sampler,
        "mirrored": mirrored,
        "visible": (seen[:, 2:] > seen[:, :2]).all(1),
        "seen": seen / np.tile(size, 2),
        "rectangle": mirror(to_sample((seen + twice(offset))[:, None]), mirrored)[:, 0],
        "boxes": mirror(to_sample(pixels), mirrored),
        "kept": ((centers >= 0) & (centers <= sides[:, None])).all(-1),
    }


def mirror(boxes_MN4, mirrored):
    ymin, xmin, ymax, xmax = np.moveaxis(boxes_MN4, -1, 0)
    flipped = np.stack([ymin, 1 - xmax, ymax, 1 - xmin], axis=-1)
    return np.where(mirrored[:, None, None], flipped, boxes_MN4)


# The same from the package.


def draw_frames(boxes, kind, count, *, seed=2, **changes):
    max_expansion, size = KINDS[kind]
    options = FramingOptions(**{"max_expansion": max_expansion, **changes})
    boxes = tf.tile(tf.constant(boxes[np.newaxis], tf.float32), [CHUNK, 1, 1])
    valid, sizes = tf.ones(boxes.shape[:2], tf.bool), tf.tile([size], [CHUNK, 1])

    @tf.function
    def draw(uniforms):
        return framing.frame(boxes, valid, sizes, uniforms, output_size=OUTPUT, options=options)

    random = np.random.default_rng(seed)
    shape = [CHUNK, framing.num_uniforms(options)]
    parts = [draw(random.random(shape, np.float32)) for _ in range(count // CHUNK)]
    plan = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    window = plan["window"].astype(float)
    rectangle = plan["rectangle"] / OUTPUT
    return {
        "sampler": plan["sampler"],
        "mirrored": plan["mirrored"],
        "visible": rectangle[:, 2] > 0,
        "seen": np.concatenate([window[:, :2], window[:, :2] + window[:, 2:]], 1)
        / np.tile(size, 2),
        "rectangle": rectangle,
        "boxes": plan["boxes"].astype(float),
        "kept": plan["kept"],
    }


@functools.cache
def boxes_of(layout):
    return np.reshape(np.array(LAYOUTS[layout], float), [-1, 4])


@functools.cache
def frames_of(layout, kind, count=FAST):
    return draw_frames(boxes_of(layout), kind, count)


@functools.cache
def twin_of(layout, kind, count=FAST):
    return twin(boxes_of(layout), kind, count)


# Comparison.


def crops(frames):
    """Windows as fractions of the picture, [M, 4], worked back; [0, 0, 1, 1] where it is unseen."""
    seen = frames["seen"]
    rectangle = mirror(frames["rectangle"][:, None], frames["mirrored"])[:, 0]
    filled = rectangle[:, 2:] - rectangle[:, :2]
    sides = (seen[:, 2:] - seen[:, :2]) / np.where(frames["visible"][:, None], filled, 1)
    low = seen[:, :2] - rectangle[:, :2] * sides
    windows = np.concatenate([low, low + sides], axis=1)
    return np.where(frames["visible"][:, None], windows, [0, 0, 1, 1])


def facts(frames, boxes):
    """Rates (bool) and quantities of each sample, by name, each with the samples it is known of."""
    windows, visible = crops(frames), frames["visible"]
    sides = windows[:, 2:] - windows[:, :2]
    always = np.ones(len(windows), bool)
    rates = {"visible": visible, "mirrored": frames["mirrored"]}
    quantities = {
        "scale": (np.sqrt(sides.prod(1)), visible),
        "aspect": (sides[:, 1] / sides[:, 0], visible),
        "y": (windows[:, 0], visible),
        "x": (windows[:, 1], visible),
    }
    if len(boxes):
        overlap = iou(windows, np.broadcast_to(boxes, [len(windows), *boxes.shape]))
        quantities["iou"] = (overlap.max(1), visible)
        quantities["kept objects"] = (frames["kept"].sum(1), always)
    for i in range(len(boxes)):
        kept, box = frames["kept"][:, i], frames["boxes"][:, i]
        rates[f"kept {i}"] = kept
        quantities[f"height {i}"] = (box[:, 2] - box[:, 0], kept)
        quantities[f"width {i}"] = (box[:, 3] - box[:, 1], kept)
        quantities[f"left {i}"] = (box[:, 1], kept)
    return rates, quantities


def ks_distance(a, b):
    """Largest difference of the empirical distribution functions of two samples."""
    # The last digits differ between float32 and float64; equal values must count as equal.
    a, b = np.sort(np.round(a, 4)), np.sort(np.round(b, 4))
    at = np.concatenate([a, b])
    cdfs = [np.searchsorted(values, at, side="right") / len(values) for values in (a, b)]
    return np.abs(cdfs[0] - cdfs[1]).max()


def rate_distance(a, b):
    """Difference of the shares of True in two samples, as a multiple of its limit."""
    share = np.concatenate([a, b]).mean()
    error = np.sqrt(share * (1 - share) * (1 / len(a) + 1 / len(b)))
    return abs(a.mean() - b.mean()) / (5 * error) if error else 0.0


def compare(frames, others, boxes):
    """Name -> distance of the two sides as a multiple of its limit; above 1 they differ."""
    both = [(side, *facts(side, boxes)) for side in (frames, others)]
    distances = {}
    for sampler in range(7):
        picked = [side["sampler"] == sampler for side, _, _ in both]
        distances[f"share {sampler}"] = rate_distance(*picked)
        if min(np.sum(picked, axis=1)) < 50:
            continue  # the share says all there is to say
        for name in both[0][1]:
            values = [rates[name][of] for of, (_, rates, _) in zip(picked, both)]
            distances[f"{name}, sampler {sampler}"] = rate_distance(*values)
        for name in both[0][2]:
            known = [(q[name][0], q[name][1] & of) for of, (_, _, q) in zip(picked, both)]
            values = [value[of] for value, of in known]
            if min(map(len, values)) >= 50:
                limit = KS_LEVEL * np.sqrt(sum(1 / len(value) for value in values))
                distances[f"{name}, sampler {sampler}"] = ks_distance(*values) / limit
    return distances


def differing(distances):
    return {name: round(value, 2) for name, value in distances.items() if value > 1}


def lowest_ious(frames, boxes):
    """Smallest IoU of each threshold's windows with any object, as a multiple of the threshold."""
    overlap = facts(frames, boxes)[1]["iou"][0]
    of_sampler = [overlap[frames["sampler"] == sampler] for sampler in range(1, 6)]
    return [values.min(initial=np.inf) for values in of_sampler] / np.array(THRESHOLDS)


def lowest_of_all(draw):
    # Many windows come close to 0.1 and 0.3 of a small object, to 0.9 of a huge one only.
    layouts = ("small", "one", "huge")
    return np.min([lowest_ious(draw(layout), boxes_of(layout)) for layout in layouts], axis=0)


def keeps_thresholds(multiples):
    # Whole pixels of 20,000 change an IoU by less than 1e-3 of itself.
    return (multiples >= 1 - 1e-3) & (multiples <= 1.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_frames_are_distributed_as_the_original_s(layout, kind):
    distances = compare(frames_of(layout, kind), twin_of(layout, kind), boxes_of(layout))
    # Without objects only the whole canvas is yielded, with tiny ones only that and any window.
    assert len(distances) >= {"none": 13, "tiny": 39, "small": 46}.get(layout, 60)
    assert differing(distances) == {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_hundred_thousand_frames_are_distributed_as_the_original_s(layout, kind):
    boxes = boxes_of(layout)
    frames = draw_frames(boxes, kind, SLOW, seed=3)
    assert differing(compare(frames, twin(boxes, kind, SLOW, seed=4), boxes)) == {}


def test_the_smallest_iou_of_each_sampler_is_its_threshold():
    lowest = lowest_of_all(lambda layout: frames_of(layout, "crop"))
    assert keeps_thresholds(lowest).all(), lowest


def test_a_window_meets_its_threshold_for_some_of_many_objects():
    assert (lowest_ious(frames_of("many", "crop"), boxes_of("many")) >= 1 - 1e-3).all()


def test_half_the_pictures_are_zoomed_out_evenly_from_1_to_4_at_whole_pixels():
    frames, size = frames_of("none", "expand"), np.array(KINDS["expand"][1])
    windows = crops(frames) * np.tile(size, 2)
    canvas, offset = windows[:, 2:] - windows[:, :2], -windows[:, :2]
    zoomed = canvas[:, 0] > size[0]
    # 5 standard errors of a half; and of 20,000 the ratios below 1.003 do not gain a pixel.
    assert abs(zoomed.mean() - 0.5) < 5 * 0.5 / np.sqrt(FAST) + 0.001
    for values in (canvas, offset):
        assert np.abs(values - np.round(values)).max() < 0.02
    ratio = canvas[zoomed] / size
    limit = KS_LEVEL * np.sqrt(1 / len(ratio))
    even = np.linspace(0, 1, 200_001)
    # A whole pixel is less than 0.3 % of a side and 0.1 % of the ratio's range.
    assert ks_distance((ratio[:, 1] - 1) / 3, even) < limit + 0.001
    roomy = ratio.min(1) > 2
    place = np.round(offset[zoomed][roomy]) / (canvas[zoomed] - size)[roomy]
    limit = KS_LEVEL * np.sqrt(1 / len(place))
    assert ks_distance(place[:, 0], even) < limit + 0.003
    assert ks_distance(place[:, 1], even) < limit + 0.003
    assert abs(np.corrcoef(place.T)[0, 1]) < 5 / np.sqrt(len(place))


# Planted errors: each must be seen by the checks above, whichever side has it.


def test_a_missing_sampler_is_seen():
    faulty = draw_frames(boxes_of("one"), "crop", FAST, crop_min_ious=(0.1, 0.3, 0.7, 0.9))
    found = differing(compare(faulty, twin_of("one", "crop"), boxes_of("one")))
    assert {"share 3", "share 6", "iou, sampler 3"} <= set(found)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_thresholds_ten_percent_off_are_seen_each(factor):
    thresholds = tuple(factor * threshold for threshold in THRESHOLDS)

    @functools.cache
    def faulty(layout):
        return draw_frames(boxes_of(layout), "crop", FAST, crop_min_ious=thresholds)

    assert not keeps_thresholds(lowest_of_all(faulty)).any()
    found = differing(compare(faulty("one"), twin_of("one", "crop"), boxes_of("one")))
    # The lowest threshold moves no curve enough to be sure of it: hence the smallest IoU.
    assert {"iou, sampler 3", "iou, sampler 4"} <= set(found)


def test_iou_asked_of_all_objects_is_seen():
    faulty = twin(boxes_of("many"), "crop", FAST, holds=np.all)
    found = differing(compare(frames_of("many", "crop"), faulty, boxes_of("many")))
    assert {f"share {sampler}" for sampler in (0, 1, 2, 3, 4, 6)} <= set(found)


def draw_sides_apart(random, count):
    return place_sides(random, *random.uniform(0.3, 1.0, [2, count]))


def draw_unclamped(random, count):
    return place(random, random.uniform(0.3, 1.0, count), random.uniform(0.5, 2.0, count))


@pytest.mark.parametrize("draw", [draw_sides_apart, draw_unclamped])
def test_windows_drawn_otherwise_are_seen(draw):
    faulty = twin(boxes_of("one"), "crop", FAST, draw=draw)
    found = differing(compare(frames_of("one", "crop"), faulty, boxes_of("one")))
    assert {"aspect, sampler 1", "aspect, sampler 2", "aspect, sampler 6"} <= set(found)


def test_a_smaller_zoom_out_is_seen():
    faulty = draw_frames(boxes_of("one"), "expand", FAST, max_expansion=3.5)
    found = differing(compare(faulty, twin_of("one", "expand"), boxes_of("one")))
    assert {"scale, sampler 0", "height 0, sampler 0"} <= set(found)


def test_boxes_that_are_not_mirrored_are_seen():
    frames = frames_of("one", "expand")
    straight = mirror(frames["boxes"], frames["mirrored"])
    faulty = {**frames, "boxes": straight}
    found = differing(compare(faulty, twin_of("one", "expand"), boxes_of("one")))
    assert "left 0, sampler 0" in found
