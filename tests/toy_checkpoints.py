"""Checkpoints of a model of two weights, and the ways in which one is damaged."""

import numpy as np

from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import OptimizerOptions
from ssd_tfrecord.runs import checkpoint_files
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.training.update import optimizers

OPTIONS = OptimizerOptions(learning_rate=0.1)

# What happens to the newest checkpoint, and what is said of it.
DAMAGES = {
    "data cut": (lambda index, data: (index, data[:-100]), "its data are cut"),
    "data empty": (lambda index, data: (index, b""), "its data are cut: 0 of at least "),
    "data gone": (lambda index, data: (index, None), "its data file is missing"),
    "data zeros": (
        lambda index, data: (index, bytes(len(data))),
        "a checksum of its data is wrong",
    ),
    "one bit": (
        lambda index, data: (index, data[:9] + bytes([data[9] ^ 1]) + data[10:]),
        "a checksum of its data is wrong",
    ),
    "index empty": (lambda index, data: (b"", data), "its index is no index"),
    "index cut": (lambda index, data: (index[:-9], data), "its index is no index"),
    "index garbage": (lambda index, data: (b"x" * 999, data), "its index is no index"),
}


def dense(precision="mixed_float16", keep=2, *, run_dir, **options):
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(1,), kernel_initializer="ones")])
    optimizer = optimizers.create(OPTIONS, 100, precision)
    optimizers.build(optimizer, model.trainable_variables)
    kept = Checkpoints(run_dir, model=model, optimizer=optimizer, keep=keep, **options)
    return model, optimizer, kept


def damage(path, how):
    """Damages the checkpoint ``path`` in one of the ways of DAMAGES."""
    files = [path.with_name(f"{path.name}.{end}") for end in ("index", "data-00000-of-00001")]
    damaged = DAMAGES[how][0](*(file.read_bytes() for file in files))
    for file, content in zip(files, damaged):
        file.unlink()
        if content is not None:
            file.write_bytes(content)


def saved(run_dir, *steps, keep=3, **options):
    """The Checkpoints of a run whose kernel is N at step N, and its model."""
    model, _, kept = dense("float32", keep, run_dir=run_dir, **options)
    for step in steps:
        model.set_weights([np.full((1, 1), float(step)), np.zeros(1)])
        kept.save(step)
    return model, kept


def kernel(model):
    return float(model.get_weights()[0][0, 0])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def steps(folder):
    return [place.step for place in checkpoint_files.places(folder)]
