"""Boxes and anchors: IoU, matching, coding and suppression; nothing about images.

In reading order: boxes, anchors, matching, coding, suppression. Imports options and backbones.
"""
