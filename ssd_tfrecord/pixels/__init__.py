"""Images as tensors: colour on the device, and the resizing of one image.

Imports options and backbones.
"""
