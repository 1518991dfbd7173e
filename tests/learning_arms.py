"""A training whose samples come from elsewhere: the arms of ``learning.py``, as a command.

    python tests/learning_arms.py original --train_records=… and all other flags of the trainer

``ours``: the package's samples. ``torchvision``: those of its windows (with the flags of
``FLAGS``), with torchvision's colours instead. ``original``: the slow twin's, from the record's
JPEG on. Order of records, network, matching, loss and optimizer are the same, and a run that is
stopped goes on with the samples that it would have had.
"""

import io
import os
import sys

import cv2
import numpy as np
import original_twin
import torchvision_colors
from PIL import Image

# What an arm adds to the flags of the recipe.
FLAGS = {
    "ours": (),
    "torchvision": ("--crop_semantics=torchvision", "--crop_trials=40"),
    # As the original resizes; only the twin reads it.
    "original": ("--interpolation=original",),
}


def twin_sample(random, pixels, boxes, side, framing, interpolation):
    """The original's way: distort, expand, crop, resize, mirror.

    Args:
        random: NumPy's generator.
        pixels: uint8 [H, W, 3] RGB.
        boxes: [N, 4] as [ymin, xmin, ymax, xmax] in [0, 1], of all objects.
        side: of the sample in pixels.
        framing: ``FramingOptions``, of which ``max_expansion`` counts.
        interpolation: bilinear or original.

    Returns:
        The sample, uint8 [side, side, 3]; its boxes [N, 4]; bool [N], the objects that are kept.
    """
    column = np.ascontiguousarray(pixels.reshape(-1, 1, 3))
    pixels = original_twin.distort(column, original_twin.draw_colors(random)).reshape(pixels.shape)
    size = np.array(pixels.shape[:2])
    drawn = original_twin.frames(random, boxes, size, 1, framing.max_expansion)
    canvas, offset, low, sides = (drawn[name][0] for name in ("canvas", "offset", "low", "sides"))
    kinds = original_twin.INTERPOLATIONS if interpolation == "original" else (cv2.INTER_LINEAR,)
    kind = kinds[random.integers(len(kinds))]
    window = np.concatenate([low, low + sides])
    sample = original_twin.paint(pixels, canvas, offset, window, side, kind)
    if drawn["mirrored"][0]:
        sample = sample[:, ::-1]
    return sample, drawn["boxes"][0], drawn["kept"][0]


def twin_batches(source, options, *, input_size, batch_size, seed, start_step=0, host=None):
    """As ``pipeline.batches``, of ``twin_sample``."""
    import tensorflow as tf

    from ssd_tfrecord.data import pipeline
    from ssd_tfrecord.records import schema

    def samples(epochs, indices, encoded, boxes, labels, crowd):
        images = np.zeros([len(encoded), input_size, input_size, 3], np.uint8)
        found, named = np.zeros_like(boxes), np.zeros_like(labels)
        for i, jpeg in enumerate(encoded):
            random = np.random.default_rng([seed, epochs[i], indices[i]])
            pixels = np.array(Image.open(io.BytesIO(jpeg)).convert("RGB"))
            # Crowd regions count for the crop, and are not trained on.
            objects = np.flatnonzero(labels[i] > 0)
            images[i], drawn, kept = twin_sample(
                *(random, pixels, boxes[i, objects].astype(float), input_size),
                *(options.framing, options.rendering.interpolation),
            )
            trained = kept & ~crowd[i, objects]
            found[i, objects[trained]] = drawn[trained]
            named[i, objects[trained]] = labels[i, objects[trained]]
        return images, found, named

    def batch(records):
        parsed = schema.parse_batch(records.serialized)
        images, boxes, labels = tf.numpy_function(
            samples,
            [records.epochs, records.asked, *parsed_arrays(parsed)],
            [tf.uint8, tf.float32, tf.int32],
        )
        room = pipeline._bucket(tf.shape(labels)[1]) - tf.shape(labels)[1]
        whole = [[0, 0, input_size, input_size]]
        return pipeline.Batch(
            images=tf.ensure_shape(images, [batch_size, input_size, input_size, 3]),
            boxes=tf.pad(
                tf.ensure_shape(boxes, [batch_size, None, 4]), [[0, 0], [0, room], [0, 0]]
            ),
            labels=tf.pad(tf.ensure_shape(labels, [batch_size, None]), [[0, 0], [0, room]]),
            rectangles=tf.tile(whole, [batch_size, 1]),
            color=unchanged(batch_size),
            mirrored=tf.zeros([batch_size], tf.bool),
            indices=records.indices,
            substituted=records.indices != records.asked,
        )

    records = pipeline.record_batches(
        source,
        options.reading,
        batch_size=batch_size,
        seed=seed,
        start=start_step * batch_size,
    )
    dataset = records.map(batch, tf.data.AUTOTUNE).prefetch(pipeline.PREFETCHED)
    return dataset.with_options(pipeline.dataset_options(options.reading.num_workers))


