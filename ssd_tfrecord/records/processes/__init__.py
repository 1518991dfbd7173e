"""Work in several processes: workers, the lock of a folder, and progress bars.

Imports errors alone.
"""
