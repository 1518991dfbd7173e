"""Boxes and anchors: IoU, matching, coding and suppression; nothing of images.

In reading order: boxes, anchors, matching, coding, suppression. Imports options and backbones.
"""
