"""TFLite (LiteRT): one file for all of its clients.

In reading order: tflite_model (the files), tflite_network (from an image to detections),
detection_op (from offsets and logits to detections), conversion, calibration_images, half_weights,
flat_layout (what clients expect where), tflite_metadata, flat_model, tflite_runtime, silence.
"""
