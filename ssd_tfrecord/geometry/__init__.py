"""Boxes, anchors and their matching: tensors only, no files, no variables."""
