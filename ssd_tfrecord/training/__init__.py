"""A training run, from its flags to its last line.

In reading order: session (makes and joins everything), preflight and briefing (before the first
step), learner (network, optimizer, step), loop and runner (many steps), step (one step), optimizers
and schedules, validation and samples (evaluations and pictures), signals and bad_batch (what stops
a run), and the room logs (what a run reports). Imports evaluation and what lies below, config and
flags.
"""
