"""Loads weights from files into a network.

In reading order: pretrained (a backbone's weights), keras_files (the formats of their files),
transfer (from another run). Imports backbones and keras.
"""
