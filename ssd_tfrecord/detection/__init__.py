"""From an image to boxes.

In reading order: detector (the one way there is), detections and ground_truth (boxes found, and
those that are there), image_files (what is detected in), pictures (what is drawn), session (the
command). Imports runs and what lies below.
"""
