"""TFRecords made by other tools, with the keys of the TF Object Detection API, as a layout.

In reading order: od_records (the layout), record_frames (where each record is in its file),
example_wire (the fields of a record), od_example (what they mean), label_map (class names in a
.pbtxt).
"""
