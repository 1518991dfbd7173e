"""A training run, from its flags to its last line.

In reading order: session (makes and joins everything), preflight and briefing (before the first
step), run_state and learner (network, optimizer, step, and where they are saved), loop and runner
(many steps), step (one step), validation and samples (evaluations and pictures), and the rooms
update (how a step changes the weights), nonfinite (a step that is not finite), cluster (several
workers), memory (the batch that fits), logs (what a run reports) and stopping (how it ends before
its time). Imports evaluation and what lies below, config and flags.
"""
