"""Framing draws what the original draws: distributions against an independent NumPy twin.

The twin, ``original_twin``, goes sampler by sampler and trial by trial as the original does, in
float64, and knows nothing of ``framing``; only images are drawn side by side. Both sides are
reduced to what a sample shows (part of the picture, rectangle, boxes), and the crop is worked back
from that.

Limits: every comparison may be off by what chance gives once in 1.7 million, 5 sigma, so some
thousand comparisons at fixed seeds have no false alarm to expect. For shares that is 5 standard
errors of the difference; for distributions, Kolmogorov-Smirnov's distance at the same level.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf
from original_twin import RULES, THRESHOLDS, draw_windows, frames, iou, mirror, place, place_sides

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
# Kind -> largest expansion and picture. Without zoom-out the crop is the sample, and whole pixels
# of a large picture are as good as fractions; with it the picture is an ordinary one.
KINDS = {"crop": (1.0, (20000, 20000)), "expand": (4.0, (375, 500))}
COUNT, CHUNK, PARTS = 20_000, 2000, 5  # draws, at a time; parts that make 100,000
OUTPUT = 1_000_000  # so fine that snapping to output pixels does not matter
KS_LEVEL = np.sqrt(np.log(2 / 5.7e-7) / 2)


def twin(boxes, kind, *, seed=1, **faults):
    """``COUNT`` samples of the original, or of a faulty one, {name: other ``RULES``}."""
    max_expansion, size = KINDS[kind]
    random, rules = np.random.default_rng(seed), {**RULES, **faults}
    return frames(random, boxes, np.array(size), COUNT, max_expansion, rules)


# The same from the package.


@functools.cache
def frame_fn(kind, options):
    size = KINDS[kind][1]

    @tf.function(input_signature=[tf.TensorSpec([None, 4]), tf.TensorSpec([CHUNK, None])])
    def draw(boxes, uniforms):
        boxes = tf.tile(boxes[tf.newaxis], [CHUNK, 1, 1])
        valid, sizes = tf.ones(tf.shape(boxes)[:2], tf.bool), tf.tile([size], [CHUNK, 1])
        return framing.frame(boxes, valid, sizes, uniforms, output_size=OUTPUT, options=options)

    return draw


def draw_frames(boxes, kind, *, seed=2, **changes):
    """``COUNT`` samples of the package, with other options if need be."""
    max_expansion, size = KINDS[kind]
    options = FramingOptions(**{"max_expansion": max_expansion, **changes})
    draw, random = frame_fn(kind, options), np.random.default_rng(seed)
    shape, boxes = [CHUNK, framing.num_uniforms(options)], tf.constant(boxes, tf.float32)
    plan = join([draw(boxes, random.random(shape, np.float32)) for _ in range(COUNT // CHUNK)])
    low, sides = np.split(plan.window, 2, axis=1)
    return {
        "sampler": plan.sampler,
        "yields": plan.yields,
        "mirrored": plan.mirrored,
        "kept": plan.kept,
        "visible": plan.rectangle[:, 2] > 0,
        "seen": np.concatenate([low, low + sides], axis=1) / np.tile(size, 2),
        "rectangle": plan.rectangle / OUTPUT,
        "boxes": plan.boxes.astype(float),
    }


def join(parts):
    """The parts of a run in one: of the package's frames, or of dicts."""
    if isinstance(parts[0], framing.Frame):
        return framing.Frame(*map(np.concatenate, zip(*parts)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def boxes_of(layout):
    return np.reshape(np.array(LAYOUTS[layout], float), [-1, 4])


@functools.cache
def frames_of(layout, kind):
    return draw_frames(boxes_of(layout), kind)


@functools.cache
def twin_of(layout, kind):
    return twin(boxes_of(layout), kind)


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
    rates = {"visible": visible, "mirrored": frames["mirrored"]}
    quantities = {
        "scale": (np.sqrt(sides.prod(1)), visible),
        "aspect": (sides[:, 1] / sides[:, 0], visible),
        "y": (windows[:, 0], visible),
        "x": (windows[:, 1], visible),
    }
    if len(boxes):
        quantities["iou"] = (np.max([iou(windows.T, box) for box in boxes], axis=0), visible)
        quantities["kept objects"] = (frames["kept"].sum(1), np.ones(len(windows), bool))
    for i in range(len(boxes)):
        kept, box = frames["kept"][:, i], frames["boxes"][:, i]
        rates[f"kept {i}"] = kept
        quantities[f"height {i}"] = (box[:, 2] - box[:, 0], kept)
        quantities[f"width {i}"] = (box[:, 3] - box[:, 1], kept)
        quantities[f"left {i}"] = (box[:, 1], kept)
    return rates, quantities


def curve_distance(a, b):
    """Kolmogorov and Smirnov's distance of two samples, as a multiple of its limit."""
    # The last digits differ between float32 and float64; equal values must count as equal.
    a, b = np.sort(np.round(a, 4)), np.sort(np.round(b, 4))
    at = np.concatenate([a, b])
    cdfs = [np.searchsorted(values, at, side="right") / len(values) for values in (a, b)]
    return np.abs(cdfs[0] - cdfs[1]).max() / (KS_LEVEL * np.sqrt(1 / len(a) + 1 / len(b)))


def rate_distance(a, b):
    """Difference of the shares of True, as a multiple of its limit."""
    share = np.concatenate([a, b]).mean()
    error = np.sqrt(share * (1 - share) * (1 / len(a) + 1 / len(b)))
    return abs(a.mean() - b.mean()) / (5 * error) if error else 0.0


def compare(frames, others, boxes):
    """Name -> distance of the two sides as a multiple of its limit; above 1 they differ."""
    both = [(side, *facts(side, boxes)) for side in (frames, others)]
    yields = [side["yields"] for side in (frames, others)]
    # Samplers draw windows of their own: how many of a sample yield shows it if they do not.
    distances = {"number of yields": curve_distance(*(each.sum(1) for each in yields))}
    for sampler, columns in enumerate(zip(*(each.T for each in yields))):
        distances[f"yields {sampler}"] = rate_distance(*columns)
    for sampler in range(7):
        picked = [side["sampler"] == sampler for side, _, _ in both]
        distances[f"share {sampler}"] = rate_distance(*picked)
        if min(map(np.sum, picked)) < 50:
            continue  # the share says all there is to say
        for name in both[0][1]:
            values = [rates[name][of] for of, (_, rates, _) in zip(picked, both)]
            distances[f"{name}, sampler {sampler}"] = rate_distance(*values)
        for name in both[0][2]:
            known = [(q[name][0], q[name][1] & of) for of, (_, _, q) in zip(picked, both)]
            values = [value[of] for value, of in known]
            if min(map(len, values)) >= 50:
                distances[f"{name}, sampler {sampler}"] = curve_distance(*values)
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
    lowest = [lowest_ious(draw(name), boxes_of(name)) for name in ("small", "one", "huge")]
    return np.min(lowest, axis=0)


def keeps_thresholds(multiples):
    # Whole pixels of 20,000 change an IoU by less than 1e-3 of itself.
    return (multiples >= 1 - 1e-3) & (multiples <= 1.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_frames_are_distributed_as_the_original_s(layout, kind):
    distances = compare(frames_of(layout, kind), twin_of(layout, kind), boxes_of(layout))
    # Without objects only the whole canvas is yielded, with tiny ones only that and any window.
    assert len(distances) >= {"none": 21, "tiny": 47, "small": 54}.get(layout, 68)
    assert differing(distances) == {}


@pytest.mark.soak
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_hundred_thousand_frames_are_distributed_as_the_original_s(layout):
    boxes, seeds = boxes_of(layout), range(10, 9 + PARTS)
    frames = [draw_frames(boxes, "expand", seed=seed) for seed in seeds]
    others = [twin(boxes, "expand", seed=100 + seed) for seed in seeds]
    frames, others = [frames_of(layout, "expand"), *frames], [twin_of(layout, "expand"), *others]
    assert differing(compare(join(frames), join(others), boxes)) == {}


@functools.cache
def once(layout):
    return join([twin(boxes_of(layout), "crop", seed=seed, trials=1) for seed in range(PARTS)])


def draw_once(layout, **changes):
    boxes, seeds = boxes_of(layout), range(20, 20 + PARTS)
    parts = [draw_frames(boxes, "crop", seed=seed, crop_trials=1, **changes) for seed in seeds]
    return join(parts)


@pytest.mark.parametrize("layout", ["small", "one", "huge", "many"])
def test_each_sampler_accepts_as_many_single_windows_as_the_original_s(layout):
    # 50 trials find a window for almost every image, or for none; one shows the share accepted.
    assert differing(compare(draw_once(layout), once(layout), boxes_of(layout))) == {}


def test_the_smallest_iou_of_each_sampler_is_its_threshold():
    lowest = lowest_of_all(lambda layout: frames_of(layout, "crop"))
    assert keeps_thresholds(lowest).all(), lowest


def test_a_window_meets_its_threshold_for_some_of_many_objects():
    assert (lowest_ious(frames_of("many", "crop"), boxes_of("many")) >= 1 - 1e-3).all()


# Planted errors: each must be seen by the checks above, whichever side has it.


def found(frames, others, layout):
    return set(differing(compare(frames, others, boxes_of(layout))))


def test_a_missing_sampler_is_seen():
    faulty = draw_frames(boxes_of("one"), "crop", crop_min_ious=(0.1, 0.3, 0.7, 0.9))
    seen = found(faulty, twin_of("one", "crop"), "one")
    assert {"share 3", "share 6", "iou, sampler 3", "number of yields"} <= seen


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_thresholds_ten_percent_off_are_seen_each(factor):
    thresholds = tuple(factor * threshold for threshold in THRESHOLDS)
    layouts = ("small", "one", "huge")
    faulty = {name: draw_once(name, crop_min_ious=thresholds) for name in layouts}
    assert not keeps_thresholds(lowest_of_all(faulty.get)).any()
    seen = set.union(*(found(faulty[name], once(name), name) for name in layouts))
    assert {f"yields {sampler}" for sampler in range(1, 6)} <= seen


def test_iou_asked_of_all_objects_is_seen():
    faulty = twin(boxes_of("many"), "crop", holds=np.all)
    seen = found(frames_of("many", "crop"), faulty, "many")
    assert {f"share {sampler}" for sampler in (0, 1, 2, 3, 4, 6)} <= seen
    assert {f"yields {sampler}" for sampler in range(1, 6)} <= seen


def draw_sides_apart(random, count):
    return place_sides(random, *random.uniform(0.3, 1.0, [2, count]))


def draw_unclamped(random, count):
    return place(random, random.uniform(0.3, 1.0, count), random.uniform(0.5, 2.0, count))


@pytest.mark.parametrize("draw", [draw_sides_apart, draw_unclamped])
def test_windows_drawn_otherwise_are_seen(draw):
    seen = found(frames_of("one", "crop"), twin(boxes_of("one"), "crop", draw=draw), "one")
    assert {"aspect, sampler 1", "aspect, sampler 2", "aspect, sampler 6"} <= seen


def test_windows_shared_by_the_samplers_are_seen():
    def draw(random, count):
        return draw_windows(np.random.default_rng(5), count)

    faulty = twin(boxes_of("one"), "crop", draw=draw, trials=1)
    assert "number of yields" in found(once("one"), faulty, "one")


def test_a_smaller_zoom_out_is_seen():
    faulty = draw_frames(boxes_of("one"), "expand", max_expansion=3.5)
    seen = found(faulty, twin_of("one", "expand"), "one")
    assert {"scale, sampler 0", "height 0, sampler 0"} <= seen


def test_boxes_that_are_not_mirrored_are_seen():
    frames = frames_of("one", "expand")
    faulty = {**frames, "boxes": mirror(frames["boxes"], frames["mirrored"])}
    assert "left 0, sampler 0" in found(faulty, twin_of("one", "expand"), "one")
