"""A run: from its flags to its closing line.

In reading order: session (all is made here), preflight and briefing (before the first step), loop
and runner (the course), step (one step), optimizers and schedules, validation and samples (looks
at it), event_journal, progress_line and summaries (what is told), signals and bad_batch (what
interrupts it). Imports evaluation and what lies below, config and flags.
"""
