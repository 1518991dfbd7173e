"""From boxes to numbers.

In reading order: session (the command), metrics (all of metrics.json), average_precision (VOC's),
coco_metrics (COCO's), writers (detections as files of other tools). Imports detection and what
lies below.
"""
