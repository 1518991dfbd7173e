"""Which devices compute, and how they share the work.

processor and inventory (which there are), gpu_threads (who starts their work), onednn (kernels of a
CPU), compiler_line (what the compiler prints), strategy (how they share the work), and the room
cluster (which other processes train along). Imports options, backbones and keras.
"""
