"""Training samples as pictures: large enough that their names can be read."""

import numpy as np

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import caching
from ssd_tfrecord.options import ModelOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.samples import sample_pictures


def test_small_inputs_are_enlarged_by_a_whole_factor(tiny_records):
    config = TrainConfig(
        train_records=(str(tiny_records),),
        run_dir="unused",
        model=ModelOptions(backbone="toy", input_size=64, backbone_weights="none"),
    )
    source = caching.opened((Manifest.load(tiny_records),), config.input.reading)
    pictures = sample_pictures(config, source, 3, 2)
    assert [picture.size for picture in pictures] == [(704, 704)] * 2
    first, second = map(np.asarray, pictures)
    assert (first != second).any()
    again, _ = map(np.asarray, sample_pictures(config, source, 3, 2))
    np.testing.assert_array_equal(first, again)
