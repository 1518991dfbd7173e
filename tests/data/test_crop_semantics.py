"""``crop_semantics``: windows are distributed as torchvision's and as mmdetection's.

The twins follow RandomIoUCrop (torchvision, transforms/v2/_geometry.py) and MinIoURandomCrop
(mmdetection, datasets/transforms/transforms.py), which draw an option anew until one succeeds; only
images are drawn side by side. M images, N objects; windows and objects are [4, M], edge by edge.

Limits are 5 sigma: 5 standard errors of a difference of shares, and Kolmogorov and Smirnov's
distance at the same level, 5.7e-7.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.data import cropping, framing
from ssd_tfrecord.options import FramingOptions

HEIGHT, WIDTH = 375, 500
LAYOUTS = {
    "one": [[0.2, 0.3, 0.7, 0.8]],
    "two": [[0.1, 0.1, 0.6, 0.5], [0.3, 0.25, 0.9, 0.8]],
    "many": [
        [0.05, 0.05, 0.25, 0.2],
        [0.1, 0.5, 0.45, 0.95],
        [0.3, 0.1, 0.95, 0.6],
        [0.6, 0.7, 1.0, 1.0],
    ],
    "tiny": [[0.5, 0.4, 0.53, 0.42], [0.1, 0.9, 0.13, 0.95]],
    "huge": [[0.02, 0.0, 0.99, 0.97]],
    "none": [],
}
# What the options are called here: 0 the whole picture, 1…5 the thresholds, 6 any window.
MINIMA = np.array([np.nan, 0.1, 0.3, 0.5, 0.7, 0.9, 0.0])
TRIALS = {"torchvision": 40, "mmdetection": 50}
COUNT, CHUNK = 20_000, 1000


def torchvision_windows(random, count):
    """Windows in pixels, and whether their aspect is allowed: sides truncated, then places."""
    width, height = [np.floor(side * random.uniform(0.3, 1, count)) for side in (WIDTH, HEIGHT)]
    left, top = [np.floor(room * random.random(count)) for room in (WIDTH - width, HEIGHT - height)]
    fits = (width / height >= 0.5) & (width / height <= 2)
    return np.stack([top, left, top + height, left + width]), fits


def mmdetection_windows(random, count):
    """The same, of which corners are truncated."""
    width, height = [random.uniform(0.3 * side, side, count) for side in (WIDTH, HEIGHT)]
    # numpy.random.uniform(room), as it stands there, is between the room and 1 pixel.
    rooms = [WIDTH - width, HEIGHT - height]
    left, top = [random.uniform(np.minimum(1, room), np.maximum(1, room)) for room in rooms]
    fits = (height / width >= 0.5) & (height / width <= 2)
    return np.floor(np.stack([top, left, top + height, left + width])), fits


def iou(a, b):
    height = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    width = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    common = np.maximum(height, 0) * np.maximum(width, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return common / (areas[0] + areas[1] - common)


def centered(window, box):
    """Whether the box's centre is within, borders apart."""
    y, x = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return (window[0] < y) & (y < window[2]) & (window[1] < x) & (x < window[3])


def torchvision_holds(windows, objects, minima):
    good = np.zeros(len(minima), bool)
    for box in objects:
        good |= centered(windows, box) & (iou(windows, box) >= minima)
    return good


def mmdetection_holds(windows, objects, minima):
    good, inside = np.ones(len(minima), bool), np.full(len(minima), not len(objects))
    for box in objects:
        good &= iou(windows, box) >= minima
        inside |= centered(windows, box)
    return good & inside


DRAWS = {"torchvision": torchvision_windows, "mmdetection": mmdetection_windows}
HOLDS = {"torchvision": torchvision_holds, "mmdetection": mmdetection_holds}


