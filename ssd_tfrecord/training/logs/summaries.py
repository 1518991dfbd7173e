"""TensorBoard: numbers and pictures under ``train/`` and ``eval/`` of the run folder."""

import os

import numpy as np
import tensorflow as tf


class Summaries:
    """Event files of a run; each writer begins its file with its first point."""

    def __init__(self, run_dir):
        self._writers = {
            kind: tf.summary.create_file_writer(os.path.join(str(run_dir), kind))
            for kind in ("train", "eval")
        }

    def numbers(self, kind: str, step: int, values: dict) -> None:
        """Writes every number of ``values``; a dict within gives ``outer/inner/name``."""
        with self._writers[kind].as_default(step=step):
            for name, value in _flat(values):
                tf.summary.scalar(name, value)
        self._writers[kind].flush()

    def pictures(self, kind: str, step: int, name: str, pictures) -> None:
        """Writes ``pictures``, a list of Pillow images."""
        with self._writers[kind].as_default(step=step):
            for index, picture in enumerate(pictures):
                tf.summary.image(f"{name}/{index}", np.asarray(picture)[np.newaxis])
        self._writers[kind].flush()

    def close(self) -> None:
        """Closes the event files."""
        for writer in self._writers.values():
            writer.close()


def _flat(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        elif value is not None:
            yield prefix + name, value
