"""From a record set to findings: is it whole, what is in it; manifests for those of other tools.

In reading order: session (the command), verification, shard_check, record_check and frames (from a
set down to bytes), index and label_map (sets of others), tables, plots and sheets (what is shown).
Imports records, its rooms and detection.
"""
