"""Training samples as pictures: large enough that their names can be read."""

import numpy as np

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import caching
from ssd_tfrecord.options import ModelOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.samples import Samples


def test_small_inputs_are_enlarged_by_a_whole_factor(tiny_records):
    config = TrainConfig(
        train_records=(str(tiny_records),),
        run_dir="unused",
        model=ModelOptions(backbone="toy", input_size=64, backbone_weights="none"),
    )
    source = caching.opened((Manifest.load(tiny_records),), config.input.reading)
    samples = Samples(config, source, 3, 2)
    pictures = samples.pictures()
    assert [picture.size for picture in pictures] == [(704, 704)] * 2
    first, second = map(np.asarray, pictures)
    assert (first != second).any()
    again, _ = map(np.asarray, Samples(config, source, 3, 2).pictures())
    np.testing.assert_array_equal(first, again)
    later, _ = map(np.asarray, samples.pictures())
    assert (first != later).any()
