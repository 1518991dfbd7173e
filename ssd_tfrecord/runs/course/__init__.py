"""How the course of a run is kept in files that the run could do without, and what it should be.

In reading order: dispensable (what a failure to write means), history_file (rows of history.csv),
event_files (TensorBoard's); reference_curve (scores that are known, beside those of a run), which
alone imports config, flags and errors. Free of TensorFlow.
"""
