"""What a run is: its folder, its checkpoints and its history.

In reading order: run_folder (whose it is, and whether it may go on; free of TensorFlow),
checkpoints (weights, saved and read back), history. Imports data, model and what they import, and
config, as a run's flags are its config's.
"""
