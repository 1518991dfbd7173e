"""From a record set to findings: is it intact, and what is in it; manifests for other tools' sets.

In reading order: session (the command), verification, shard_check, record_check and frames (from a
set down to its bytes), index and label_map (record sets made by other tools), tables, plots and
sheets (what is shown). Imports records, its rooms and detection.
"""
