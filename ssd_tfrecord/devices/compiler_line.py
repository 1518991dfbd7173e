"""The line that TensorFlow's compiler prints once in each process."""

import os
import sys

import tensorflow as tf


def swallow() -> None:
    """Compiles a sum, so that the compiler says now, unheard, that it has compiled something.

    XLA logs so at the first function it compiles ("Compiled cluster using XLA! This line is logged
    at most once"), with a warning about the log itself, by a logger that ``TF_CPP_MIN_LOG_LEVEL``
    does not reach: TensorFlow 2.15 and 2.21 alike. Amid a progress bar it looks like an error. Not
    heard either: what other threads print meanwhile, some 50 ms. To be called once devices are set
    up, which TensorFlow allows only before the first operation.
    """
    # None where there is no such output, and its number may be another file's.
    if sys.stderr is None:
        return
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        with tf.device("CPU:0"):
            tf.function(_sum, jit_compile=True, autograph=False)(tf.constant(1.0))
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _sum(x: tf.Tensor) -> tf.Tensor:
    return x + x
