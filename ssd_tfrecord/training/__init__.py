"""A training run, from its flags to its last line.

In reading order: session (makes and joins everything), preflight and briefing (before the first
step), learner (network, optimizer, step), loop and runner (many steps), step (one step), optimizers
and schedules, validation and samples (evaluations and pictures), bad_batch (a step that is not
finite), replay and findings (what was wrong with it), and the rooms logs (what a run reports) and
stopping (how it ends before its time). Imports evaluation and what lies below, config and flags.
"""
