"""What the numbers mean: curves and thresholds, confusion, kinds of error, worst images, intervals.

Sees scored_set and overlaps, NumPy alone; nothing here reads or writes files.
"""
