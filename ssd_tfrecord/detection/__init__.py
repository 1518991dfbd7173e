"""From an image to boxes.

In reading order: image_files (opened as the converters open them), detector (from images to boxes),
detections and ground_truth (the boxes found, and the annotated ones), recorded (the truth and the
images of a record set), speed, pictures (boxes drawn on images); and the command: sources (which
images), stream (through threads and the network), best_thresholds, interruption (Ctrl-C), outputs
(what is written), session. Imports runs and what lies below.
"""
