"""From a record set to findings: is it intact, what is in it, and what should people look at.

In reading order: session (the command), verification, shard_check, record_check and frames (from a
set down to its bytes), index (manifests for record sets made by other tools), facts,
near_duplicates, suspects and model_suspects (what people should look at), suspects_report, tables,
plots and sheets (what is shown). Imports records, its rooms and detection.
"""
