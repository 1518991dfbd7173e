"""Metrics, detections and the one path from logits to both."""
