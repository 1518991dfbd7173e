"""Images in records that are no JPEGs, or not of the size that is stated: refused undecoded."""

import dataclasses
import functools
import io
import resource
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.data import caching, pipeline, whole_images
from ssd_tfrecord.data.reading import RecordReader, first_damaged
from ssd_tfrecord.detection import recorded
from ssd_tfrecord.errors import DamagedRecordError
from ssd_tfrecord.options import InputOptions, ReadOptions
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.annotation import ImageAnnotation
from ssd_tfrecord.records.manifest import FRAME_BYTES, Manifest, Shard

HUGE = 30_000


def jpeg(width=64, height=48, **options):
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(stream, "JPEG", **options)
    return stream.getvalue()


def noise():
    stream = io.BytesIO()
    levels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(levels).save(stream, "JPEG")
    return stream.getvalue()


def stating(encoded, height, width):
    """A JPEG whose header states another size."""
    place = max(encoded.find(b"\xff\xc0"), encoded.find(b"\xff\xc2"))
    return encoded[: place + 5] + struct.pack(">HH", height, width) + encoded[place + 9 :]


def saved_as(kind):
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(stream, kind)
    return stream.getvalue()


@functools.cache
def huge_png():
    """900 million pixels in less than a megabyte."""

    def chunk(name, data):
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", HUGE, HUGE, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(HUGE + 1)) for _ in range(HUGE)) + packer.flush()
    magic = b"\x89PNG\r\n\x1a\n"
    return magic + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def record_set(folder, encoded, height, width):
    """The shard of a set of a good record and this one."""
    folder.mkdir(exist_ok=True)
    records = [
        schema.to_example(
            ImageAnnotation(
                source_id=str(number),
                filename="",
                height=size[0],
                width=size[1],
                objects=(),
                original_format="jpeg",
            ),
            image,
        )
        for number, (image, size) in enumerate([(jpeg(), (48, 64)), (encoded, (height, width))])
    ]
    path = str(folder / "a.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    lengths = tuple(map(len, records))
    return Shard("a.tfrecord", 2, sum(lengths) + 2 * FRAME_BYTES, "0" * 64, lengths)


@pytest.fixture
def make(tiny_records, tmp_path):
    def make(encoded, height, width):
        shard = record_set(tmp_path / "set", encoded, height, width)
        manifest = dataclasses.replace(
            Manifest.load(tiny_records),
            directory=str(tmp_path / "set"),
            shards=(shard,),
            num_records=2,
            num_pixels=48 * 64 + height * width,
        )
        manifest.save()
        return Manifest.load(tmp_path / "set")

    return make


def evaluate(manifest):
    list(whole_images.evaluation_dataset(manifest, input_size=32, batch_size=2))


def train(manifest):
    dataset = pipeline.batches(
        RecordReader([manifest]), InputOptions(), input_size=32, batch_size=2, seed=0
    )
    next(iter(dataset))


def draw(manifest):
    list(recorded.read_images(manifest, [0, 1]))


def fill_cache(manifest):
    # Refused before room for the pixels that the manifest states is taken.
    small = dataclasses.replace(manifest, num_pixels=10_000)
    caching.opened([small], ReadOptions(cache="decoded"))


READERS = {"training": train, "evaluation": evaluate, "pictures": draw, "cache": fill_cache}
IMAGES = {
    "PNG": (lambda: saved_as("PNG"), 48, 64),
    "GIF": (lambda: saved_as("GIF"), 48, 64),
    "BMP": (lambda: saved_as("BMP"), 48, 64),
    "huge PNG": (huge_png, HUGE, HUGE),
    "no image": (lambda: b"x" * 100, 48, 64),
    "nothing": (lambda: b"", 48, 64),
    "JPEG of another size": (jpeg, 64, 48),
    "huge JPEG": (lambda: stating(jpeg(), HUGE, HUGE), HUGE, HUGE),
    "huge progressive JPEG": (lambda: stating(jpeg(progressive=True), HUGE, HUGE), HUGE, HUGE),
    "huge JPEG that is called small": (lambda: stating(jpeg(), HUGE, HUGE), 48, 64),
}


@pytest.mark.parametrize("read_fn", READERS.values(), ids=READERS)
@pytest.mark.parametrize(("encoded_fn", "height", "width"), IMAGES.values(), ids=IMAGES)
def test_an_image_beyond_what_is_stated_is_not_decoded(make, read_fn, encoded_fn, height, width):
    manifest = make(encoded_fn(), height, width)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(tf.errors.InvalidArgumentError):
        read_fn(manifest)
    # In kB: one channel of 30,000 x 30,000 pixels has 900 MB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.parametrize("read_fn", READERS.values(), ids=READERS)
def test_a_good_image_is_read(make, read_fn):
    read_fn(make(jpeg(), 48, 64))


@pytest.mark.parametrize(
    ("encoded", "height", "reason"),
    [
        (saved_as("PNG"), 48, "Invalid JPEG data, size"),
        (jpeg(), 40, "the image must have the height and width that its record states"),
        (noise()[:1500], 48, "Invalid JPEG data or crop window"),
    ],
    ids=["PNG", "another size", "cut"],
)
def test_the_record_is_named(make, encoded, height, reason):
    error = first_damaged([make(encoded, height, 64)])
    assert isinstance(error, DamagedRecordError)
    assert "\n" not in str(error)
    assert "set/a.tfrecord: record 1 (from byte " in str(error)
    assert "cannot be used: " in str(error)
    assert reason in str(error)
