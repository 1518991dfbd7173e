"""What conversion and training cost, part by part.

In reading order: session (the command), rounds (how everything is measured), convert_cost and
convert_scaling, input_cost, match_cost, step_cost, step_parts and the room peers beside it,
replica_cost and replica_scaling, evaluation_cost, hlo_export (for GPUs elsewhere), then figures
(saved and compared), table and machine. Imports training, the rooms of
records and the layers below them.
"""
