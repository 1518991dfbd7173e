"""What the numbers mean: curves and thresholds, confusion, kinds of error, worst images, intervals.

In reading order: answers (the data), matches, curves, confusion, calibration, error_split,
worst_images, doubts, anchorless, intervals, and answering, which calls all of them. Sees scored_set
and overlaps, NumPy alone; nothing here reads or writes files.
"""
