"""One round of TensorFlow's graph optimizer, in the block alone, with all else as it was set."""

import threading

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
from tensorflow.python.eager import context

from ssd_tfrecord.tracing import optimized_once

REWRITER = rewriter_config_pb2.RewriterConfig


def rewriting():
    """(rounds, the pass over memory, constant folding) of a graph that is called now."""
    options = context.context().function_call_options.config_proto_serialized
    found = config_pb2.ConfigProto.FromString(options).graph_options.rewrite_options
    return found.meta_optimizer_iterations, found.memory_optimization, found.constant_folding


def test_a_block_has_one_round_and_what_else_is_set():
    usual = (REWRITER.DEFAULT_NUM_ITERS, REWRITER.DEFAULT_MEM_OPT)
    tf.config.optimizer.set_experimental_options({"constant_folding": False})
    try:
        assert rewriting() == (*usual, REWRITER.OFF)
        elsewhere = []
        with optimized_once():
            assert rewriting() == (REWRITER.ONE, REWRITER.NO_MEM_OPT, REWRITER.OFF)
            thread = threading.Thread(target=lambda: elsewhere.append(rewriting()))
            thread.start()
            thread.join()
        assert elsewhere == [(*usual, REWRITER.OFF)]
        with pytest.raises(KeyError), optimized_once():
            raise KeyError
        assert rewriting() == (*usual, REWRITER.OFF)
    finally:
        tf.config.optimizer.set_experimental_options({"constant_folding": True})


def test_on_a_gpu_all_stays_as_it_is(monkeypatch):
    before = rewriting()
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [f"{kind}:0"])
    with optimized_once():
        assert rewriting() == before


def test_a_graph_gives_the_same_in_either():
    square = tf.function(lambda x: tf.reduce_sum(x * x * 2.0 * 3.0), autograph=False)
    values = tf.random.stateless_normal([1000], [1, 2])
    with optimized_once():
        inside = square(values).numpy()
    assert inside == square(values).numpy()
