"""The batch of a step whose loss is not finite: drawn anew, saved and named."""

import pathlib

import numpy as np

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.errors import InputError


def training_batches(config: TrainConfig, source, start_step: int):
    """The batches after ``start_step`` finished steps, the same in every run of ``config``."""
    return pipeline.batches(
        source,
        config.input,
        input_size=config.model.input_size,
        batch_size=config.global_batch_size,
        seed=config.seed,
        start_step=start_step,
    )


def report(config: TrainConfig, source, step: int) -> InputError:
    """Saves the batch of step ``step`` (from 1) as .npz; the error that names its images."""
    batch = next(training_batches(config, source, step - 1).as_numpy_iterator())
    names = pipeline.source_ids(source.manifests, batch.indices)
    path = pathlib.Path(config.run_dir) / f"nonfinite-{step}.npz"
    np.savez_compressed(path, source_ids=np.array(names), **batch._asdict())
    return InputError(
        f"step {step}: the loss or its gradient is not finite; images {', '.join(names)}; the "
        f"batch is in {path}. Try a lower --learning_rate, --warmup_steps or --gradient_clip_norm"
    )
