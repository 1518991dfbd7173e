"""Backbones, the SSD network and its loss."""
