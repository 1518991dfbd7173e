"""What the input costs: medians over rounds, a part its chain less the chain before."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.benchmark import input_cost, rounds
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.options import FramingOptions, InputOptions
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.stopping import teardown

SETTINGS = {"input_size": 300, "batch_size": 2, "seed": 0}


@pytest.fixture
def source(tiny_records):
    return RecordReader([Manifest.load(tiny_records)])


def test_figures_by_hand():
    # CPU milliseconds of an image in each of three rounds; of wall time, half.
    chains = {
        "bare_decode": (5, 4, 6),
        "bare_eighth": (4, 3, 6),
        "host_share": (10, 12, 24),
        "same_work": (20, 20, 18),
        "reading": (1, 1, 1),
        "geometry": (3, 2, 1.5),
        "decoding": (6, 6, 6),
        "resizing": (8, 9, 10),
    }
    costs = {name: [rounds.Cost(ms, ms / 2) for ms in each] for name, each in chains.items()}
    decode = {"images_per_s": 400, "cpu_ms_per_image": 5}
    # Ratios 2, 3, 4 and 4, 5, 3; quartiles halfway between the three.
    host = {"images_per_s": 1000 / 6, "cpu_ms_per_image": 12, "ratio_to_decode": 3}
    same = {"images_per_s": 100, "cpu_ms_per_image": 20, "ratio_to_decode": 4}
    assert input_cost._figures(costs) == {
        "bare_decode": {**decode, "images_per_s_spread": 0.1, "cpu_ms_spread": 0.1},
        # Ratios 0.8, 0.75 and 1.
        "bare_eighth": {
            "images_per_s": 500,
            "images_per_s_spread": 0.1875,
            "cpu_ms_per_image": 4,
            "cpu_ms_spread": 0.1875,
            "ratio_to_decode": 0.8,
            "ratio_spread": pytest.approx(0.078125),
        },
        "host_share": {
            **host,
            "images_per_s_spread": 7 / 24,
            "cpu_ms_spread": 7 / 24,
            "ratio_spread": 0.5 / 3,
            "cores_for_1000_images_per_s": 12,
        },
        "same_work": {
            **same,
            "images_per_s_spread": 0.025,
            "cpu_ms_spread": 0.025,
            "ratio_spread": 0.125,
            "cores_for_1000_images_per_s": 20,
        },
        "part_cpu_ms_per_image": {
            "reading": 1,
            "geometry": 1,
            "decoding": 4,
            "resizing": 3,
            "rest": 3,
        },
        "shares": {
            "reading": 1 / 12,
            "geometry": 1 / 12,
            "decoding": 1 / 3,
            "resizing": 0.25,
            "rest": 0.25,
        },
    }


def test_bare_decoding_gets_the_jpegs_of_the_records_that_are_measured(source, tiny_voc):
    files = [path.read_bytes() for path in sorted(tiny_voc.glob("VOC2007/JPEGImages/*.jpg"))]
    options = InputOptions()
    assert sorted(input_cost._encoded(source.manifests, options, 0, 100).numpy()) == sorted(files)
    first = next(iter(pipeline.batches(source, options, **SETTINGS))).indices
    records = [source.read(index)[1] for index in first]
    expected = [schema.parse_example(record)["encoded"].numpy() for record in records]
    assert input_cost._encoded(source.manifests, options, 0, 2).numpy().tolist() == expected


def test_bare_decoding_decodes_all_pixels(tiny_voc):
    files = sorted(tiny_voc.glob("VOC2007/JPEGImages/*.jpg"))[:2]
    encoded = [path.read_bytes() for path in files]
    # 64 × 48 and 80 × 60, then the first again; three channels.
    assert next(iter(input_cost._bare_decode(encoded, 3))).numpy().tolist() == [9216, 14400, 9216]
    eighths = next(iter(input_cost._bare_decode(encoded, 3, ratio=8)))
    assert eighths.numpy().tolist() == [8 * 6 * 3, 10 * 8 * 3, 8 * 6 * 3]


def test_facts_of_jpegs_by_hand():
    def jpeg(size, mode="RGB", **options):
        stream = io.BytesIO()
        Image.new(mode, size).save(stream, "JPEG", **options)
        return stream.getvalue()

    encoded = [
        jpeg((100, 50), subsampling=2),
        jpeg((100, 50), subsampling=2, progressive=True),
        jpeg((100, 50), subsampling=0),
        jpeg((100, 250), "L"),
    ]
    assert input_cost.jpeg_facts(encoded) == {
        "kilobytes": sum(map(len, encoded)) / 4000,
        # 5,000 three times, and 25,000.
        "megapixels": 0.01,
        "progressive": 0.25,
        "chroma": {"4:2:0": 0.5, "4:4:4": 0.25, "grey": 0.25},
    }


def test_same_work_is_the_batch_that_the_network_takes(source):
    options = InputOptions()
    dataset = pipeline.batches(source, options, **SETTINGS)
    batch, same = next(iter(dataset)), next(iter(input_cost._same_work(dataset, options.color)))
    assert same.images.dtype == tf.float32
    expected = pipeline.network_images(batch, options.color)
    np.testing.assert_array_equal(same.images, expected)
    np.testing.assert_array_equal(same.boxes, batch.boxes)


def test_parts_end_with_the_pixels_of_the_sample(source, tiny_voc):
    options = InputOptions(framing=FramingOptions(augmentation="none"))
    parts = input_cost._parts(source, options, **SETTINGS)
    assert tuple(parts) == input_cost.PARTS[:-1]
    reading, framed, decoded, resized = (next(iter(part)) for part in parts.values())
    sample = next(iter(pipeline.batches(source, options, **SETTINGS)))
    np.testing.assert_array_equal(reading.indices, sample.indices)
    np.testing.assert_array_equal(framed["placed"], sample.rectangles)
    np.testing.assert_array_equal(resized, sample.images)
    pixels = [tf.io.decode_jpeg(encoded) for encoded in framed["encoded"]]
    assert decoded.numpy().tolist() == [tf.size(image).numpy() for image in pixels]


def test_no_iterator_is_destroyed_before_the_process_ends(source):
    teardown.release()
    input_cost.measure_input(source, InputOptions(), num_batches=1, num_rounds=1, **SETTINGS)
    # To destroy them could take a minute each; what is spared, test_teardown shows.
    [chains] = teardown._spared
    assert {"bare_decode", "host_share", *input_cost.PARTS[:-1]} <= set(chains)
