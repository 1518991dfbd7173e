"""The format: what a record set holds, and how it is stored. The hall of its rooms.

In reading order: rejects (what was dropped, changed, or kept although suspicious), annotation (what
a record says about an image), wire and schema (one record), statistics and manifest (a whole set;
manifest_fields is what a stranger's must be), image_suffixes (how image files are found),
known_classes (VOC's and COCO's).
The rooms behind it, in the order of a conversion: sources (annotation files -> one SourceSet),
images (bytes -> a checked image), writing (box repair, shards, journal), and processes (workers,
locks, progress), which serves them.

Imports options and errors. Of all these rooms, ``model`` uses only this hall, and ``data``
also the locks of processes.
"""
