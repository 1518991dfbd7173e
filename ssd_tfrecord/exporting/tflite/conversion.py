"""From a function to the bytes of a TensorFlow Lite model."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.tflite import detection_op
from ssd_tfrecord.exporting.tflite.flat_model import FlatModel
from ssd_tfrecord.exporting.tflite.silence import silenced

# What joins the heads, and what follows. Scores in 256 steps could not tell what is above 0.01, and
# one range for all maps, and for shifts and sizes alike, is too coarse.
_AFTER_HEADS = ("offsets", "logits", detection_op.SCOPE)


@dataclass(frozen=True)
class Source:
    """What is converted: ``function``, and ``holder``, which keeps its variables alive."""

    function: tf.types.experimental.ConcreteFunction
    holder: tf.Module

    def converter(self) -> tf.lite.TFLiteConverter:
        """A converter to float32."""
        converter = tf.lite.TFLiteConverter.from_concrete_functions([self.function], self.holder)
        converter.allow_custom_ops = True
        return converter


def convert(source: Source) -> bytes:
    """Converts to float32.

    Raises:
        InputError: TensorFlow Lite cannot convert the network.
    """
    with _in_one_line("float32"), silenced():
        return bytes(source.converter().convert())


def convert_to_int8(
    source: Source, images: Iterable[list[np.ndarray]], float_layers: Sequence[str]
) -> bytes:
    """Converts to int8 with uint8 input, but for what needs float.

    Args:
        source: what is converted.
        images: inputs by which the ranges are chosen.
        float_layers: names of layers that are to stay in float, beside what follows the heads.

    Raises:
        InputError: TensorFlow Lite cannot convert the network.
    """
    # In two steps: only the second one takes a list of what is to stay in float.
    from tensorflow.lite.python.convert import mlir_quantize

    with _in_one_line("int8"), silenced():
        converter = source.converter()
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: images
        converter._experimental_calibrate_only = True
        calibrated = bytes(converter.convert())
        kept = float_tensors(FlatModel(calibrated), float_layers)
        return bytes(mlir_quantize(calibrated, input_data_type=tf.uint8, denylisted_nodes=kept))


def float_tensors(model: FlatModel, float_layers: Sequence[str]) -> list[str]:
    """Names of the tensors whose operators are to stay in float: see ``convert_to_int8``."""
    names = {*float_layers, *_AFTER_HEADS}
    found = (model.name(operator.outputs[0]) for operator in model.graph.operators)
    # A fused operator has the names of all of its layers, its own first.
    return [name for name in found if names & set(name.split(";")[0].split("/"))]


@contextlib.contextmanager
def _in_one_line(precision: str) -> Iterator[None]:
    """Turns whatever the converter raises into an InputError."""
    try:
        yield
    except InputError:
        # Of the images.
        raise
    except Exception as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"--format=tflite: TensorFlow {tf.__version__} cannot convert the network to "
            f"{precision}: {words[:300]}"
        ) from error
