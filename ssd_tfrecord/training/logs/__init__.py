"""What a run reports: on the terminal, in TensorBoard and in the run folder.

In reading order: event_journal (all reports), voice (what is printed), progress_line, summaries,
curve_summaries, flag_tables.
"""
