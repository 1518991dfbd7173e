"""Keeps AutoGraph away from our functions: none of them branches on a tensor in Python."""

from collections.abc import Callable
from typing import TypeVar, cast

import tensorflow as tf

_Function = TypeVar("_Function", bound=Callable)


def not_converted(function: _Function) -> _Function:
    """Keeps AutoGraph from converting ``function`` and everything that is traced inside it.

    Converting it all would take a quarter of the CPU time that a run needs to start: 6 s of 22.
    """
    # TensorFlow's decorator is untyped; the wrapped function has the same signature.
    return cast(_Function, tf.autograph.experimental.do_not_convert(function))
