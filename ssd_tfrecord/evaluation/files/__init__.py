"""Detections and ground truth as files of other tools: written, and read without a model.

In reading order: writers with coco_rows; readers, which turns what the file of each tool
(coco_results, comp4, cartucho, yolo_results; which it is says detection_formats) holds into the
detections of a set, by image_keys; outside_detections, what these files have in common, with
result_folders and changed_names; classes, for sides whose classes differ; truth_files, a set from
annotations without records, with picture_files. May import what evaluation may, and records'
readers and repairs of annotations.
"""
