"""Same pixels: rendered samples against the original's way through canvas, crop and resize.

The twin takes what was drawn (uniforms) and makes the sample as the original does, with Pillow and
OpenCV and in float64: decode all, paint it on a canvas of the mean, cut the window, resize, mirror.
Here the picture's edges are snapped to whole pixels of the sample, so the twin can be told to paste
the seen part, resized, where it is snapped to; without that it keeps the edges where they were.
"""

import io
import types

import cv2
import numpy as np
import pytest
import tensorflow as tf
from original_twin import MEAN, paint
from PIL import Image

from ssd_tfrecord.data import pipeline, reading
from ssd_tfrecord.options import FramingOptions, InputOptions, RenderOptions
from ssd_tfrecord.pixels import color
from ssd_tfrecord.records import schema

SIDE = 300
FLIP = FramingOptions(augmentation="flip")
FRAMING = FramingOptions(crop_min_ious=(0.5,), crop_trials=1)
NUM_PIXEL_UNIFORMS = 10
NO_COLOR = [0.9] * NUM_PIXEL_UNIFORMS
# A picture's own boxes are not needed for its pixels: one over all of it, and a part.
BOXES = [[0.0, 0.0, 1.0, 1.0], [0.3, 0.45, 0.6, 0.7]]


def draw_uniforms(random, count):
    """Half zoomed out, half mirrored; a third are whole canvases, the others any window."""
    uniforms = random.random([count, 6 + 8])
    uniforms[:, 5] = np.where(random.random(count) < 1 / 3, 0.0, 0.999)
    return uniforms


def drawn(uniforms, size):
    """Canvas, offset, window (ymin, xmin, ymax, xmax) and mirroring, from the reference sheet."""
    # As float32, in which a product may fall just below a whole number or on it.
    expand, ratio, y, x, flip, pick, *window = np.float32(uniforms)
    canvas = np.floor(size * (1 + ratio * np.float32(3) if expand < 0.5 else np.float32(1)))
    offset = np.floor(np.float32([y, x]) * (canvas - size))
    cut = np.float32([0, 0, 1, 1])
    if pick > 0.5:
        scale, aspect, y, x = window[1::2]  # of two samplers, the one that takes any window
        scale = 0.3 + 0.7 * scale
        low, high = max(0.5, scale**2), min(2.0, scale**-2)
        root = np.sqrt(low + aspect * (high - low))
        height, width = scale / root, scale * root
        cut = np.array([y * (1 - height), x * (1 - width), height, width])
    low = np.floor(cut[:2] * canvas + 1e-3)
    sides = np.floor(cut[2:] * canvas + 1e-3)
    return canvas, offset, np.concatenate([low, low + sides]), flip < 0.5


def resize(pixels, height, width):
    return cv2.resize(pixels, (int(width), int(height)), interpolation=cv2.INTER_LINEAR)


def painted(pixels, uniforms):
    """The original's sample: the canvas with the picture on it, cut and resized."""
    size = np.array(pixels.shape[:2])
    canvas, offset, window, flip = drawn(uniforms, size)
    sample = paint(pixels, canvas, offset, window, SIDE)
    return sample[:, ::-1] if flip else sample


def snapped(pixels, uniforms):
    """The same with the seen part of the picture on whole pixels, and boxes mapped like it."""
    size = np.array(pixels.shape[:2])
    _, offset, window, flip = drawn(uniforms, size)
    low, high = window[:2] - offset, window[2:] - offset
    seen_low, seen_high = np.maximum(low, 0), np.minimum(high, size)
    sample = np.full([SIDE, SIDE, 3], MEAN, np.uint8)
    scale = SIDE / (high - low)
    place_low = np.minimum(np.round((seen_low - low) * scale), SIDE - 1)
    place_high = np.maximum(np.round((seen_high - low) * scale), place_low + 1)
    boxes = np.zeros([len(BOXES), 4])
    kept = np.zeros(len(BOXES), bool)
    if (seen_high > seen_low).all():
        (top, left), (bottom, right) = seen_low.astype(int), seen_high.astype(int)
        (ymin, xmin), (ymax, xmax) = place_low.astype(int), place_high.astype(int)
        part = resize(pixels[top:bottom, left:right], ymax - ymin, xmax - xmin)
        sample[ymin:ymax, xmin:xmax] = part
        for i, box in enumerate(BOXES):
            corners = np.reshape(box, [2, 2]) * size
            center = corners.mean(0)
            kept[i] = (low <= center).all() and (center <= high).all()
            corners = (corners - seen_low) / (seen_high - seen_low) * (place_high - place_low)
            corners = np.clip(corners + place_low, place_low, place_high) / SIDE
            boxes[i] = kept[i] * corners.ravel()
    if flip:
        boxes[kept] = np.abs(boxes[kept][:, [0, 3, 2, 1]] - [0, 1, 0, 1])
        sample = sample[:, ::-1]
    return sample, boxes, kept


