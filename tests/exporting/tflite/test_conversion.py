import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from ssd_tfrecord.backbones.layers import ChannelL2Norm
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.tflite import conversion
from ssd_tfrecord.exporting.tflite.conversion import Source
from ssd_tfrecord.exporting.tflite.flat_model import FlatModel
from ssd_tfrecord.keras import keras


def test_layers_that_are_named_stay_in_float():
    image = keras.Input([8, 8, 3])
    x = keras.layers.Conv2D(4, 3, name="before")(image)
    x = ChannelL2Norm(name="norm")(x)
    model = keras.Model(image, keras.layers.Conv2D(2, 3, name="after")(x), name="net")
    holder = tf.Module()
    holder.weights = list(model.variables)
    function = tf.function(model, input_signature=[tf.TensorSpec([1, 8, 8, 3])], autograph=False)
    source = Source(function.get_concrete_function(), holder)
    random = np.random.default_rng(0)
    images = [[random.normal(0, 1, (1, 8, 8, 3)).astype(np.float32)] for _ in range(4)]
    flat = FlatModel(conversion.convert_to_int8(source, images, ["norm"]))

    def types(operators):
        return [flat.graph.tensors[one.inputs[0]].type for one in operators]

    assert types(flat.operators("CONV_2D")) == [schema.TensorType.INT8] * 2
    # Of squares, which int8 cannot hold.
    assert types(flat.operators("L2_NORMALIZATION")) == [schema.TensorType.FLOAT32]


class Failing:
    """A source whose converter fails, after talking."""

    def converter(self):
        print("talking")
        raise ValueError("first line\n  second line")


def test_failures_take_one_line(capfd):
    with pytest.raises(InputError, match="cannot convert the network to float32: first line sec"):
        conversion.convert(Failing())
    with pytest.raises(InputError, match="cannot convert the network to int8: first line sec"):
        conversion.convert_to_int8(Failing(), [], [])
    assert capfd.readouterr() == ("", "")


def test_errors_of_the_images_are_their_own():
    class Unreadable(Failing):
        def converter(self):
            raise InputError("a shard is gone")

    with pytest.raises(InputError, match=r"^a shard is gone$"):
        conversion.convert_to_int8(Unreadable(), [], [])
