"""Detections and ground truth as files of other tools: written, and read without a model.

May import what evaluation may.
"""