def rendered(jpegs, uniforms, boxes=BOXES, decode="full", framing=FRAMING):
    """The package's batch, with ``levels`` float32 [B, S, S, 3], as the network sees them."""
    options = InputOptions(framing=framing, rendering=RenderOptions(decode=decode))
    sizes = [Image.open(io.BytesIO(jpeg)).size[::-1] for jpeg in jpegs]
    parsed = schema.Parsed(
        encoded=tf.constant(jpegs),
        size=tf.constant(sizes, tf.int32),
        boxes=tf.tile(tf.constant([boxes], tf.float32), [len(jpegs), 1, 1]),
        labels=tf.tile([tf.range(1, len(boxes) + 1)], [len(jpegs), 1]),
        crowd=tf.zeros([len(jpegs), len(boxes)], tf.bool),
    )
    uniforms = np.concatenate([np.tile(NO_COLOR, [len(jpegs), 1]), uniforms], axis=1)
    plan = pipeline.draw_plan(parsed, tf.constant(uniforms, tf.float32), SIDE, options)
    reader = types.SimpleNamespace(cuts=reading.jpeg_cuts, window=reading.jpeg_window)
    indices = tf.range(len(jpegs), dtype=tf.int64)
    none = tf.zeros(len(jpegs), tf.bool)
    batch = pipeline.render_plan(plan, indices, none, reader, SIDE, options)
    levels = pipeline.network_images(batch, options.color) + color.MEAN_RGB
    return {**batch._asdict(), "levels": levels.numpy(), "labels": batch.labels.numpy()}


