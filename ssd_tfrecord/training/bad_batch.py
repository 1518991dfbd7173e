"""The batch of a step whose loss is not finite: made again, saved and reported."""

import pathlib

import numpy as np
import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.reading import RecordSource
from ssd_tfrecord.errors import InputError


def training_batches(config: TrainConfig, source: RecordSource, start_step: int) -> tf.data.Dataset:
    """The batches after ``start_step`` finished steps, the same in every run of ``config``."""
    return pipeline.batches(
        source,
        config.input,
        input_size=config.model.input_size,
        batch_size=config.global_batch_size,
        seed=config.seed,
        start_step=start_step,
    )


def report(config: TrainConfig, source: RecordSource, step: int) -> InputError:
    """Saves the batch of step ``step`` (from 1) as .npz; returns the error that names its images.

    Args:
        config: of the run.
        source: of the records that it trains on.
        step: the step whose loss or gradient was not finite.
    """
    # The graph does not keep its batches, but a batch follows from seed and step alone. Not so with
    # --data_service, whose workers may return another one.
    batch = next(training_batches(config, source, step - 1).as_numpy_iterator())
    names = pipeline.source_ids(source.manifests, batch.indices)
    path = pathlib.Path(config.run_dir) / f"nonfinite-{step}.npz"
    np.savez_compressed(path, source_ids=np.array(names), **batch._asdict())
    return InputError(
        f"step {step}: the loss or its gradient is not finite; images {', '.join(names)}; the "
        f"batch is saved in {path}. Try a lower --learning_rate, --warmup_steps or "
        "--gradient_clip_norm"
    )
