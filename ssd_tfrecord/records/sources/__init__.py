"""Annotation files of every layout -> one SourceSet.

In reading order: source_set (what every reader gives), labels (the class list), voc, voc_folder
and voc_xml (Pascal VOC), coco, coco_json and json_items (COCO), paths (the images' files) and
spool (what is kept on disk rather than in memory). A new layout is a file beside voc.

Imports the hall and processes.
"""
