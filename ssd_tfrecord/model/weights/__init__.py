"""Loads weights from files into a network.

In reading order: pretrained (a backbone's weights), keras_files (the formats of their files),
transfer (from another run, or from a published model); published (models that others have trained)
is a room of its own. Imports backbones and keras.
"""
