"""ONNX, with NonMaxSuppression or with raw boxes and scores.

In reading order: onnx_model (what is written), network_graph (TensorFlow to ONNX), graph_passes
(what that leaves to be done), suppression_nodes (``geometry.suppression`` in ONNX), model_facts
(what the files say about themselves), ort_runtime (the files in onnxruntime), extra_packages (what
has to be installed).
"""
