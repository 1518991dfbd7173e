"""Annotation files of every layout -> one SourceSet.

In reading order: source_set (what every reader returns), spool (sequences kept on disk rather than
in memory), voc with voc_files/ (Pascal VOC), coco with coco_files/ (COCO), layouts/ (other layouts,
and which of all it is). They share file_tree and paths (files found by name, wherever they
lie), text_files, names and shapes. Then, for the set as a whole: survey (what its objects have in
common), plausibility (what they have wrong together) and labels (the class list). A new layout is a
new file in layouts/.

Imports the hall and processes.
"""
