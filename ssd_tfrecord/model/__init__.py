"""The network and its loss.

In reading order: ssd (a backbone and its heads), targets (objects ->
anchors), losses, summary; weights (files -> the weights of
a network) is a room of its own. Imports backbones, geometry and pixels.
"""
