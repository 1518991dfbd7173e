"""A step whose loss or gradient is not finite.

In reading order: bad_batch (kept, saved and reported), replay (runs it again), findings (what was
wrong with it).
"""