def parsed_arrays(parsed):
    return parsed.encoded, parsed.boxes, parsed.labels, parsed.crowd


def unchanged(batch_size):
    """Colour parameters [B, 5] that change nothing, to the bit."""
    import tensorflow as tf

    from ssd_tfrecord.pixels import color

    return tf.tile([color.IDENTITY], [batch_size, 1])


def recolored(dataset, seed, start_step):
    """A dataset of ``Batch`` with torchvision's colours.

    They are taken of the picture's part that is seen: the mean that its contrast turns about is
    that part's, where torchvision has that of the whole picture.
    """
    import tensorflow as tf

    def paint(step, images, rectangles, mirrored):
        images = images.copy()
        side = images.shape[2]
        for i, (image, flips) in enumerate(zip(images, mirrored)):
            random = np.random.default_rng([seed, step, i])
            operations, channels = torchvision_colors.draw(random)
            ymin, xmin, ymax, xmax = rectangles[i]
            # Rectangles are those after mirroring, and the pixels are from before it.
            left, right = (side - xmax, side - xmin) if flips else (xmin, xmax)
            if ymin < ymax and left < right:
                seen = image[ymin:ymax, left:right]
                image[ymin:ymax, left:right] = torchvision_colors.distort(
                    seen, operations, channels
                )
        return images

    def batch(step, drawn):
        arguments = [step, drawn.images, drawn.rectangles, drawn.mirrored]
        images = tf.numpy_function(paint, arguments, tf.uint8)
        images = tf.ensure_shape(images, drawn.images.shape)
        return drawn._replace(images=images, color=unchanged(drawn.images.shape[0]))

    return dataset.enumerate(start_step).map(batch, tf.data.AUTOTUNE)


def install(arm):
    """Makes ``pipeline.batches`` those of an arm; returns what was there."""
    from ssd_tfrecord.data import pipeline

    ours = pipeline.batches

    def torchvision_batches(source, options, *, seed, start_step=0, **others):
        made = ours(source, options, seed=seed, start_step=start_step, **others)
        return recolored(made, seed, start_step)

    arms = {"ours": ours, "torchvision": torchvision_batches, "original": twin_batches}
    pipeline.batches = arms[arm]
    return ours


def main(arm, *words):
    """Trains; returns the exit code."""
    from ssd_tfrecord import flags, programs
    from ssd_tfrecord.config import TrainConfig
    from ssd_tfrecord.devices import onednn

    words = ["train", *words, *FLAGS[arm]]
    # As the trainer does, which imports it later.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The trainer's choice, which it makes before TensorFlow is imported.
    config = flags.parse(TrainConfig, words)
    onednn.set_up(config.devices.onednn)
    install(arm)
    return programs.run("train", words)


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    # Not by the interpreter's end: it may wait for ever for a thread that makes samples in Python.
    sys.stdout.flush()
    os._exit(code)
