"""Folders as they come from annotation tools and web sites -> one SourceSet per split.

In reading order: layout (what is found in a folder), tree (its files), recognition (which layout it
is); voc_trees and coco_trees (what the readers of VOC and COCO can read), yolo, yolo_config and
yolo_labels, csv_tables, csv_files and open_images, labelme, tfrecords/ (records made by other
tools); collector (what the readers share) and joined (several sets as one). A new layout is a new
file here, and a line in recognition.

Imports the hall, processes and sources.
"""