def jpeg(pixels, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", **{"quality": 92, **options})
    return stream.getvalue()


def generated(count):
    """Blurred noise of odd sizes, with 4:4:4 and 4:2:0 chroma, some grey."""
    random, jpegs = np.random.default_rng(1), []
    for i in range(count):
        size = random.integers(40, 500, 2)
        coarse = random.integers(0, 256, [*(size // 6 + 2), 3], np.uint8)
        pixels = cv2.resize(coarse, (int(size[1]), int(size[0])), interpolation=cv2.INTER_CUBIC)
        jpegs.append(jpeg(pixels[..., 1] if i % 8 == 0 else pixels, subsampling=2 * (i % 2)))
    return jpegs


@pytest.fixture(scope="module", params=["generated", "VOCdevkit/VOC2012/JPEGImages", "coco_mini"])
def pictures(request):
    """48 JPEGs, their pixels by Pillow, the uniforms of their samples, and the package's batch."""
    if request.param == "generated":
        jpegs = generated(48)
    else:
        folder = request.getfixturevalue("real_data") / request.param
        jpegs = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[:48]]
    uniforms = draw_uniforms(np.random.default_rng(0), 48)
    return types.SimpleNamespace(
        jpegs=jpegs,
        pixels=[np.array(Image.open(io.BytesIO(each)).convert("RGB")) for each in jpegs],
        uniforms=uniforms,
        batch=rendered(jpegs, uniforms),
    )


def differences(batch, samples):
    """Mean absolute difference in levels, of each sample."""
    return np.abs(batch["levels"] - np.float32(samples)).mean(axis=(1, 2, 3))


def test_a_batch_equals_the_twin_s_in_pixels_and_boxes(pictures):
    twins = [snapped(*each) for each in zip(pictures.pixels, pictures.uniforms)]
    samples, boxes, kept = zip(*twins)
    # 0.08 in the mean, 0.13 at most: OpenCV's fixed point. With TensorFlow's own inverse DCT, 0.8.
    assert differences(pictures.batch, samples).max() < 0.2
    np.testing.assert_array_equal(pictures.batch["labels"][:, :2] > 0, kept)
    np.testing.assert_allclose(pictures.batch["boxes"][:, :2], boxes, atol=1e-5)
    assert 0.2 < np.mean(kept) < 0.9


def test_snapping_to_pixels_of_the_sample_moves_little(pictures):
    samples = [painted(*each) for each in zip(pictures.pixels, pictures.uniforms)]
    moved = differences(pictures.batch, samples)
    # Edges move by half a pixel: on photographs 0.5 levels in the mean, 4.2 at most.
    assert moved.mean() < 1
    assert np.mean(moved <= 2) > 0.9


def test_reduced_decoding_stays_near_the_twin(pictures):
    samples = [painted(*each) for each in zip(pictures.pixels, pictures.uniforms)]
    batch = rendered(pictures.jpegs, pictures.uniforms, decode="reduced")
    # On photographs 0.6 levels in the mean, 4.6 at most.
    assert differences(batch, samples).max() < 6


FAULTS = {
    "half a pixel beside": lambda pixels: pixels // 2 + np.roll(pixels, 1, axis=1) // 2,
    "mirrored otherwise": lambda pixels: pixels[:, ::-1],
    "blue for red": lambda pixels: pixels[..., ::-1],
    "a border lost": lambda pixels: pixels[1:-1, 1:-1],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_pixels_is_seen(pictures, fault):
    pairs = zip(pictures.pixels, pictures.uniforms)
    faulty = [snapped(FAULTS[fault](pixels), uniforms)[0] for pixels, uniforms in pairs]
    assert np.median(differences(pictures.batch, faulty)) > 0.5


# Synthetic pictures: where things lie, to fractions of a pixel.

SQUARES = {(230, 20, 20): [0.1, 0.2, 0.35, 0.5], (20, 20, 230): [0.4, 0.55, 0.8, 0.95]}
SQUARES[20, 200, 20] = [0.6, 0.1, 0.9, 0.35]


def test_boxes_end_where_colours_change():
    """Three squares of one colour each on grey, in 60 samples."""
    pixels = np.full([400, 600, 3], 128, np.uint8)
    for shade, box in SQUARES.items():
        top, left, bottom, right = np.round(np.array(box) * [400, 600, 400, 600]).astype(int)
        pixels[top:bottom, left:right] = shade
    encoded = jpeg(pixels, quality=100, subsampling=0)
    uniforms = draw_uniforms(np.random.default_rng(3), 60)
    batch = rendered([encoded] * 60, uniforms, boxes=list(SQUARES.values()))
    count = 0
    for levels, boxes, labels in zip(batch["levels"], batch["boxes"].numpy(), batch["labels"]):
        for i in np.flatnonzero(labels):
            shade = np.array(list(SQUARES)[labels[i] - 1])
            # More this colour than grey.
            inside = ((levels - (shade + 128) / 2) * (shade - 128)).sum(-1) > 0
            inside &= np.abs(levels - shade).sum(-1) < 200
            rows, columns = inside.any(1).nonzero()[0], inside.any(0).nonzero()[0]
            seen = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
            np.testing.assert_allclose(boxes[i] * SIDE, seen, atol=1)
            count += 1
    assert count > 60


def flipped_or_not(encoded, mirrored):
    """The whole picture as a sample, from flips alone."""
    batch = rendered([encoded], np.array([[0, 0, 0, 0, 0.1 if mirrored else 0.9]]), framing=FLIP)
    return batch["levels"][0, :, :, 1]


@pytest.mark.parametrize("mirrored", [False, True], ids=["straight", "mirrored"])
@pytest.mark.parametrize("axis", [0, 1], ids=["rows", "columns"])
@pytest.mark.parametrize("side", [80, 210, 520], ids=str)
def test_an_edge_lies_where_it_did(side, axis, mirrored):
    """Half dark, half bright, at many places; dark pixels are counted, with their fractions."""
    errors = []
    for edge in range(side // 4, side // 2, side // 20):
        pixels = np.full([side, side, 3], 220, np.uint8)
        pixels[:edge] = 40
        pixels = pixels if axis == 0 else pixels.swapaxes(0, 1)
        levels = flipped_or_not(jpeg(pixels, quality=100), mirrored)
        line = levels.mean(axis=1 - axis)
        flips = mirrored and axis == 1
        assert (line[0] > line[-1]) == flips
        errors.append(((220 - line) / 180).sum() - edge * SIDE / side)
    # Without half-pixel centres: 1.4 pixels off for 80, 0.2 for 210 and for 520.
    assert np.abs(np.mean(errors)) < 0.1
    assert np.abs(errors).max() < 0.5


@pytest.mark.parametrize("expands", [False, True], ids=["whole", "zoomed out"])
@pytest.mark.parametrize("mirrored", [False, True], ids=["straight", "mirrored"])
def test_a_frame_of_one_pixel_shows_on_all_sides(expands, mirrored):
    pixels = np.full([75, 100, 3], 230, np.uint8)
    pixels[1:-1, 1:-1] = 30
    # The whole canvas, of twice the side and the picture's corner at 37, 50.
    uniforms = [0.1 if expands else 0.9, 1 / 3 + 1e-6, 0.5, 0.5, 0.1 if mirrored else 0.9, 0.0]
    encoded = jpeg(pixels, quality=100, subsampling=0)
    batch = rendered([encoded], np.array([uniforms + [0.0] * 8]))
    ymin, xmin, ymax, xmax = batch["rectangles"].numpy()[0]
    assert [ymax - ymin, xmax - xmin] == ([150, 150] if expands else [300, 300])
    part = batch["levels"][0, ymin:ymax, xmin:xmax]
    for border in (part[0], part[-1], part[:, 0], part[:, -1]):
        assert border.min() > 200 if not expands else border.min() > 150
    assert part[part.shape[0] // 2, part.shape[1] // 2].max() < 40
