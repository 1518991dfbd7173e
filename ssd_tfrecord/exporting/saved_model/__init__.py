"""A SavedModel that clients of the TF Object Detection API and TensorFlow Serving read.

In reading order: saved_model_files (what is written), serving_graph (from bytes or pixels to the
eight outputs), label_map_text, saved_model_runtime (how it is run). Imports what the room above
does.
"""
