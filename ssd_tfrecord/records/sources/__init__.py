"""Annotation files of every layout -> one SourceSet.

In reading order: source_set (what every reader returns), labels (the class list), voc, voc_folder
and voc_xml (Pascal VOC), coco, coco_json and json_items (COCO), paths (the image files) and spool
(sequences that are kept on disk rather than in memory). A new layout is a new file beside voc.

Imports the hall and processes.
"""
