"""What the command writes.

In reading order: output_folder (checked before there is anything to write), output_names, delivery
and image_outputs (all of an image), json_rows (lists that are whole at every moment), drawn_files
(pictures and crops), yolo_text, voc_drafts, coco_rows_files, video_writing. Imports what detection
may.
"""
