"""How a run ends before its time: signals, an input that is silent, errors, time that is up.

In reading order: signals (requests to stop) and time_limit, free of TensorFlow; guard (ends a run
that is stuck), failures (what went wrong, in one line), teardown (of the process, without waiting).
"""
