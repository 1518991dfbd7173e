"""How a run ends before its time: signals, an input that is silent, and errors in one line.

In reading order: signals (requests to stop; free of TensorFlow), guard (ends a run that is stuck),
failures (what went wrong, in one line).
"""
