"""From an image to boxes.

In reading order: detector (from images to boxes), detections and ground_truth (the boxes found, and
the annotated ones), image_files (the images of the command), pictures (boxes drawn on images),
session (the command). Imports runs and what lies below.
"""
