"""Annotations and images on the way into TFRecords, and the schema both sides share."""
