"""Which devices compute, and how they share the work.

inventory (which there are), gpu_threads (who starts their work), strategy (how they share it), and
the room cluster (which other processes train along). Imports options, backbones and keras.
"""
