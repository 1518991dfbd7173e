"""Noise like the pipeline's batches."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.data import caching, pipeline
from ssd_tfrecord.options import InputOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.memory.synthetic_batch import synthetic_batch


def test_it_has_the_types_and_shapes_of_the_pipelines_batches(tiny_records):
    options = InputOptions()
    source = caching.opened([Manifest.load(tiny_records)], options.reading)
    real = pipeline.batches(source, options, input_size=64, batch_size=2, seed=0)
    made = tf.data.Dataset.from_tensors(synthetic_batch(64, 2, 3)).element_spec
    for name, ours, theirs in zip(pipeline.Batch._fields, made, real.element_spec):
        assert ours.dtype == theirs.dtype and theirs.is_compatible_with(ours), name


@pytest.mark.parametrize(("num_objects", "rows"), [(1, 8), (8, 8), (9, 16), (93, 128)])
def test_objects_are_valid_and_padded_as_the_pipeline_pads_them(num_objects, rows):
    batch = synthetic_batch(32, 3, 4, num_objects=num_objects)
    assert batch.boxes.shape == (3, rows, 4)
    assert int(pipeline._bucket(tf.constant(num_objects))) == rows
    low, high = batch.boxes[:, :num_objects, :2], batch.boxes[:, :num_objects, 2:]
    assert (low >= 0).all() and (high > low).all() and (high <= 1).all()
    assert set(np.unique(batch.labels[:, :num_objects])) <= {1, 2, 3, 4}
    assert not batch.labels[:, num_objects:].any() and not batch.boxes[:, num_objects:].any()
