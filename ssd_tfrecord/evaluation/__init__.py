"""From boxes to numbers, and to answers.

In reading order: session (the command); annotated_set (images and their ground truth), origins and
trained_model (detections of files, or of a model), measurement (what was measured, with what),
judging, which makes an evaluated_set of them; scored_set and overlaps (flat arrays of boxes, and
which of them overlap), metrics (everything in metrics.json), average_precision (VOC's),
coco_metrics and coco_matching (COCO's), image_ids, set_loss. Rooms of its own: analysis (curves,
errors, intervals), report (what people read), files (of other tools). Imports detection and the
layers below it; the rooms of records for annotations that are not records yet.
"""
