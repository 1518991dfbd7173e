"""COCO's JSON, behind ``coco``: what it lists, whatever tool has written it.

In reading order: json_items (a JSON object, item by item), coco_json (its lists, kept on disk),
coco_categories (which are classes), coco_shapes (the box of an annotation). Imports the hall,
processes and the files above.
"""
