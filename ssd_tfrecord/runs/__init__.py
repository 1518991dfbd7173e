"""What a run is: its folder, its checkpoints and its history.

In reading order: run_folder (whether a folder is a run's, and whether the run may resume; free of
TensorFlow), checkpoints (weights, saved and loaded), history. Imports data, model and what they
import, and config, because a run's flags are those of its config.
"""
