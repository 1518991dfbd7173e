"""A run: from its flags to its closing line.

In reading order: session (all is made here), preflight and briefing (before the first step),
learner (network, optimizer, step), loop and runner (the course), step (one step), optimizers and
schedules, validation and samples (looks at it), signals and bad_batch (what interrupts it), and the
room logs (what is told of it). Imports evaluation and what lies below, config and flags.
"""
