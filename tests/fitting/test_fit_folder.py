"""Which split is for what, as it is said."""

import pytest

from ssd_tfrecord import flags
from ssd_tfrecord.config import FitConfig
from ssd_tfrecord.fitting.fit_folder import FitFolder


@pytest.mark.parametrize(
    ("parts", "words", "said"),
    [
        (
            ("train", "val", "test"),
            (),
            "to train on: train and val (--hold_out keeps val apart); "
            "test is seen once, at the end",
        ),
        (
            ("train", "val", "test"),
            ("--hold_out",),
            "to train on: train; val chooses the checkpoint; test is seen once, at the end",
        ),
        (("train", "test"), (), "to train on: train; test is seen once, at the end"),
        (
            ("train", "val"),
            (),
            "to train on: train; val chooses the checkpoint, and scores the model",
        ),
    ],
)
def test_purposes(parts, words, said):
    config = flags.parse(FitConfig, ["fit", "in", "--output_dir=out", *words])
    assert FitFolder.of(config, parts).purposes == said
