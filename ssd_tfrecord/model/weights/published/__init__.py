"""Weights that others have published: files of other programs -> layers of ours, and back.

In reading order: weight_files (which kind a file is, and its arrays) on the readers of each kind,
which run nothing that a file holds; layouts (how published networks name and order their arrays);
published_model (a file -> options, classes and arrays of ours), published_network (-> a network).
Only published_network needs TensorFlow.
"""