def twin(layout, semantics, *, seed=1, draw=None, holds=None, attempts=10_000):
    """Windows [4, COUNT] in pixels and options [COUNT]; faulty by other parts or few attempts."""
    random = np.random.default_rng(seed)
    draw, holds = draw or DRAWS[semantics], holds or HOLDS[semantics]
    windows = np.tile([[0.0], [0], [HEIGHT], [WIDTH]], [1, COUNT])
    option, undone = np.zeros(COUNT, int), np.arange(COUNT)
    while len(undone) and attempts:
        option[undone] = random.integers(0, 7, len(undone))
        waiting = undone[option[undone] > 0]
        for _ in range(TRIALS[semantics]):
            drawn, fits = draw(random, len(waiting))
            good = fits & holds(drawn, boxes_of(layout), MINIMA[option[waiting]])
            windows[:, waiting[good]] = drawn[:, good]
            waiting = waiting[~good]
        option[waiting] = 0
        undone, attempts = waiting, attempts - 1
    return windows, option


def boxes_of(layout):
    return np.reshape(LAYOUTS[layout], [-1, 4]) * [HEIGHT, WIDTH, HEIGHT, WIDTH]


@functools.cache
def twin_of(layout, semantics):
    return twin(layout, semantics)


@functools.cache
def draw_fn(semantics):
    options = FramingOptions(crop_semantics=semantics, crop_trials=TRIALS[semantics])

    # Compiled, for a third of the CPU time.
    @tf.function(jit_compile=True)
    def draw(boxes, valid, uniforms):
        boxes, valid = tf.tile(boxes[tf.newaxis], [CHUNK, 1, 1]), tf.tile([valid], [CHUNK, 1])
        canvas = tf.tile([[float(HEIGHT), float(WIDTH)]], [CHUNK, 1])
        return cropping.draw(boxes, valid, canvas, uniforms, options)

    return draw, [CHUNK, cropping.num_uniforms(options)]


