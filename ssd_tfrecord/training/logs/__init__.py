"""What is told of a run: in print, in TensorBoard and in the run folder.

In reading order: event_journal (all of it), voice (what is printed), progress_line, summaries.
"""
