"""From boxes to numbers.

In reading order: session (the command), metrics (everything in metrics.json), average_precision
(VOC's), coco_metrics (COCO's), writers (detections as files for other tools). Imports detection and
the layers below it.
"""