@functools.cache
def drawn(layout, semantics):
    """The same from the package, and its ``yields`` [COUNT, A]."""
    boxes = LAYOUTS[layout]
    # Padded with boxes over everything, which must not count.
    padded = tf.constant([*boxes, *[[0, 0, 1, 1]] * (5 - len(boxes))], tf.float32)
    draw, shape = draw_fn(semantics)
    random = np.random.default_rng(2)
    parts = [
        draw(padded, tf.range(5) < len(boxes), random.random(shape, np.float32))
        for _ in range(COUNT // CHUNK)
    ]
    windows, option, yields = [np.concatenate(values) for values in zip(*parts)]
    return windows.T.astype(float), option, yields


def curve_distance(a, b):
    a, b = np.sort(np.round(a, 4)), np.sort(np.round(b, 4))
    at = np.concatenate([a, b])
    cdfs = [np.searchsorted(values, at, side="right") / len(values) for values in (a, b)]
    limit = np.sqrt(np.log(2 / 5.7e-7) / 2 * (1 / len(a) + 1 / len(b)))
    return np.abs(cdfs[0] - cdfs[1]).max() / limit


def share_distance(a, b):
    share = np.concatenate([a, b]).mean()
    error = np.sqrt(share * (1 - share) * (1 / len(a) + 1 / len(b)))
    return abs(a.mean() - b.mean()) / (5 * error) if error else 0.0


def quantities(windows, boxes):
    sides = windows[2:] - windows[:2]
    found = {
        "scale": np.sqrt(sides.prod(0) / HEIGHT / WIDTH),
        "aspect": sides[1] / sides[0],
        "y": windows[0] / HEIGHT,
        "x": windows[1] / WIDTH,
    }
    if len(boxes):
        overlaps = [iou(windows, box) for box in boxes]
        found["largest IoU"], found["smallest IoU"] = np.max(overlaps, 0), np.min(overlaps, 0)
        found["centres"] = np.sum([centered(windows, box) for box in boxes], 0)
    return found


def compare(one, other, layout):
    """Name -> distance of two sides as a multiple of its limit; above 1 they differ."""
    distances = {}
    for option in range(7):
        picked = [side[1] == option for side in (one, other)]
        distances[f"share {option}"] = share_distance(*picked)
        if option and min(map(np.sum, picked)) >= 50:
            sides = zip((one, other), picked)
            mine, theirs = [quantities(side[0][:, of], boxes_of(layout)) for side, of in sides]
            for name, values in mine.items():
                distances[f"{name} {option}"] = curve_distance(values, theirs[name])
    return distances


def differing(distances):
    return {name: round(value, 2) for name, value in distances.items() if value > 1}


@pytest.mark.parametrize("semantics", TRIALS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_are_distributed_as_the_other_s(layout, semantics):
    distances = compare(drawn(layout, semantics), twin_of(layout, semantics), layout)
    # Every option succeeds on a huge object. Without any, all but 0.0 … 0.9 of torchvision do.
    expected = {"huge": 49, "none": {"torchvision": 7, "mmdetection": 31}[semantics]}
    assert len(distances) >= expected.get(layout, 14)
    assert differing(distances) == {}


@pytest.mark.parametrize("semantics", TRIALS)
def test_few_of_twelve_attempts_on_end_fail_where_any_window_would_do(semantics):
    # They draw until one succeeds. Worst is a picture where two options of seven do: (5/7)^12 =
    # 1.8 % take the whole here, of which half should not: 0.9 %, a third of what is seen above.
    for layout in LAYOUTS.keys() - {"none"}:
        failing = 1 - drawn(layout, semantics)[2].any(axis=1).mean()
        assert failing < (5 / 7) ** 12 + 5 * np.sqrt(0.018 / COUNT)


# Planted errors: each must be seen by the comparison.


def holds_for_any(windows, objects, minima):
    return np.any([iou(windows, box) >= minima for box in objects], axis=0)


def holds_for_all(windows, objects, minima):
    return np.all([iou(windows, box) >= minima for box in objects], axis=0)


def scale_and_aspect(random, count):
    """Windows drawn as the original's."""
    scale, root = random.uniform(0.3, 1, count), np.sqrt(random.uniform(0.5, 2, count))
    height, width = np.minimum(scale / root, 1) * HEIGHT, np.minimum(scale * root, 1) * WIDTH
    top, left = (HEIGHT - height) * random.random(count), (WIDTH - width) * random.random(count)
    return np.floor([top, left, top + height, left + width]), np.ones(count, bool)


def any_aspect(random, count):
    return torchvision_windows(random, count)[0], np.ones(count, bool)


def stricter(windows, objects, minima):
    return torchvision_holds(windows, objects, 1.1 * minima)


FAULTS = {
    "torchvision: centres do not count": ("tiny", {"holds": holds_for_any}, "centres 6"),
    "torchvision: IoU with every object": ("two", {"holds": mmdetection_holds}, "share 4"),
    "torchvision: thresholds 10 % off": ("one", {"holds": stricter}, "largest IoU 4"),
    "torchvision: any aspect": ("one", {"draw": any_aspect}, "aspect 6"),
    "torchvision: the original's windows": ("one", {"draw": scale_and_aspect}, "scale 6"),
    "torchvision: one attempt": ("many", {"attempts": 1}, "share 0"),
    "mmdetection: IoU with any object": ("two", {"holds": torchvision_holds}, "share 4"),
    "mmdetection: centres do not count": ("tiny", {"holds": holds_for_all}, "centres 6"),
    "mmdetection: one attempt": ("tiny", {"attempts": 1}, "share 0"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault):
    layout, parts, name = FAULTS[fault]
    semantics = fault.split(":")[0]
    faulty = twin(layout, semantics, **parts)
    assert name in differing(compare(drawn(layout, semantics), faulty, layout))


# By hand: a canvas of 200 x 400 pixels, options 0 (whole), 1 (IoU 0.5) and 2 (any), one trial.

INSIDE, BESIDE = [0.4, 0.4, 0.5, 0.5], [0.0, 0.0, 0.1, 0.1]
FAILING = (0, 0, 0, 0)
# 0.3 + 0.7 · 2/7 = 0.5 of the height, and a little more; 0.3 + 0.7 / 7 = 0.4 of the width; middle.
MIDDLE = (2 / 7 + 0.005, 1 / 7 + 0.001, 0.5, 0.5)


def window_of(semantics, attempts, boxes):
    """Window, option and yields for ``attempts``, pairs of option and (height, width, y, x)."""
    options = FramingOptions(crop_semantics=semantics, crop_min_ious=(0.5,), crop_trials=1)
    attempts = [*attempts, *[(1, FAILING)] * (cropping.ATTEMPTS - len(attempts))]
    lots = [(option + 0.5) / 3 for option, _ in attempts]
    uniforms = [*lots, *np.transpose([trial for _, trial in attempts]).ravel()]
    windows, option, yields = cropping.draw(
        tf.constant([boxes], tf.float32),
        tf.ones([1, len(boxes)], tf.bool),
        tf.constant([[200.0, 400.0]]),
        tf.constant([uniforms], tf.float32),
        options,
    )
    return windows.numpy()[0].tolist(), int(option[0]), yields.numpy()[0].tolist()


def test_torchvision_truncates_sides_and_places():
    # floor(100.7) rows of floor(0.5 · 100) on, floor(160.28) columns of floor(0.5 · 240) on.
    window, option, _ = window_of("torchvision", [(2, MIDDLE)], [INSIDE])
    assert (window, option) == ([50, 120, 150, 280], 2)


def test_mmdetection_truncates_corners():
    # Rows 1 + 98.3 / 2 = 50.15 … 150.85, columns 1 + 238.72 · 0.503 = 121.08 … 281.36; from the
    # first pixel on, columns would be 239.72 · 0.503 = 120.58 … 280.86.
    window, option, _ = window_of("mmdetection", [(2, (*MIDDLE[:3], 0.503))], [INSIDE])
    assert (window, option) == ([50, 121, 150, 281], 2)


@pytest.mark.parametrize("semantics", TRIALS)
def test_the_first_attempt_that_succeeds_counts(semantics):
    # An IoU of 0.5 with so small an object is not reached; an object beside has no centre inside.
    _, option, yields = window_of(semantics, [(1, MIDDLE), (2, MIDDLE), (0, FAILING)], [INSIDE])
    assert option == 2
    assert yields == [False, True, True] + [False] * 9
    window, option, yields = window_of(semantics, [(2, MIDDLE), (0, FAILING)], [BESIDE])
    assert (window, option) == ([0, 0, 200, 400], 0)
    assert yields == [False, True] + [False] * 10
    window, option, yields = window_of(semantics, [], [INSIDE])
    assert (window, option, any(yields)) == ([0, 0, 200, 400], 0, False)


def test_a_frame_takes_the_other_s_window():
    uniforms = np.zeros(framing.num_uniforms(FramingOptions(crop_semantics="torchvision")))
    uniforms[4] = 0.9
    # Not zoomed out, not mirrored; the first attempt takes any window, whose first trial is 0.5 by
    # 0.4 of the picture in its middle.
    uniforms[0], uniforms[5] = 0.9, 0.999
    uniforms[17:].reshape(4, cropping.ATTEMPTS, 50)[:, 0, 0] = MIDDLE
    plan = framing.frame(
        tf.constant([[INSIDE]]),
        tf.constant([[True]]),
        tf.constant([[200, 400]]),
        tf.constant([uniforms], tf.float32),
        output_size=300,
        options=FramingOptions(crop_semantics="torchvision"),
    )
    assert plan.window.numpy().tolist() == [[50, 120, 100, 160]]
    # Rows 80 … 100 of 50 … 150, columns 160 … 200 of 120 … 280.
    np.testing.assert_allclose(plan.boxes, [[[0.3, 0.25, 0.5, 0.5]]], atol=1e-6)
