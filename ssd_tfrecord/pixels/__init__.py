"""Images as tensors: the colours of a batch, and the resizing of one image.

Imports options and backbones.
"""
