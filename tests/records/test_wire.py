"""The wire format: byte for byte what TensorFlow's own Example serializes to."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.records import wire


def _of_tensorflow(**features):
    kinds = {
        "bytes": lambda values: {"bytes_list": tf.train.BytesList(value=values)},
        "floats": lambda values: {"float_list": tf.train.FloatList(value=values)},
        "ints": lambda values: {"int64_list": tf.train.Int64List(value=values)},
    }
    feature = {
        key: tf.train.Feature(**kinds[kind](values)) for key, (kind, values) in features.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)


def test_a_literal_example():
    # features { feature { key: "a" value { int64_list { value: 300 } } } }
    assert wire.example({"a": wire.ints((300,))}).hex(" ") == (
        "0a 0d 0a 0b 0a 01 61 12 06 1a 04 0a 02 ac 02"
    )


@pytest.mark.parametrize("count", [0, 1, 3, 200])
@pytest.mark.parametrize("length", [0, 127, 128, 70_000])
def test_the_same_bytes_as_tensorflow(count, length):
    random = np.random.default_rng(count)
    strings = [random.bytes(length)] * min(count, 3)
    numbers = random.normal(size=count).tolist()
    whole = [int(value * 2 ** (index % 63)) for index, value in enumerate(numbers)]
    whole += [0, -1, 2**63 - 1, -(2**63)][:count]
    # Twice: what was met before is written from memory.
    for _ in range(2):
        ours = wire.example(
            {
                "z/ü": wire.byte_strings(strings),
                "b": wire.floats(numbers),
                "a": wire.ints(tuple(whole)),
                "w": wire.words(tuple(strings)),
            }
        )
        expected = {
            "z/ü": ("bytes", strings),
            "b": ("floats", numbers),
            "a": ("ints", whole),
            "w": ("bytes", strings),
        }
        assert ours == _of_tensorflow(**expected)


def test_values_that_differ_little_are_not_mixed_up():
    for values in [(), (0,), (1,), (False, True), (1, 0), (b"",), (b"", b""), (b"a", b""), (b"a",)]:
        is_words = bool(values) and isinstance(values[0], bytes)
        make_fn, kind = (wire.words, "bytes") if is_words else (wire.ints, "ints")
        # Protocol buffers take no bool for a number any more.
        plain = values if is_words else [int(value) for value in values]
        for key in ("a", "b"):
            assert wire.example({key: make_fn(values)}) == _of_tensorflow(**{key: (kind, plain)})
