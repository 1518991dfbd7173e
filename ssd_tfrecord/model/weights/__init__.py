"""Weights from files into a network.

In reading order: pretrained (a backbone's weights), keras_files (the formats they come in), and
transfer (from another run). Imports backbones and keras.
"""
