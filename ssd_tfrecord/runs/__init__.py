"""What a run is: its folder, its checkpoints and its history.

In reading order: run_folder (whether a folder is a run's, and whether that run may resume), what it
rests on (identity of record_content and start_weights; checkpoint_names; run_files, written whole
or not at all), run_lock (one run at a time) and provenance (who started it when, and how it ended);
then checkpoints (saved and restored), checkpoint_files and checkpoint_state beneath it, loaded_run
(a run's model); published_start (a run that begins with a published model) and imported_run (a
published model as a run); then history, and course, the room of what may fail without ending a
run. Only checkpoints, checkpoint_state, loaded_run and imported_run need TensorFlow. Imports data,
model and what they import, and config, because a run's flags are those of its config.
"""
