"""Equal variables on all workers; several are tested as processes in tests/test_workers.py."""

import tensorflow as tf

from ssd_tfrecord.keras import keras
from ssd_tfrecord.training.cluster import synchrony


def test_variables_come_once_and_without_those_that_are_no_numbers():
    a, b, flag = tf.Variable(1.0), tf.Variable(2), tf.Variable(True)
    model = keras.Sequential([keras.layers.Dense(2)])
    model.build([None, 3])
    found = synchrony.variables_of({"a": a, "b": b, "flag": flag}, model, {"again": a}, None)
    assert [id(variable) for variable in found] == [
        id(variable) for variable in (a, b, *model.variables)
    ]


def test_one_worker_sends_to_nobody():
    value = tf.Variable(3.0)
    synchrony.send_to_all([value], tf.distribute.get_strategy())
    assert float(value.numpy()) == 3.0
