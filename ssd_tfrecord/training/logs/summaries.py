"""TensorBoard: numbers and pictures, in ``train/`` and ``eval/`` of the run folder."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image


class Summaries:
    """The event files of a run, created at once, one per kind.

    Args:
        run_dir: the run folder.
    """

    def __init__(self, run_dir: str) -> None:
        self._writers = {
            kind: tf.summary.create_file_writer(os.path.join(run_dir, kind))
            for kind in ("train", "eval")
        }

    def numbers(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Writes numbers.

        Args:
            kind: train or eval.
            step: number of finished steps.
            values: numbers by tag, None for those that do not exist; nested dictionaries become
                tags like ``outer/inner/name``.
        """
        with self._writers[kind].as_default(step=step):
            for name, value in _flat(values):
                tf.summary.scalar(name, value)
        # TensorBoard would show them only after TensorFlow's own flush, two minutes later.
        self._writers[kind].flush()

    def pictures(self, kind: str, step: int, name: str, pictures: Sequence[Image.Image]) -> None:
        """Writes pictures, with the tags ``name/0``, ``name/1``, ….

        Args:
            kind: train or eval.
            step: number of finished steps.
            name: first part of the tags.
            pictures: Pillow images, RGB.
        """
        with self._writers[kind].as_default(step=step):
            for index, picture in enumerate(pictures):
                tf.summary.image(f"{name}/{index}", np.asarray(picture)[np.newaxis])
        self._writers[kind].flush()

    def close(self) -> None:
        """Closes the event files."""
        for writer in self._writers.values():
            writer.close()


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(tag, number) of every number in nested dictionaries."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        elif value is not None:
            yield prefix + name, value
