"""Runs a TensorFlow Lite detector: ours, or any with the same operation and label file."""

import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.check_set import CheckImage
from ssd_tfrecord.exporting.exported_file import unusable
from ssd_tfrecord.exporting.tflite import tflite_metadata
from ssd_tfrecord.exporting.tflite.silence import silenced
from ssd_tfrecord.exporting.tflite.tflite_network import INPUT_MEAN, INPUT_STD

# More threads make small networks slower.
_MAX_THREADS = 4


class TFLiteRuntime:
    """A detector, read as Frigate does: outputs by their positions.

    ``title`` is the program with its version; ``class_names[i]`` is the class i of the file.
    """

    def __init__(self, path: pathlib.Path) -> None:
        """Opens a file.

        Args:
            path: of the file; nothing else is needed.

        Raises:
            InputError: it is not a TensorFlow Lite detector with a label file.
        """
        interpreter_class, self.title = _interpreter_class()
        threads = min(_MAX_THREADS, os.cpu_count() or 1)
        try:
            with path.open("rb") as file:
                self.class_names = tuple(tflite_metadata.read_labels(file))
            with silenced():
                self._interpreter = interpreter_class(str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
            self._outputs = [item["index"] for item in self._interpreter.get_output_details()]
            (self._input,) = self._interpreter.get_input_details()
            if len(self._outputs) != 4:
                raise ValueError(f"has {len(self._outputs)} outputs, not a detector's 4")
        except (OSError, ValueError, RuntimeError) as error:
            raise unusable(path, self.title, error) from None

    def detect(self, image: CheckImage) -> Detections:
        """The detections of an image, clipped to it."""
        self.run(image)
        boxes, classes, scores, (count,) = map(self._interpreter.get_tensor, self._outputs)
        kept = slice(int(count))
        return Detections(
            image.truth.source_id,
            image.truth.height,
            image.truth.width,
            np.clip(boxes[0, kept], 0.0, 1.0),
            scores[0, kept],
            classes[0, kept].astype(np.int32) + 1,
        )

    def run(self, image: CheckImage) -> None:
        """Runs the model on the image."""
        pixels = image.prepared.pixels[np.newaxis]
        if self._input["dtype"] != np.uint8:
            pixels = (pixels.astype(np.float32) - INPUT_MEAN) / INPUT_STD
        self._interpreter.set_tensor(self._input["index"], pixels)
        self._interpreter.invoke()


def _interpreter_class() -> tuple[Any, str]:
    """The class of TensorFlow's interpreter, or of its successor's, and their names."""
    interpreter = getattr(getattr(tf, "lite", None), "Interpreter", None)
    if interpreter is not None:
        return interpreter, f"tf.lite {tf.__version__}"
    try:
        from ai_edge_litert import interpreter as litert
    except ImportError:
        raise InputError(
            f"TensorFlow {tf.__version__} has no tf.lite; pip install ai-edge-litert"
        ) from None
    return litert.Interpreter, "ai-edge-litert"
