"""How the course of a run is kept in files that the run could do without.

In reading order: dispensable (what a failure to write means), history_file (rows of history.csv),
event_files (TensorBoard's). Imports nothing of ours; free of TensorFlow.
"""
