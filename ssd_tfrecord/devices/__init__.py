"""Which devices compute, and how they share the work.

Imports options, backbones and keras.
"""
